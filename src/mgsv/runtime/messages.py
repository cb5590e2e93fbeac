"""As much of protocol buffers as it takes to look into an ONNX file before anything else does.

A message is a row of (field number, value) pairs. A number's value is a number; text, bytes and
messages inside are a slice of the file, so nothing is copied. The numbers are `onnx.proto`'s.
"""

from __future__ import annotations

from collections.abc import Iterator

GRAPH, OPSETS, METADATA, FUNCTIONS = 7, 8, 14, 25
"""Fields of a model."""

_MOST_DEPTH = 32
# Of each kind of message, the fields that may lead to a tensor: (field, the kind it holds).
_INSIDE: dict[str, dict[int, str]] = {
    "model": {GRAPH: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # fields of a tensor


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The pairs of a message. Raises `ValueError` where it is none."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _number(message, at)
        kind = tag & 7
        if tag >> 3 == 0:
            raise ValueError("there is no field 0")
        if kind == 0:
            value, at = _number(message, at)
            yield tag >> 3, value
            continue
        if kind == 2:
            size, at = _number(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"there is no wire type {kind}")
        if at + size > end:
            raise ValueError("it ends within a field")
        yield tag >> 3, message[at : at + size]
        at += size


def parts(message: memoryview, number: int) -> Iterator[memoryview]:
    """What a message holds in the field `number`: texts or messages."""
    for found, value in fields(message):
        if found == number and isinstance(value, memoryview):
            yield value


def text(message: memoryview, number: int) -> str:
    """The last text in the field `number`, "" if there is none."""
    found = [bytes(part).decode() for part in parts(message, number)]
    return found[-1] if found else ""


def keeps_data_outside(model: memoryview) -> bool:
    """Whether a tensor anywhere in the model lies in another file."""
    return _outside(model, "model", 0)


def _outside(message: memoryview, kind: str, depth: int) -> bool:
    if depth > _MOST_DEPTH:
        raise ValueError("its graphs lie too deep in each other")
    inside = _INSIDE[kind]
    for number, value in fields(message):
        if kind == "tensor" and (
            number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)
        ):
            return True
        if not isinstance(value, memoryview) or number not in inside:
            continue
        if _outside(value, inside[number], depth + 1):
            return True
    return False


def metadata(model: memoryview) -> dict[str, str]:
    """The named texts of a model."""
    return {text(entry, 1): text(entry, 2) for entry in parts(model, METADATA)}


def with_metadata(model: bytes, named: dict[str, str]) -> bytes:
    """The model with these named texts beside those it has."""
    entries = [_field(1, key.encode()) + _field(2, value.encode()) for key, value in named.items()]
    return model + b"".join(_field(METADATA, entry) for entry in entries)


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def _number(message: memoryview, at: int) -> tuple[int, int]:
    """A base-128 number at `at`, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("it ends within a number")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number has more than 64 bits")
