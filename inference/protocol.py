"""Tensors of the Open Inference Protocol v2, to and from gRPC, JSON and JSON with binary parts.

https://github.com/kserve/open-inference-protocol
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
import numpy as np
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from msgspec import Meta
from numpy.typing import NDArray

from inference.errors import InvalidRequest

Array = NDArray[Any]
Parameter = bool | int | str

TYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    **{f"UINT{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
    **{f"INT{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
BYTES = "BYTES"
NAMES = {kind: name for name, kind in TYPES.items()} | {np.dtype(object): BYTES}
CONTENTS = {"BOOL": "bool_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
            "UINT64": "uint64_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
            "INT64": "int64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents",
            BYTES: "bytes_contents"}  # fmt: skip
BINARY_LENGTH = b"inference-header-content-length"
"""The header that says how long the JSON before raw tensors is."""
BINARY_OUTPUT = "binary_data_output"
"""The parameter of a request that wants a raw answer."""
LARGEST_TENSOR = 1 << 20
"""Elements of a tensor at most; a shape is checked before anything is made of it."""


@dataclass(frozen=True)
class Call:
    """One inference, asked or answered: tensors by name, and the caller's id. BYTES are arrays of `bytes` objects."""

    tensors: Mapping[str, Array]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    id: str = ""

    def tensor(self, name: str, datatype: str) -> Array:
        """One tensor, flat; raises InvalidRequest when it is missing or of another type."""
        found = self.tensors.get(name)
        if found is None:
            known = ", ".join(self.tensors) or "none"
            raise InvalidRequest(f"input {name!r} of type {datatype} is missing; there is {known}")
        if NAMES[found.dtype] != datatype:
            raise InvalidRequest(f"input {name!r} has datatype {NAMES[found.dtype]}, it must be {datatype}")
        return found.reshape(-1)


class Tensor(msgspec.Struct, omit_defaults=True):
    """A tensor in JSON; with the parameter `binary_data_size` its bytes follow the JSON."""

    name: str
    shape: list[Annotated[int, Meta(ge=0)]]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct):
    """The body of an inference in JSON."""

    inputs: Annotated[list[Tensor], Meta(min_length=1, max_length=16)]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[Any] = []


class InferResponse(msgspec.Struct, omit_defaults=True):
    """The answer to an inference in JSON."""

    model_name: str
    outputs: list[Tensor]
    id: str = ""
    parameters: dict[str, Parameter] = {}


_DECODER = msgspec.json.Decoder(InferRequest)
_RESPONSES = msgspec.json.Decoder(InferResponse)


def from_json(body: bytes, json_bytes: int | None = None) -> Call:
    """A call from JSON; with `json_bytes`, raw tensors follow that many bytes. Raises InvalidRequest."""
    head, rest = (body, b"") if json_bytes is None else (body[:json_bytes], body[json_bytes:])
    try:
        request = _DECODER.decode(head)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(f"the body is no inference request: {error}") from error
    return Call(_unpacked(request.inputs, rest), request.parameters, request.id)


def binary_request(tensors: Mapping[str, Array], parameters: Mapping[str, Parameter]) -> tuple[int, bytes]:
    """A request with raw tensors that asks for a raw answer: the length of its JSON, and all of it."""
    head = msgspec.json.encode({"inputs": _listed(tensors), "parameters": {**parameters, BINARY_OUTPUT: True}})
    return len(head), b"".join([head, *map(_raw, tensors.values())])


def to_binary(model: str, call: Call) -> tuple[int, bytes]:
    """An answer with raw tensors: the length of its JSON, and all of it."""
    head = msgspec.json.encode(InferResponse(model, _listed(call.tensors), call.id, dict(call.parameters)))
    return len(head), b"".join([head, *map(_raw, call.tensors.values())])


def from_binary_response(body: bytes, json_bytes: int) -> Call:
    """What one of our own servers answered to a `binary_request`."""
    response = _RESPONSES.decode(body[:json_bytes])
    return Call(_unpacked(response.outputs, body[json_bytes:]), response.parameters, response.id)


def to_json(model: str, call: Call) -> bytes:
    """An answer as JSON."""
    outputs = [
        Tensor(name, list(value.shape), NAMES[value.dtype], _texts(value)) for name, value in call.tensors.items()
    ]
    return msgspec.json.encode(InferResponse(model, outputs, call.id, dict(call.parameters)))


def from_grpc(request: pb.ModelInferRequest) -> Call:
    """A call from gRPC, raw or typed contents. Raises InvalidRequest."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidRequest(f"{len(request.inputs)} inputs with {len(raw)} raw contents; each needs its own")
    tensors = {}
    for number, one in enumerate(request.inputs):
        if raw:
            tensors[one.name] = from_raw(one.name, one.datatype, one.shape, raw[number])
        else:
            kind = _contents(one.name, one.datatype)
            tensors[one.name] = _array(one.name, one.datatype, one.shape, list(getattr(one.contents, kind)))
    return Call(tensors, _parameters(request.parameters), request.id)


def request(model: str, tensors: Mapping[str, Array], parameters: Mapping[str, Parameter] | None = None) -> Any:
    """A `ModelInferRequest` with raw contents."""
    made = pb.ModelInferRequest(
        model_name=model,
        inputs=[
            pb.ModelInferRequest.InferInputTensor(name=name, datatype=NAMES[value.dtype], shape=value.shape)
            for name, value in tensors.items()
        ],
        raw_input_contents=[_raw(value) for value in tensors.values()],
    )
    _set(made.parameters, parameters or {})
    return made


def response(model: str, call: Call) -> Any:
    """A `ModelInferResponse` with raw contents."""
    made = pb.ModelInferResponse(
        model_name=model,
        id=call.id,
        outputs=[
            pb.ModelInferResponse.InferOutputTensor(name=name, datatype=NAMES[value.dtype], shape=value.shape)
            for name, value in call.tensors.items()
        ],
        raw_output_contents=[_raw(value) for value in call.tensors.values()],
    )
    _set(made.parameters, call.parameters)
    return made


def from_response(answer: pb.ModelInferResponse) -> Call:
    """What one of our own servers answered."""
    pairs = zip(answer.outputs, answer.raw_output_contents, strict=True)
    tensors = {one.name: from_raw(one.name, one.datatype, one.shape, raw) for one, raw in pairs}
    return Call(tensors, _parameters(answer.parameters), answer.id)


def from_raw(name: str, datatype: str, shape: Sequence[int], raw: bytes) -> Array:
    """A tensor from its bytes, without a copy. Raises InvalidRequest."""
    if datatype == BYTES:
        return _array(name, datatype, shape, list(_split(name, raw)))
    kind = TYPES.get(datatype)
    if kind is None:
        raise InvalidRequest(f"input {name!r} has datatype {datatype!r}; known are {', '.join([*TYPES, BYTES])}")
    count = _elements(name, shape)
    if len(raw) != count * kind.itemsize:
        raise InvalidRequest(
            f"input {name!r}: shape {list(shape)} of {datatype} needs {count * kind.itemsize} bytes, got {len(raw)}"
        )
    return np.frombuffer(raw, kind).reshape(shape)


def _unpacked(listed: Sequence[Tensor], rest: bytes) -> dict[str, Array]:
    """Tensors from their lists, or from the bytes behind the JSON."""
    tensors, place = {}, 0
    for one in listed:
        size = one.parameters.get("binary_data_size")
        if size is None:
            tensors[one.name] = _from_list(one)
            continue
        if type(size) is not int or not 0 <= size <= len(rest) - place:
            raise InvalidRequest(f"input {one.name!r}: binary_data_size {size!r}, but {len(rest) - place} bytes follow")
        tensors[one.name] = from_raw(one.name, one.datatype, one.shape, rest[place : place + size])
        place += size
    return tensors


def _listed(tensors: Mapping[str, Array]) -> list[Tensor]:
    """Tensors whose bytes follow the JSON."""
    return [
        Tensor(name, list(value.shape), NAMES[value.dtype], parameters={"binary_data_size": _size(value)})
        for name, value in tensors.items()
    ]


def _size(value: Array) -> int:
    return sum(4 + len(one) for one in value.reshape(-1)) if value.dtype == object else int(value.nbytes)


def _from_list(one: Tensor) -> Array:
    _contents(one.name, one.datatype)
    values: list[Any] = _flat(one.data or [])
    if one.datatype == BYTES:
        if not all(isinstance(value, str) for value in values):
            raise InvalidRequest(f"input {one.name!r}: BYTES in JSON are strings")
        values = [value.encode() for value in values]
    return _array(one.name, one.datatype, one.shape, values)


def _array(name: str, datatype: str, shape: Sequence[int], values: list[Any]) -> Array:
    if _elements(name, shape) != len(values):
        raise InvalidRequest(f"input {name!r}: shape {list(shape)} does not fit {len(values)} elements")
    if datatype == BYTES:
        made = np.empty(len(values), object)
        made[:] = values
        return made.reshape(shape)
    kinds: tuple[type, ...] = (bool,) if datatype == "BOOL" else (int,) if "INT" in datatype else (int, float)
    if wrong := [value for value in values if type(value) not in kinds]:
        raise InvalidRequest(f"input {name!r}: {wrong[0]!r} is no {datatype}")
    try:
        return np.array(values, TYPES[datatype]).reshape(shape)
    except OverflowError as error:
        raise InvalidRequest(f"input {name!r}: a number does not fit {datatype}") from error


def _elements(name: str, shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    if not 0 <= count <= LARGEST_TENSOR or any(size < 0 for size in shape) or len(shape) > 8:
        raise InvalidRequest(f"input {name!r}: shape {list(shape)[:8]} is negative or too large")
    return count


def _contents(name: str, datatype: str) -> str:
    if datatype not in CONTENTS:
        raise InvalidRequest(f"input {name!r} has datatype {datatype!r}; known are {', '.join(CONTENTS)}")
    return CONTENTS[datatype]


def _flat(values: list[Any]) -> list[Any]:
    """Nested lists as one; no recursion, since the depth is the caller's."""
    while any(isinstance(value, list) for value in values):
        values = [one for value in values for one in (value if isinstance(value, list) else [value])]
    return values


def _split(name: str, raw: bytes) -> list[bytes]:
    """Elements with their length before each, as 4 bytes."""
    found, place = [], 0
    while place < len(raw):
        (size,) = struct.unpack_from("<I", raw, place) if place + 4 <= len(raw) else (len(raw),)
        if place + 4 + size > len(raw):
            raise InvalidRequest(f"input {name!r}: its {len(raw)} bytes end within an element")
        found.append(raw[place + 4 : place + 4 + size])
        place += 4 + size
    return found


def _raw(value: Array) -> bytes:
    if value.dtype == object:
        return b"".join(struct.pack("<I", len(one)) + one for one in value.reshape(-1))
    return value.tobytes()


def _texts(value: Array) -> list[Any]:
    flat: list[Any] = value.reshape(-1).tolist()
    return [one.decode() for one in flat] if value.dtype == object else flat


def _parameters(given: Mapping[str, Any]) -> dict[str, Parameter]:
    kinds = {name: value.WhichOneof("parameter_choice") or "string_param" for name, value in given.items()}
    return {name: getattr(given[name], kind) for name, kind in kinds.items()}


def _set(target: Any, parameters: Mapping[str, Parameter]) -> None:
    for name, value in parameters.items():
        kind = "bool_param" if isinstance(value, bool) else "int64_param" if isinstance(value, int) else "string_param"
        setattr(target[name], kind, value)
