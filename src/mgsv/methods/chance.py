"""The score that luck alone reaches in a library of a learned model's tracks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mgsv.library import TrackCurves
from mgsv.library.track import SHORTEST_TRACK
from mgsv.methods.tracklist import Subset, kept_of

Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.99
"""Share of libraries in which luck should stay below. Scores have heavier tails than those assumed,
so that with 0.99 a track that is not the clip's own is above in 4.7 % of val edits:
`benchmarks/chance.py`, which also tells of test."""
MOST = 128
"""Tracks that chance is measured on, and from these extrapolated to the whole library."""
LEAST = 8
"""Fewer tracks do not show how scores spread."""
TOO_FEW = (
    f"with fewer than {LEAST} tracks there is nothing to compare a score with, "
    "so it does not tell whether this music fits better than chance"
)


def chance(
    score: Callable[[Sequence[TrackCurves]], Sequence[float]],
    tracks: Sequence[TrackCurves],
    known: Mapping[int, float],
) -> float | None:
    """The score from which on a best track stands out of `tracks`; None for too few of them.

    score: gives the final scores of some; known: those that have been computed, by place.
    """
    usable = usable_places(tracks)
    if len(usable) < LEAST:
        return None
    sample = usable[:: -(-len(usable) // MOST)]
    new = np.array([place for place in sample.tolist() if place not in known], np.intp)
    found = score(Subset(tracks, new)) if len(new) else []
    scored = {**known, **dict(zip(new.tolist(), found, strict=True))}
    return reached_by_luck(np.array([scored[place] for place in sample.tolist()]), len(usable))


def reached_by_luck(scores: Floats, tracks: int) -> float:
    """What the best of so many `tracks` reaches where none belongs to the clip.

    scores: [n] of some of them, eight or more. Their upper half is taken for an exponential tail,
    but for the best, which may be the track that fits: it counts as one that is at least as good as
    the second.
    """
    falling = np.sort(scores)[::-1]
    count = len(falling) // 2
    middle = float(falling[count])
    others = falling[1:count] - middle
    scale = (float(others.sum()) + float(others[0])) / len(others)
    rare = 1 - CONFIDENCE ** (1 / tracks)
    return middle + scale * math.log(count / len(falling) / rare)


def usable_places(tracks: Sequence[TrackCurves]) -> npt.NDArray[np.intp]:
    """Places of the tracks that are not too short."""
    kept = kept_of(tracks)
    if kept is not None:
        return np.flatnonzero(kept.seconds >= SHORTEST_TRACK)
    return np.array([n for n, one in enumerate(tracks) if not one.track.too_short], np.intp)
