"""Messages between this process and a decoder process: values of a few known types over pipes.

A message is four bytes with the length of its header, the header (JSON: kind, value, and type and
shape of each array), and the arrays' bytes in order. Nothing is unpickled, and a header that is
out of bounds is an error before memory is taken for it: a decoder may have gone mad over a file.
"""

from __future__ import annotations

import dataclasses
import importlib
import io
import json
import math
import struct
import threading
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_HEADER = 1 << 20
"""Bytes. A header holds no samples or pixels."""
MAX_ARRAY = 8 << 30
"""Bytes: two hours at the highest rate that music encoders take, several times over."""

_LENGTH = struct.Struct(">I")
_KINDS = "biuf"  # of NumPy types: bool, integers, floats
_MODULES = {
    "Arrangement": "mgsv.media.pieces",
    "Audio": "mgsv.media.audio",
    "AudioInfo": "mgsv.media.audio",
    "Frame": "mgsv.media.video",
    "Known": "mgsv.media.timeline.write",
    "Moment": "mgsv.moment",
    "PictureClock": "mgsv.media.pictureclock",
    "Piece": "mgsv.media.pieces",
    "RenderReport": "mgsv.media.render",
    "PictureRun": "mgsv.media.pictureclock",
    "SoundOptions": "mgsv.media.soundtrack",
    "SoundReport": "mgsv.media.soundfile",
    "TimelineReport": "mgsv.media.timeline.write",
    "VideoCurves": "mgsv.media.shots",
    "VideoInfo": "mgsv.media.video",
}
"""The dataclasses and named tuples that may be sent, imported when one comes."""


class Garbled(Exception):
    """What came is no message."""


class Channel:
    """The two ends that one process has of the pipes to another one."""

    def __init__(
        self, reader: io.RawIOBase, writer: io.RawIOBase, wait: Callable[[], None] = lambda: None
    ) -> None:
        """reader, writer: unbuffered. wait: called before each read, which may block."""
        self._reader, self._writer, self._wait = reader, writer, wait
        self.names: Mapping[Path, Path] = {}
        """What to call paths that come."""
        self._lock = threading.Lock()

    def send(self, kind: str, value: object = None) -> None:
        """Send a message; may be called from several threads."""
        arrays: list[NDArray[Any]] = []
        packed = _packed(value, arrays)
        header = {"kind": kind, "value": packed, "arrays": [(a.dtype.str, a.shape) for a in arrays]}
        text = json.dumps(header).encode()  # ASCII: names that are not UTF-8 are escaped
        with self._lock:
            self._write(memoryview(_LENGTH.pack(len(text)) + text))
            for array in arrays:
                self._write(_bytes(array))

    def receive(self) -> tuple[str, Any]:
        """The next message. Raises `EOFError` at the end, `Garbled` for what is none."""
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        if length > MAX_HEADER:
            raise Garbled(f"a header of {length} bytes")
        text = self._read(length)
        try:
            header = json.loads(text)
            arrays = [_empty(*form) for form in header["arrays"]]
            for array in arrays:
                self._fill(_bytes(array))
            return str(header["kind"]), self._unpacked(header["value"], arrays)
        except (LookupError, RecursionError, TypeError, ValueError) as error:
            raise Garbled(str(error)) from error

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

    def _write(self, data: memoryview) -> None:
        while data:
            data = data[self._writer.write(data) :]

    def _read(self, count: int) -> bytearray:
        data = bytearray(count)
        self._fill(memoryview(data))
        return data

    def _fill(self, rest: memoryview) -> None:
        while rest:
            self._wait()
            count = self._reader.readinto(rest)
            if not count:
                raise EOFError
            rest = rest[count:]

    def _unpacked(self, value: Any, arrays: list[NDArray[Any]]) -> Any:
        """The inverse of `_packed`; lists come back as tuples."""
        if isinstance(value, list):
            return tuple(self._unpacked(one, arrays) for one in value)
        match value:
            case {"array": index}:
                return arrays[index]
            case {"path": text}:
                path = Path(text)
                return self.names.get(path, path)
            case {"fraction": [numerator, denominator]}:
                return Fraction(numerator, denominator)
            case {"dict": entries}:
                return {name: self._unpacked(one, arrays) for name, one in entries.items()}
            case {"type": name, "fields": fields}:
                made = getattr(importlib.import_module(_MODULES[name]), name)
                return made(*self._unpacked(fields, arrays))
            case {}:
                raise ValueError("a value of no known type")
        return value


def _bytes(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _empty(dtype: str, shape: list[int]) -> NDArray[Any]:
    """An array to fill. ValueError for types that hold more than numbers, and absurd sizes."""
    kind = np.dtype(dtype)
    if kind.kind not in _KINDS or kind.hasobject or min(shape, default=0) < 0:
        raise ValueError(f"an array of {dtype}, {shape}")
    if kind.itemsize * math.prod(shape) > MAX_ARRAY:
        raise ValueError(f"an array of {shape}")
    return np.empty(shape, kind)


def _packed(value: Any, arrays: list[NDArray[Any]]) -> Any:
    """`value` as JSON; its arrays are appended to `arrays`."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        arrays.append(np.asarray(value, order="C"))
        return {"array": len(arrays) - 1}
    if isinstance(value, Path):
        return {"path": str(value)}
    if isinstance(value, Fraction):
        return {"fraction": [value.numerator, value.denominator]}
    if isinstance(value, dict):
        return {"dict": {name: _packed(one, arrays) for name, one in value.items()}}
    name = type(value).__name__
    if _MODULES.get(name) == type(value).__module__:
        fields = value
        if dataclasses.is_dataclass(value):
            fields = [getattr(value, field.name) for field in dataclasses.fields(value)]
        return {"type": name, "fields": [_packed(one, arrays) for one in fields]}
    if isinstance(value, tuple | list):
        return [_packed(one, arrays) for one in value]
    raise TypeError(f"{name} cannot be sent to another process")
