"""Edit lists in mp4 files: which parts of a track a player shows, and in which order."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple


class Edit(NamedTuple):
    """seconds: how long it is shown. start: seconds into the track, None for nothing (an empty
    edit). rate: 1, or 0 for a still picture (a dwell)."""

    seconds: float
    start: float | None
    rate: int = 1


def set_edits(path: Path, edits: Sequence[Edit], handler: bytes = b"vide") -> Path:
    """Give the track of `path` (mp4 or mov, its index at the end) with this handler an edit list.

    A start counts from the track's first picture in decoding order.
    """
    data = path.read_bytes()
    place = data.rindex(b"moov") - 4
    assert int.from_bytes(data[place : place + 4]) == len(data) - place, "the index is not last"
    moov = data[place + 8 :]
    scale = _time_scale(_find(moov, b"mvhd"))
    tracks = b""
    for kind, body in _boxes(moov):
        if kind == b"trak" and _find(body, b"mdia", b"hdlr")[8:12] == handler:
            own = _time_scale(_find(body, b"mdia", b"mdhd"))
            rows = b"".join(
                struct.pack(
                    ">IiHH",
                    round(edit.seconds * scale),
                    -1 if edit.start is None else round(edit.start * own),
                    edit.rate,
                    0,
                )
                for edit in edits
            )
            elst = _box(b"elst", struct.pack(">II", 0, len(edits)) + rows)
            rest = [(k, b) for k, b in _boxes(body) if k != b"edts"]
            at = next(i for i, (k, _) in enumerate(rest) if k == b"mdia")
            rest.insert(at, (b"edts", elst))
            body = b"".join(_box(k, b) for k, b in rest)
        tracks += _box(kind, body)
    path.write_bytes(data[:place] + _box(b"moov", tracks))
    return path


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    while data:
        size = int.from_bytes(data[:4])
        yield data[4:8], data[8:size]
        data = data[size:]


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + kind + body


def _find(data: bytes, *path: bytes) -> bytes:
    for wanted in path:
        data = next(body for kind, body in _boxes(data) if kind == wanted)
    return data


def _time_scale(header: bytes) -> int:
    """Of an mvhd or mdhd box: ticks per second."""
    at = 20 if header[0] == 1 else 12
    return int.from_bytes(header[at : at + 4])
