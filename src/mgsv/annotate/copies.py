"""Which moments are another video's once more: the same pictures over the same music.

A video that was exported or uploaded twice would count twice in what is learnt from it. Other bytes
of the same video tell nothing; its moment and its pictures do. Videos that only share the music and
the cut, as those made from one template do, are different ones.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mgsv.annotate.locate import Match
from mgsv.errors import MediaError
from mgsv.media.isolated import VideoScan

Pictures = npt.NDArray[np.float32]

NEAR = 0.1
"""Seconds by which the ends of the same moment may differ: encoders add and drop some frames."""
ALIKE = 0.25
"""Mean difference of two pictures up to which they are one encoded anew, in mean differences of a
picture from its own mean colour: things before the same white wall are not the same things."""
PLAIN = 8.0
"""Of 255 levels; a plain picture is taken to have such a contrast."""
MOST = 0.8
"""Share of the pictures that must be alike."""
_CELLS = 8  # per side; of a picture, whatever its size
_SIDE = 4 * _CELLS  # pixels of the shorter side


class Copies:
    """The moments kept so far."""

    def __init__(self) -> None:
        self._kept: dict[str, list[tuple[Path, Match]]] = {}
        self._pictures: dict[tuple[Path, int, int], Pictures] = {}

    def original(self, path: Path, match: Match) -> Path | None:
        """The video whose moment `match` of `path` is once more; None keeps it as a new one."""
        kept = self._kept.setdefault(match.track.id, [])
        for other, before in kept:
            if _same_moment(before, match) and self._same_pictures(other, path, before):
                return other
        kept.append((path, match))
        return None

    def _same_pictures(self, one: Path, other: Path, match: Match) -> bool:
        """Whether the pictures at the whole seconds of the moment are alike, most of them.

        Not all, since a cut may fall on either side of a second.
        """
        seconds = math.ceil(match.video.start), max(1, math.floor(match.video.end))
        try:
            here, there = self._seen(one, *seconds), self._seen(other, *seconds)
        except MediaError:  # half a video is no proof
            return False
        count = min(len(here), len(there))
        here, there = here[:count], there[:count]
        contrast = np.abs(here - here.mean(axis=(1, 2), keepdims=True)).mean(axis=(1, 2, 3))
        apart = np.abs(here - there).mean(axis=(1, 2, 3)) / np.maximum(contrast, PLAIN)
        return count > 0 and float(np.quantile(apart, MOST)) <= ALIKE

    def _seen(self, path: Path, first: int, last: int) -> Pictures:
        """The pictures of the seconds `first` to `last`, [S, cells, cells, 3] of 0 to 255."""
        key = path, first, last
        if key not in self._pictures:
            cells = [np.zeros((0, _CELLS, _CELLS, 3), np.float32)]
            for frame in VideoScan(path, _SIDE):
                if frame.time >= last:
                    break
                if frame.time >= first:
                    cells.append(_cells(frame.image)[None])
            self._pictures[key] = np.concatenate(cells)
        return self._pictures[key]


def _same_moment(one: Match, other: Match) -> bool:
    """Whether both lay the same part of the track on the same part of their videos."""
    apart = (
        one.video.start - other.video.start,
        one.video.end - other.video.end,
        one.music.duration - other.music.duration,
    )
    # Of places with the same sound, another one may have been found first.
    starts = (other.music.start, *other.also_at)
    return max(map(abs, apart)) <= NEAR and any(
        abs(one.music.start - start) <= NEAR for start in starts
    )


def _cells(image: npt.NDArray[np.uint8]) -> Pictures:
    """Means of a picture's cells; uint8 [H, W, 3], both sides at least `_CELLS`."""
    height, width, _ = image.shape
    rows = np.arange(_CELLS) * height // _CELLS
    columns = np.arange(_CELLS) * width // _CELLS
    total = np.add.reduceat(np.add.reduceat(image.astype(np.float32), rows, 0), columns, 1)
    areas = np.outer(np.diff(rows, append=height), np.diff(columns, append=width))
    return np.asarray(total / areas[:, :, None], np.float32)
