"""One worker: KServe's HTTP application behind our routes, our gRPC, on uvloop, ended gracefully.

What KServe's own `ModelServer.start` would do otherwise: listen on 0.0.0.0, log lines per request, echo headers in
explanations, let any caller unload the model, and never use uvloop.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus

import msgspec
import uvicorn
import uvloop
from kserve.model_server import ModelServer
from kserve.protocol.rest.server import RESTServer
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from inference import protocol
from inference.errors import InvalidRequest
from inference.server import grpc_front, later
from inference.server.direct import DirectProtocol
from inference.server.flags import MAX_BODY_BYTES, Listen
from inference.server.front import Front, Handler, Reply, Request
from inference.server.model import ServedModel
from inference.server.workers import METRICS_FOLDER, orphaned, shares_port
from wire.errors import PortTaken

LOG = logging.getLogger(__name__)
LOOK_EVERY_S, GOODBYE_S = 0.5, 3.0
SWITCH_S = 0.0005
"""How long a thread may keep the interpreter from the event loop; 5 ms by default, more than a request takes."""
BYTES = b"application/octet-stream"


def serve(make: Callable[[], ServedModel], listen: Listen) -> None:
    """Serve the model that `make` gives until SIGTERM or SIGINT; raises PortTaken."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_Worker(make(), listen).run())


class _Worker:
    def __init__(self, model: ServedModel, listen: Listen) -> None:
        self.model, self.listen = model, listen
        self.kserve = ModelServer(http_port=listen.http_port, grpc_port=listen.grpc_port, workers=1)
        for noisy in ("kserve.trace", "kserve", "uvicorn", "uvicorn.access"):  # now, since it has set its own
            logging.getLogger(noisy).setLevel(logging.WARNING)
        self.kserve.register_model(model)

    async def run(self) -> None:
        """Listen, answer, drain."""
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        await self.model.begin()
        http, sock = self._http(), _socket(self.listen.host, self.listen.http_port)
        repository = self.kserve.model_repository_extension
        servicer = grpc_front.Servicer(self.model, self.kserve.dataplane, repository)
        address = f"{self.listen.host}:{self.listen.grpc_port}"
        try:
            grpc = grpc_front.server(servicer, address, shared=shares_port())
        except OSError as error:
            raise PortTaken(f"cannot listen on {address}: end what holds it, or change --grpc_port") from error
        await grpc.start()
        _spare_the_tail()
        serving = asyncio.create_task(http.serve(sockets=[sock]))
        while not ended.is_set() and not serving.done() and not orphaned():
            await _wait(ended, LOOK_EVERY_S)
            later.settle()
        self.model.draining = True
        await self._say_goodbye(http)
        http.should_exit = True
        await asyncio.gather(grpc.stop(self.listen.grace_s), serving)
        await self.model.end()
        later.settle()

    async def _say_goodbye(self, http: uvicorn.Server) -> None:
        """Let callers on open connections hear, in an answer, that they are to open another.

        A connection that was closed while a request is on its way would fail that request.
        """
        self.front.closing = True
        give_up_at = time.monotonic() + GOODBYE_S
        while http.server_state.connections and time.monotonic() < give_up_at:
            await asyncio.sleep(0.02)

    def _http(self) -> uvicorn.Server:
        hidden = RESTServer(
            "kserve.model_server:app", self.kserve.dataplane, self.kserve.model_repository_extension,
            self.listen.http_port,
        )  # fmt: skip
        hidden.create_application()
        from kserve.model_server import app

        self.front = Front(app, self._routes(), MAX_BODY_BYTES)
        config = uvicorn.Config(
            self.front,
            http=DirectProtocol,
            loop="uvloop",
            ws="none",
            lifespan="off",
            proxy_headers=False,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=max(1, round(self.listen.grace_s)),
        )
        return _Server(config)

    def _routes(self) -> dict[tuple[str, str], Handler]:
        model = self.model

        async def predict(request: Request) -> Reply:
            return Reply(await model.predict_v1(request.body))

        async def explain(request: Request) -> Reply:
            return Reply(await model.explain_v1(request.body))

        async def infer(request: Request) -> Reply:
            length = request.headers.get(protocol.BINARY_LENGTH)
            if length is not None and not (length.isdigit() and int(length) <= len(request.body)):
                raise InvalidRequest(f"Inference-Header-Content-Length {length.decode('latin-1')[:40]!r} is no length")
            call = protocol.from_json(request.body, None if length is None else int(length))
            made = await model.infer(call)
            answered = protocol.Call(made.tensors, made.parameters, call.id)
            if call.parameters.get(protocol.BINARY_OUTPUT) is True:
                size, body = protocol.to_binary(model.name, answered)
                return Reply(body, content_type=BYTES, headers=((protocol.BINARY_LENGTH, b"%d" % size),))
            return Reply(protocol.to_json(model.name, answered))

        async def ready(_: Request) -> Reply:
            waits = model.waits_for()
            body = msgspec.json.encode({"ready": not waits} | ({"waits_for": waits} if waits else {}))
            return Reply(body, HTTPStatus.SERVICE_UNAVAILABLE if waits else HTTPStatus.OK)

        async def status(_: Request) -> Reply:
            return Reply(msgspec.json.encode({"waits_for": model.waits_for()} | model.status()))

        async def metrics(_: Request) -> Reply:
            later.settle()
            return Reply(generate_latest(_registry()), content_type=CONTENT_TYPE_LATEST.encode())

        async def refuse(_: Request) -> Reply:
            raise InvalidRequest("models change by publishing them, not by callers")

        async def openapi(_: Request) -> Reply:
            return Reply(description)

        name = model.name
        description = msgspec.json.encode(model.openapi() or {})
        routes: dict[tuple[str, str], Handler] = {
            ("POST", f"/v1/models/{name}:predict"): predict,
            ("POST", f"/v1/models/{name}:explain"): explain,
            ("POST", f"/v2/models/{name}/infer"): infer,
            ("GET", "/v2/health/ready"): ready,
            ("GET", f"/v2/models/{name}/ready"): ready,
            ("GET", "/metrics"): metrics,
            ("GET", "/status"): status,
            ("POST", f"/v2/repository/models/{name}/load"): refuse,
            ("POST", f"/v2/repository/models/{name}/unload"): refuse,
        }
        return routes | ({("GET", "/openapi.json"): openapi} if model.openapi() else {})


class _Server(uvicorn.Server):
    """Leaves signals to the worker, which ends both of its servers."""

    def install_signal_handlers(self) -> None:
        pass

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


def _socket(host: str, port: int) -> socket.socket:
    """A listening socket of our own: on the address that was asked for, shared only with our other workers."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shares_port():
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        made.bind((host, port))
        made.listen(2048)
    except OSError as error:
        made.close()
        why = f"cannot listen on {host}:{port} ({error.strerror}): end what holds it, or change --http_port"
        raise PortTaken(why) from error
    made.setblocking(False)
    return made


def _spare_the_tail() -> None:
    """Keep rare pauses short: what is loaded by now is never garbage, and threads hand over soon."""
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_S)


def _registry() -> CollectorRegistry:
    if METRICS_FOLDER not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return
