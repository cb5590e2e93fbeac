"""Pieces whose beats and bars are known, and how well such are found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mgsv.errors import DataError
from mgsv.files import write_file

NAME = "pieces.json"
TOLERANCE = 0.07
"""Seconds by which a beat may be off, and ..."""
SKIPPED = 5.0
"""... seconds at the start that do not count: both as in mir_eval."""


@dataclass(frozen=True)
class Piece:
    """A rendered piece.

    half: `tuning` or `reporting`. style: its metre, or the style's name. audio: below the folder.
    beats, downbeats: seconds, rising.
    """

    id: str
    package: str
    half: str
    style: str
    metre: str
    audio: str
    beats: tuple[float, ...]
    downbeats: tuple[float, ...]


def write_pieces(folder: Path, pieces: Iterable[Piece]) -> None:
    body = json.dumps([asdict(piece) for piece in pieces])
    write_file(folder / NAME, body + "\n", overwrite=True)


def read_pieces(folder: Path) -> list[Piece]:
    """The pieces in `folder`. Raises `DataError` where there are none."""
    path = folder / NAME
    try:
        body = json.loads(path.read_text("utf-8"))
        times = ("beats", "downbeats")
        return [Piece(**{**one, **{name: tuple(one[name]) for name in times}}) for one in body]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(path, f"it cannot be read ({error})", "run recipes/bars.py") from error


def f_measure(found: Iterable[float], truth: Sequence[float]) -> float:
    """F of times found against true ones, each matched once, in order."""
    left = [time for time in found if time >= SKIPPED]
    right = [time for time in truth if time >= SKIPPED]
    if not left or not right:
        return 0.0
    one = other = hits = 0
    while one < len(left) and other < len(right):
        if abs(left[one] - right[other]) <= TOLERANCE:
            hits, one, other = hits + 1, one + 1, other + 1
        elif left[one] < right[other]:
            one += 1
        else:
            other += 1
    return 2 * hits / (len(left) + len(right))
