"""Finds references to other files in the bytes of an ONNX model.

A tensor of a model may say that its values are in another file, and ONNX Runtime would open what it names. Releases
before 2026 opened any path, and one took the name for an address in memory. So such a model is refused unopened.
The field numbers are those of onnx.proto; a test compares them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

MODEL: Final = "ModelProto"
INNER: Final = {
    MODEL: {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {},
}
"""The messages that a tensor can be in, and their fields that lead to one."""
EXTERNAL_DATA: Final = 13
DATA_LOCATION: Final = 14
"""The fields of a TensorProto that refer to a file."""

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_MOST_SHIFT: Final = 63
_HERE: Final = b"\x00"
"""The location that says that the values are in the model itself."""


class NotOnnxError(ValueError):
    """The bytes are no protocol buffer of a model."""


def refers_to_files(model: bytes) -> bool:
    """Whether any tensor of the model is in another file.

    Raises:
        NotOnnxError: the bytes are no model.
    """
    left = [(MODEL, 0, len(model))]
    while left:
        message, start, end = left.pop()
        for field, wire, at, to in _fields(model, start, end):
            if message == "TensorProto":
                if field == EXTERNAL_DATA:
                    return True
                if field == DATA_LOCATION and (wire != _VARINT or model[at:to] != _HERE):
                    return True
            if (inner := INNER[message].get(field)) is not None:
                if wire != _BYTES:
                    raise NotOnnxError
                left.append((inner, at, to))
    return False


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Each field of a message: its number, its wire type, where its value begins and ends."""
    while at < end:
        key, at = _varint(data, at, end)
        field, wire = key >> 3, key & 7
        if wire == _VARINT:
            _, to = _varint(data, at, end)
        elif wire == _BYTES:
            length, at = _varint(data, at, end)
            to = at + length
        elif wire in {_EIGHT_BYTES, _FOUR_BYTES}:
            to = at + (8 if wire == _EIGHT_BYTES else 4)
        else:
            raise NotOnnxError
        if to > end or not field:
            raise NotOnnxError
        yield field, wire, at, to
        at = to


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """A number of variable length, and where it ends."""
    number = 0
    for shift in range(0, _MOST_SHIFT + 1, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more bytes follow
            return number, at
    raise NotOnnxError
