"""The gRPC side of a model server: KServe's service with inference as raw tensors and named failures as statuses."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

import grpc
from grpc import aio
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as service
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from inference import protocol
from inference.errors import InferenceError, InvalidRequest, UnknownModel
from inference.server.model import ServedModel

LOG = logging.getLogger(__name__)
MAX_MESSAGE_BYTES = 8 << 20
STATUSES = {
    HTTPStatus.BAD_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    HTTPStatus.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    HTTPStatus.SERVICE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}


class Servicer(InferenceServicer):  # type: ignore[misc]
    """KServe's servicer, which answers everything but inference, loading and unloading."""

    def __init__(self, model: ServedModel, dataplane: DataPlane, repository: ModelRepositoryExtension) -> None:
        super().__init__(dataplane, repository)
        self.model = model

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Any) -> pb.ModelInferResponse:
        try:
            return await self._infer(request)
        except InferenceError as error:
            if error.retry_after_s is not None:
                context.set_trailing_metadata((("retry-after", f"{error.retry_after_s:g}"),))
            await context.abort(STATUSES.get(error.status, grpc.StatusCode.INTERNAL), str(error))
        except Exception:
            LOG.exception("an inference failed")
            await context.abort(grpc.StatusCode.INTERNAL, "internal error; the server's log has it")

    async def ServerReady(self, request: pb.ServerReadyRequest, context: Any) -> pb.ServerReadyResponse:  # noqa: ARG002
        return pb.ServerReadyResponse(ready=not self.model.waits_for())

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Any) -> pb.ModelReadyResponse:
        await self._named(request.name, context)
        return pb.ModelReadyResponse(ready=not self.model.waits_for())

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: Any) -> pb.ModelMetadataResponse:
        await self._named(request.name, context)
        return await super().ModelMetadata(request, context)

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:  # noqa: ARG002
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "models change by publishing them, not by callers")

    RepositoryModelUnload = RepositoryModelLoad

    async def _infer(self, request: pb.ModelInferRequest) -> pb.ModelInferResponse:
        if request.model_name != self.model.name:
            raise UnknownModel(f"no model {request.model_name[:100]!r} here; there is {self.model.name!r}")
        if request.ByteSize() > MAX_MESSAGE_BYTES:
            raise InvalidRequest(f"the message has over {MAX_MESSAGE_BYTES} bytes")
        call = await self.model.infer(protocol.from_grpc(request))
        return protocol.response(self.model.name, protocol.Call(call.tensors, call.parameters, request.id))

    async def _named(self, name: str, context: Any) -> None:
        if name != self.model.name:
            message = f"no model {name[:100]!r} here; there is {self.model.name!r}"
            await context.abort(grpc.StatusCode.NOT_FOUND, message)


def server(servicer: Servicer, address: str, *, shared: bool) -> aio.Server:
    """A gRPC server bound to `address`; with `shared` other processes may listen there too. Raises OSError."""
    made = aio.server(
        options=[
            ("grpc.so_reuseport", int(shared)),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ]
    )
    service.add_GRPCInferenceServiceServicer_to_server(servicer, made)
    try:
        bound = made.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(str(error)) from error
    if not bound:
        raise OSError(f"cannot listen on {address}")
    return made
