"""Which of several alignments holds when: the cuts of the music along a sound."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mgsv.annotate.alignment import BLOCK_SECONDS, Alignment
from mgsv.library.fingerprints import TrackFingerprint
from mgsv.media.sign_waveform import RATE, signs

Floats = npt.NDArray[np.float32]

CHANGE = 16.0
"""What a change from one alignment to another, or to none, must gain: a second of full agreement,
so that a word or a bang in the foreground is no cut."""
EDGE_SECONDS = 1.0
"""Music that begins or ends this near the sound's own ends is taken to reach them: fades and a
codec's first moments hide it."""
_LEAST, _MOST = 2.0, 6.0
"""Agreement of a block that speaks neither for nor against, and beyond which more says no more."""
_STEP = 40  # samples, 5 ms: how finely cuts are placed
_AROUND = 1.0  # seconds in which a cut is looked for, to either side of where the blocks say


@dataclass(frozen=True)
class AlignedStretch:
    """`alignment` holds from `start` to `end` seconds of the sound."""

    alignment: Alignment
    start: float
    end: float

    @property
    def blocks(self) -> slice:
        """The blocks that lie in it, at least one."""
        first = min(round(self.start / BLOCK_SECONDS), len(self.alignment.agreement) - 1)
        return slice(first, max(first + 1, round(self.end / BLOCK_SECONDS)))


def segment(
    white: Floats, found: Sequence[Alignment], tracks: Sequence[TrackFingerprint]
) -> list[AlignedStretch]:
    """The most agreeing sequence of `found` along the whitened sound `white`, in order of time."""
    if not found:
        return []
    seconds = len(white) / RATE
    path = _best_path(_gains(found, max(1, int(seconds / BLOCK_SECONDS))))
    borders = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
    runs = [
        (int(path[first]) - 1, first * BLOCK_SECONDS, last * BLOCK_SECONDS)
        for first, last in itertools.pairwise(borders)
    ]
    runs[-1] = (*runs[-1][:2], seconds)
    runs = _to_the_edges(runs)
    laid = [None if which < 0 else found[which] for which, _, _ in runs]
    cuts = [runs[0][1]]
    for (before, (_, low, cut)), (after, (_, _, high)) in itertools.pairwise(
        zip(laid, runs, strict=True)
    ):
        reach = max(low, cut - _AROUND), min(high, cut + _AROUND)
        cuts.append(_cut(white, tracks, before, after, *reach))
    cuts.append(runs[-1][2])
    stretches = []
    for alignment, (start, end) in zip(laid, itertools.pairwise(cuts), strict=True):
        if alignment is None:
            continue
        # Where the track itself begins or ends.
        start = max(start, -alignment.start / alignment.speed)
        end = min(end, (tracks[alignment.track].seconds - alignment.start) / alignment.speed)
        if end > start:
            stretches.append(AlignedStretch(alignment, start, end))
    return stretches


def _gains(found: Sequence[Alignment], count: int) -> Floats:
    """What each state gains in each block, [1 + alignments, count]; state 0 is none of them."""
    gains = np.zeros((1 + len(found), count), np.float32)
    for row, alignment in zip(gains[1:], found, strict=True):
        agreement = alignment.agreement[:count]
        row[: len(agreement)] = np.clip(agreement, 0, _MOST) - _LEAST
        row[len(agreement) :] = -_LEAST
    return gains


def _best_path(gains: Floats) -> npt.NDArray[np.intp]:
    """The state of each block [B] that gains most in all, each change costing `CHANGE`."""
    states, count = gains.shape
    came_from = np.zeros((count, states), np.intp)
    score = gains[:, 0].copy()
    for block in range(1, count):
        best = int(np.argmax(score))
        changed = score < score[best] - CHANGE
        came_from[block] = np.where(changed, best, np.arange(states))
        score = np.where(changed, score[best] - CHANGE, score) + gains[:, block]
    path = np.zeros(count, np.intp)
    path[-1] = int(np.argmax(score))
    for block in range(count - 1, 0, -1):
        path[block - 1] = came_from[block, path[block]]
    return path


def _to_the_edges(runs: list[tuple[int, float, float]]) -> list[tuple[int, float, float]]:
    """Without the short silences before the first and after the last music."""
    if len(runs) > 1 and runs[0][0] < 0 and runs[0][2] <= EDGE_SECONDS:
        runs = [(runs[1][0], runs[0][1], runs[1][2]), *runs[2:]]
    if len(runs) > 1 and runs[-1][0] < 0 and runs[-1][2] - runs[-1][1] <= EDGE_SECONDS:
        runs = [*runs[:-2], (runs[-2][0], runs[-2][1], runs[-1][2])]
    return runs


def _cut(
    white: Floats,
    tracks: Sequence[TrackFingerprint],
    before: Alignment | None,
    after: Alignment | None,
    low: float,
    high: float,
) -> float:
    """The second between `low` and `high` at which `before` stops agreeing and `after` begins."""
    first, last = round(low * RATE), round(high * RATE)
    last = first + (last - first) // _STEP * _STEP
    sound = white[first:last]
    evidence = _evidence(sound, first, tracks, before) - _evidence(sound, first, tracks, after)
    # evidence[:k] speaks for `before`, the rest for `after`: cut where their sum is highest.
    return (first + _STEP * int(np.argmax(np.append(0.0, np.cumsum(evidence))))) / RATE


def _evidence(
    sound: Floats, first: int, tracks: Sequence[TrackFingerprint], alignment: Alignment | None
) -> npt.NDArray[np.float64]:
    """How much each 5 ms speaks for `alignment`; one that holds half of the time sums to 0."""
    if alignment is None:
        return np.zeros(len(sound) // _STEP)
    at = (first + np.arange(len(sound))) * alignment.speed + alignment.start * RATE
    places = np.round(at).astype(np.int64)
    begin = int(places[0]) if len(places) else 0
    reference = signs(tracks[alignment.track].signs, begin, begin + len(places) * 2)
    product = (sound * reference[places - begin]).reshape(-1, _STEP).sum(axis=1)
    return np.asarray(product - product.mean(), np.float64)
