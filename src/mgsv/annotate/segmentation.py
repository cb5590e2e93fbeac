"""Which of several alignments holds when: the cuts of the music along a sound."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
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
SLIP, SLIP_COST = 0.02, 4.0
"""Seconds by which one continuous use may slip, where samples were dropped or clocks drift, and
what that must gain."""
EDGE_SECONDS = 1.0
"""Music that begins or ends this near the sound's own ends is taken to reach them: fades and a
codec's first moments hide it."""
_LEAST, _MOST = 2.0, 6.0
"""Agreement of a block that speaks neither for nor against, and beyond which more says no more."""
_DOUBTFUL, _CERTAIN = 0.4, 0.8
"""Correlation of a block that says nothing by itself, and from which on it is this sound."""
_ALIKE, _CLEARLY = 0.03, 0.15
"""Correlation by which places with the same sound differ, and what more explains clearly more."""
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
    gains = _gains(found, max(1, int(seconds / BLOCK_SECONDS)))
    path = _best_path(gains, _costs(found, seconds))
    borders = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
    held = (
        (None if not path[first] else found[path[first] - 1], first, last)
        for first, last in itertools.pairwise(borders)
    )
    runs = _to_the_edges(_continued(held, seconds))
    laid = [alignment for alignment, _, _ in runs]
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
    """What each state gains in each block, [1 + alignments, count]; state 0 is none of them.

    An alignment gains where it agrees, and loses where another one explains clearly more. Places
    at which the track repeats itself agree all of them; the sound is from the one that explains it
    throughout.
    """
    correlation = np.stack([_whole(one.correlation, count, 0.0) for one in found])
    # The best one's measure for all: a sound may stand out less where the track beside it is alike.
    chance = np.stack([_whole(one.chance, count, np.inf) for one in found])
    chance = chance[correlation.argmax(axis=0), np.arange(count)]
    agreement = np.clip(correlation / chance, 0, _MOST)
    # Where a note is held, other lags agree as well, and only the correlation itself says much.
    sure = np.clip((correlation - _DOUBTFUL) / (_CERTAIN - _DOUBTFUL) * _MOST, 0, _MOST)
    behind = correlation.max(axis=0) - correlation - _ALIKE
    behind = np.clip(behind / np.maximum(_CLEARLY, 3 * chance), 0, 1) * _MOST
    gains = np.zeros((1 + len(found), count), np.float32)
    gains[1:] = np.maximum(agreement, sure) - _LEAST - behind
    return gains


def _whole(values: Floats, count: int, beyond: float) -> Floats:
    """`values` of `count` blocks, `beyond` where there are none."""
    result = np.full(count, beyond, np.float32)
    result[: len(values)] = values[:count]
    return result


def _costs(found: Sequence[Alignment], seconds: float) -> Floats:
    """What a change from each state to each other costs, [1 + alignments, 1 + alignments]."""
    costs = np.full((1 + len(found), 1 + len(found)), CHANGE, np.float32)
    for i, one in enumerate(found, 1):
        for j, other in enumerate(found, 1):
            if one.is_near(other, seconds, SLIP):
                costs[i, j] = SLIP_COST
    np.fill_diagonal(costs, 0)
    return costs


def _best_path(gains: Floats, costs: Floats) -> npt.NDArray[np.intp]:
    """The state of each block [B] that gains most in all, less what the changes cost."""
    states, count = gains.shape
    came_from = np.zeros((count, states), np.intp)
    score = gains[:, 0].copy()
    for block in range(1, count):
        reached = score[:, None] - costs
        # Where a change gains nothing, the state stays.
        stays = np.diagonal(reached) >= reached.max(axis=0)
        came_from[block] = np.where(stays, np.arange(states), reached.argmax(axis=0))
        score = reached.max(axis=0) + gains[:, block]
    path = np.zeros(count, np.intp)
    path[-1] = int(np.argmax(score))
    for block in range(count - 1, 0, -1):
        path[block - 1] = came_from[block, path[block]]
    return path


_Run = tuple[Alignment | None, float, float]
"""An alignment, or None of them, and the seconds of the sound from which and to which it holds."""


def _continued(runs: Iterable[tuple[Alignment | None, int, int]], seconds: float) -> list[_Run]:
    """`runs` of blocks in seconds, those that only slip by some samples as one."""
    whole: list[tuple[Alignment | None, int, int]] = []
    for alignment, first, last in runs:
        before, begin, until = whole[-1] if whole else (None, 0, 0)
        if before and alignment and before.is_near(alignment, seconds, SLIP):
            # The longer one says where; each how well in its own part.
            main = before if until - begin >= last - first else alignment
            whole[-1] = main.joined(before, alignment, first), begin, last
        else:
            whole.append((alignment, first, last))
    result: list[_Run] = [(a, b * BLOCK_SECONDS, e * BLOCK_SECONDS) for a, b, e in whole]
    result[-1] = (*result[-1][:2], seconds)
    return result


def _to_the_edges(runs: list[_Run]) -> list[_Run]:
    """Without the short silences before the first and after the last music."""
    if len(runs) > 1 and runs[0][0] is None and runs[0][2] <= EDGE_SECONDS:
        runs = [(runs[1][0], runs[0][1], runs[1][2]), *runs[2:]]
    if len(runs) > 1 and runs[-1][0] is None and runs[-1][2] - runs[-1][1] <= EDGE_SECONDS:
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
