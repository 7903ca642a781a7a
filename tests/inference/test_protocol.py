"""Tensors of the v2 protocol: what goes in comes out, and what does not fit is named."""

import json
import struct

import numpy as np
import pytest

from inference import protocol
from inference.errors import InvalidRequest
from inference.protocol import Call


def texts(*values: str) -> np.ndarray:
    made = np.empty(len(values), object)
    made[:] = [value.encode() for value in values]
    return made


TENSORS = {
    "scores": np.array([[0.5, -1.25], [3.0, 0.0]], np.float32),
    "keys": np.array([2**64 - 1, 0], np.uint64),
    "flags": np.array([True, False]),
    "names": texts("", "é", "video"),
    "none": np.zeros(0, np.int64),
}


def same(made: Call) -> None:
    for name, value in TENSORS.items():
        found = made.tensors[name]
        assert found.dtype == value.dtype
        assert found.shape == value.shape
        assert found.tolist() == value.tolist()


def test_grpc_brings_every_tensor_as_it_was() -> None:
    message = protocol.request("m", TENSORS, {"a": True, "b": 7, "c": "text"})
    made = protocol.from_grpc(type(message).FromString(message.SerializeToString()))
    same(made)
    assert made.parameters == {"a": True, "b": 7, "c": "text"}


def test_an_answer_over_grpc_comes_back_as_it_was() -> None:
    message = protocol.response("m", Call(TENSORS, {"digest": "4f"}, "id-1"))
    made = protocol.from_response(type(message).FromString(message.SerializeToString()))
    same(made)
    assert (made.parameters, made.id) == ({"digest": "4f"}, "id-1")


def test_json_brings_every_tensor_as_it_was() -> None:
    answer = json.loads(protocol.to_json("m", Call(TENSORS, {}, "id-1")))
    made = protocol.from_json(json.dumps({"inputs": answer["outputs"], "id": answer["id"]}).encode())
    same(made)
    assert made.id == "id-1"


def test_typed_contents_of_grpc_are_read_too() -> None:
    message = protocol.request("m", {"x": np.array([1.5, 2.5], np.float32)})
    del message.raw_input_contents[:]
    message.inputs[0].contents.fp32_contents.extend([1.5, 2.5])
    assert protocol.from_grpc(message).tensors["x"].tolist() == [1.5, 2.5]


def test_binary_parts_follow_the_json() -> None:
    raw = np.array([4, 5, 6], np.int64).tobytes()
    head = json.dumps({"inputs": [
        {"name": "x", "shape": [3], "datatype": "INT64", "parameters": {"binary_data_size": len(raw)}},
        {"name": "y", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 5}},
    ]}).encode()  # fmt: skip
    made = protocol.from_json(head + raw + struct.pack("<I", 1) + b"a", len(head))
    assert made.tensors["x"].tolist() == [4, 5, 6]
    assert made.tensors["y"].tolist() == [b"a"]


def one(**changes: object) -> bytes:
    tensor = {"name": "x", "shape": [2], "datatype": "INT64", "data": [1, 2]} | changes
    return json.dumps({"inputs": [tensor]}).encode()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "no inference request"),
        (b'{"inputs": []}', "length >= 1"),
        (b'{"inputs": 1}', r"Expected `array`, got `int` - at `\$.inputs`"),
        (one(shape=[3]), r"'x': shape \[3\] does not fit 2 elements"),
        (one(shape=[-1]), "Expected `int` >= 0"),
        (one(shape=[2**40, 2**40]), "negative or too large"),
        (one(datatype="FP16"), "datatype 'FP16'; known are BOOL"),
        (one(data=[1, "2"]), "'x': '2' is no INT64"),
        (one(data=[1, 2.5]), "'x': 2.5 is no INT64"),
        (one(data=[1, True]), "'x': True is no INT64"),
        (one(data=[1, 2**63]), "does not fit INT64"),
        (one(datatype="BYTES", data=["a", 1]), "BYTES in JSON are strings"),
        (one(data=[[1], [2], [[3]]]), "does not fit 3 elements"),
        (one(parameters={"binary_data_size": 16}), "binary_data_size 16, but 0 bytes follow"),
        (b'{"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [NaN]}]}', "no inference request"),
    ],
)
def test_what_does_not_fit_is_named(body: bytes, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        protocol.from_json(body)


def test_a_list_nested_ten_thousand_deep_does_no_harm() -> None:
    body = (
        b'{"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": '
        + b"[" * 10_000
        + b"]" * 10_000
        + b"}]}"
    )
    with pytest.raises(InvalidRequest):
        protocol.from_json(body)


def test_raw_bytes_that_end_within_an_element_are_refused() -> None:
    for raw in (b"\x05\x00\x00\x00ab", b"\x01\x00"):
        with pytest.raises(InvalidRequest, match="end within an element"):
            protocol.from_raw("x", "BYTES", [1], raw)
    with pytest.raises(InvalidRequest, match="needs 16 bytes, got 15"):
        protocol.from_raw("x", "INT64", [2], bytes(15))


def test_a_tensor_of_another_type_or_none_is_named() -> None:
    call = Call({"x": np.zeros(1, np.int64)})
    with pytest.raises(InvalidRequest, match="'y' of type FP32 is missing; there is x"):
        call.tensor("y", "FP32")
    with pytest.raises(InvalidRequest, match="'x' has datatype INT64, it must be FP32"):
        call.tensor("x", "FP32")
