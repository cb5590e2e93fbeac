"""The edit list of a finished QuickTime or mp4 file, which says what of a track is shown.

FFmpeg writes lists that leave out a track's beginning, never its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO


def end_picture(file: BinaryIO, seconds: float) -> None:
    """Have players stop showing the first track of `file` after `seconds`.

    file: as FFmpeg has written it, its index (the moov box) last, less than 49 days long (or its
    times would be wider); changed in place. What lies beyond is still there to be decoded for other
    pictures to refer to.
    """
    place, index = _index(file)
    movie = _box(index, b"mvhd")
    tracks = [at for at, kind in _boxes(index) if kind == b"trak"]
    headers = [_box(index, b"tkhd", within=at) for at in tracks]
    edits = _box(index, b"edts", b"elst", within=tracks[0])
    # Rounded down: rounded up, the next picture would have a share of a tick.
    length = int(seconds * _number(index, movie + 12))
    _write(index, edits + 8 + 12 * (_number(index, edits + 4) - 1), length)
    _write(index, headers[0] + 20, length)
    _write(index, movie + 16, max(_number(index, at + 20) for at in headers))
    file.seek(place)
    file.write(index)


def _index(file: BinaryIO) -> tuple[int, bytearray]:
    """Where the content of the moov box starts, and that content."""
    place, kind = 0, b""
    while kind != b"moov":
        file.seek(place)
        size, kind = int.from_bytes(file.read(4)), file.read(4)
        header = 8
        if size == 1:  # a wide one follows
            size, header = int.from_bytes(file.read(8)), 16
        place += size
    start = place - size + header
    file.seek(start)
    return start, bytearray(file.read(size - header))


def _box(data: bytearray, *path: bytes, within: int = 0) -> int:
    """Where the content of the first box of that path starts, searched from `within` on."""
    start = within
    for wanted in path:
        start = next(at for at, kind in _boxes(data, start) if kind == wanted)
    return start


def _boxes(data: bytearray, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """Where the content of each box starts that begins at `start` or after it, and its kind."""
    while start < len(data):
        yield start + 8, bytes(data[start + 4 : start + 8])
        start += _number(data, start)


def _number(data: bytearray, at: int) -> int:
    return int.from_bytes(data[at : at + 4])


def _write(data: bytearray, at: int, number: int) -> None:
    data[at : at + 4] = number.to_bytes(4)
