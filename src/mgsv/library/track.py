"""A track as the library gives it out, without or with its features."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mgsv.library.creditlists import CreditLists
from mgsv.library.credits import NO_CREDITS, Credits
from mgsv.library.features import ANALYSIS, TrackRecord

SHORTEST_TRACK = 3.0
"""Seconds. The music encoder reads patches of 3 s, so a shorter track has none that is all
music.
"""

SHOWN_TAGS = 5


@dataclass(frozen=True, slots=True)
class Track:
    """A piece of music in a library."""

    id: str
    """Hash of the file's bytes (hexadecimal): the same music under any name."""
    path: Path
    """Where it is, or was; of several copies, one that is still there, first in order of path."""
    duration: float
    """Seconds."""
    tempo: float
    """Beats per minute, 0 where no beat was found."""
    tags: tuple[str, ...] = ()
    """The most probable words for it, best first."""
    copies: tuple[Path, ...] = ()
    """Other files with the same content."""
    missing: bool = False
    """No file holds it any more. Its features are kept until it is removed."""
    outdated: bool = False
    """An earlier version found its beats and bars; adding its folder again finds them anew."""
    credits: Credits = NO_CREDITS
    """Who made it and what may be done with it, by its own tags and lists beside it."""
    brightness: float | None = None
    """Mean spectral centroid in Hz; None for a track that an earlier version decoded."""

    @property
    def too_short(self) -> bool:
        return self.duration < SHORTEST_TRACK


@dataclass(frozen=True, slots=True)
class TrackCurves:
    """What alignment needs of a track."""

    track: Track
    onset: npt.NDArray[np.float16]
    """[T] onset strength at 62.5 Hz (`media.rhythm.ONSET_RATE`)."""
    energy: npt.NDArray[np.float16]
    """[T] loudness curve at 62.5 Hz."""
    beats: npt.NDArray[np.float32]
    """[K] seconds."""
    downbeats: npt.NDArray[np.float32] | None = field(default=None, kw_only=True)
    """[B] seconds, first beats of bars; None for a track that an earlier version indexed."""


@dataclass(frozen=True, slots=True)
class TrackFeatures(TrackCurves):
    """All that is stored of a track."""

    segments: npt.NDArray[np.float16]
    """[S, D] music features, one row per 2.5 s."""
    segment_mask: npt.NDArray[np.bool_]
    """[S] true = valid."""


def track_of(record: TrackRecord, paths: list[bytes], lists: CreditLists) -> Track:
    """A record of the catalogue with the files that hold it, at least one, and what the lists
    beside these say of it.
    """
    there = [path for path in paths if os.path.exists(path)]  # noqa: PTH110 (bytes)
    best = (there or paths)[0]
    return Track(
        id=record.id,
        path=Path(os.fsdecode(best)),
        duration=record.duration,
        tempo=record.tempo,
        tags=tuple(itertools.islice(record.tags, SHOWN_TAGS)),
        copies=tuple(Path(os.fsdecode(path)) for path in paths if path != best),
        missing=not there,
        outdated=record.analysis < ANALYSIS,
        credits=lists.credits(best, record.credits or NO_CREDITS),
        brightness=record.brightness,
    )
