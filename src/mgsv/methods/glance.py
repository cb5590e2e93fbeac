"""What the survey would say of a whole library, at a glance.

Two looks, both at the tracks' sketches (`methods.sketch`) alone. The `first_look` finds where on
each track most cuts lie on beats, and where on onsets, and takes these starts and the track's own
for all: some microseconds a track. The `second_look`, at those that the first one leaves, is the
survey's own formula, 25 starts a second: cuts on beats and on onsets, motion with the loudness, and
a prior by the beats. Both give the survey's evidence for a track, in log-odds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import log
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mgsv.library.packs import Pack, Rows, Shard
from mgsv.media.rhythm import ONSET_DELAY
from mgsv.media.video import CURVE_RATE
from mgsv.methods.editing import LEAST_DEVIATION, SHAKES, Edit
from mgsv.methods.origin import from_start
from mgsv.methods.sketch import BIN, BINS, ENERGY_RATE, LEVELS, PHASES, RATE, SPARSE
from mgsv.methods.survey import BEYOND, SurveyWeights, log_ratio, motion_counts
from mgsv.methods.synchrony import fft_size, unit
from mgsv.portable import available_cores

Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]
T = TypeVar("T")
R = TypeVar("R")

FIRST_CUTS = 255 // (LEVELS - 1)
"""The first look counts at most so many cuts, whose levels add up in a byte."""
BLOCK = 1 << 19
"""Bytes of sketches at a time, which stay in a core's cache with what is made of them."""
TRACKS_AT_ONCE = 32
LARGEST = 70.0
"""Log of the largest ratio whose sums single precision can hold; from there on the best start of a
track stands for all."""


def first_look(edit: Edit, weights: SurveyWeights, sketches: Pack) -> Floats:
    """[N] evidence for each row of `sketches`, by where its beats, and its onsets, meet the most
    cuts. 0 for all where the clip has too few cuts.
    """
    if not edit.has_cuts:
        return np.zeros(len(sketches))
    cuts = edit.clip.cuts
    if len(cuts) > FIRST_CUTS:
        cuts = cuts[np.linspace(0, len(cuts) - 1, FIRST_CUTS).astype(int)]
    offsets, seconds = _offsets(cuts), edit.clip.seconds
    chance = _chance_by_frequency(edit)
    parts = []
    for shard in sketches.shards:
        facts = shard.arrays["facts"].reshape(-1, 2).astype(np.float64)

        def look(block: slice, shard: Shard = shard, facts: Floats = facts) -> Floats:
            return _most_hits(shard, block, offsets, facts[block], seconds)

        found = np.concatenate(
            [np.zeros((0, 2, 2)), *together(look, [*_blocks(shard.ends["even"])])]
        )
        levels = shard.arrays["levels"].reshape(-1, 2, LEVELS).astype(np.float64)
        power = shard.arrays["power"].reshape(-1, 2, BINS).astype(np.float32)
        left = (power @ chance / np.maximum(power.sum(axis=2), 1e-9)).astype(np.float64)
        parts.append(_weighed(found, levels, left, facts, edit, weights))
    return np.concatenate([np.zeros(0), *parts])


def second_look(edit: Edit, weights: SurveyWeights, sketches: Pack, rows: Rows) -> Floats:
    """[len(rows)] evidence for these rows of `sketches`, by all starts of a 40 ms grid."""
    if not (edit.has_cuts or edit.has_motion) or not len(rows):
        return np.zeros(len(rows))
    groups = [rows[n : n + TRACKS_AT_ONCE] for n in range(0, len(rows), TRACKS_AT_ONCE)]
    return np.concatenate(together(lambda group: _evidence(edit, weights, sketches, group), groups))


def together(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """[work(item) for each of items], on all cores."""
    cores = min(available_cores(), len(items))
    if cores <= 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(cores) as threads:
        return list(threads.map(work, items))


# --- the first look -------------------------------------------------------------------------------


def _blocks(ends: npt.NDArray[np.int64]) -> Iterator[slice]:
    """Rows that are some BLOCK bytes together."""
    first, count = 0, len(ends) - 1
    while first < count:
        last = int(np.searchsorted(ends, ends[first] + BLOCK, side="right")) - 1
        last = min(max(last, first + 1), count)
        yield slice(first, last)
        first = last


def _most_hits(
    shard: Shard, block: slice, offsets: Sequence[tuple[int, int]], facts: Floats, seconds: float
) -> Floats:
    """[rows, 2, 2] mean level of beats, and of onsets, under the cuts: at the best start, and at
    the track's own.
    """
    ends = shard.ends["even"][block.start : block.stop + 1]
    begin, size = int(ends[0]), int(ends[-1] - ends[0])
    starts = ends[:-1] - begin
    room, own = _room(np.diff(ends), facts, seconds)
    borders = np.stack([starts, starts + room], axis=1).ravel()
    reach = max(step for _, step in offsets) + 1
    seen = [shard.arrays[name][begin : begin + size + reach] for name in ("even", "odd")]
    level = np.zeros((PHASES, size + reach), np.uint8)
    total = np.empty(size + 1, np.uint8)  # one more, since a border may lie at the end
    found = []
    for which in range(2):
        for phase, curve in enumerate(seen):
            half = level[phase, : len(curve)]
            if which == 0:
                np.right_shift(curve, 4, out=half)
            else:
                np.bitwise_and(curve, LEVELS - 1, out=half)
        total[:] = 0
        for phase, step in offsets:
            np.add(total[:-1], level[phase, step : step + size], out=total[:-1])
        best = np.maximum.reduceat(total, borders)[::2]
        found.append(np.stack([best, total[starts + own]], axis=1))
    return np.stack(found, axis=1) / (len(offsets) * (LEVELS - 1))


def _weighed(
    found: Floats,
    levels: Floats,
    left: Floats,
    facts: Floats,
    edit: Edit,
    weights: SurveyWeights,
) -> Floats:
    """[rows] evidence of the best starts and of the track's own.

    levels: [rows, 2, LEVELS]; left: [rows, 2] share of a level's variance that chance leaves in the
    mean over the cuts.
    """
    height = np.arange(LEVELS) / (LEVELS - 1)
    count = np.maximum(levels.sum(axis=2), 1)
    usual = levels @ height / count
    spread = np.sqrt(np.maximum(levels @ height**2 / count - usual**2, 0) * left)
    apart = np.sqrt(len(edit.clip.cuts)) * np.array([weights.grid, weights.cuts])[:, None]
    deviations = (found - usual[..., None]) / np.maximum(spread, LEAST_DEVIATION)[..., None]
    exponent = np.minimum(log_ratio(deviations, apart, BEYOND), 10 * LARGEST)
    shares = np.array([weights.beats, weights.accents])[:, None]
    best, own = (shares * np.exp(exponent)).sum(axis=1).T
    habit = np.exp(_habit(weights))
    near = habit[-1] / np.maximum(levels[:, 0] @ habit, 1e-9)
    first = from_start(edit.clip.seconds, facts[:, 0])
    none = 1 - weights.beats - weights.accents
    return np.asarray(np.log(none + first * own + (1 - first) * near * best))


def _chance_by_frequency(edit: Edit) -> npt.NDArray[np.float32]:
    """[BINS] share of a curve's variance at each frequency that is left in the mean over the cuts
    of shaken clips.
    """
    frequency = np.arange(BINS) * BIN
    shares = []
    for shaken in edit.versions[1:]:
        turns = np.exp(2j * np.pi * frequency[:, None] * shaken.cuts)
        shares.append(np.abs(turns.mean(axis=1)) ** 2)
    kept = np.mean(shares, axis=0)
    kept[-1] = 1 / len(edit.clip.cuts)  # of all that is faster
    return np.asarray(kept, np.float32)


# --- the second look ------------------------------------------------------------------------------


def _evidence(edit: Edit, weights: SurveyWeights, sketches: Pack, rows: Rows) -> Floats:
    even, ends = sketches.take("even", rows)
    both = np.stack([even, sketches.take("odd", rows)[0]])
    facts = sketches.take("facts", rows)[0].reshape(-1, 2).astype(np.float64)
    starts, lengths = ends[:-1], np.diff(ends)
    room, own = _room(lengths, facts, edit.clip.seconds)
    on_beat, onset = np.right_shift(both, 4), np.bitwise_and(both, LEVELS - 1)
    borders = np.stack([starts, starts + room], axis=1).ravel()
    ratio, more = np.ones(len(even), np.float32), np.zeros(len(rows))
    if edit.has_cuts:
        amount = np.sqrt(len(edit.clip.cuts))
        kinds = ((on_beat, weights.beats, weights.grid), (onset, weights.accents, weights.cuts))
        logs = [
            _exponent(edit, level, starts, room, lengths, amount * apart) + np.float32(log(share))
            for level, share, apart in kinds
            if share > 0
        ]
        if logs:
            highest = np.pad(np.maximum.reduce(logs), (0, 1))
            more = np.maximum(np.maximum.reduceat(highest, borders)[::2] - LARGEST, 0)
            beyond = np.repeat(more.astype(np.float32), lengths)
            ratio *= np.float32(1 - weights.beats - weights.accents)
            for exponent in logs:
                ratio += np.exp(np.minimum(exponent - beyond, np.float32(LARGEST)))
    if edit.has_motion and weights.moving > 0:
        ratio *= _motion_ratio(edit, weights, sketches, rows, lengths)
    habit = np.exp(_habit(weights)).astype(np.float32)[on_beat[0]]
    sums = np.pad(np.stack([habit * ratio, habit]), ((0, 0), (0, 1)))
    later, prior = np.add.reduceat(sums, borders, axis=1)[:, ::2]
    first = from_start(edit.clip.seconds, facts[:, 0])
    mean = later.astype(np.float64) / np.maximum(prior, 1e-30)
    return np.asarray(np.log(first * ratio[starts + own] + (1 - first) * mean) + more)


def _exponent(
    edit: Edit,
    level: Bytes,
    starts: npt.NDArray[np.int64],
    room: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
    apart: float,
) -> npt.NDArray[np.float32]:
    """[T] log of the ratio at each start, for clips that follow the curve `level` [PHASES, T]."""
    versions = [_offsets(clip.cuts) for clip in edit.versions]
    size = level.shape[1]
    reach = max(step for offsets in versions for _, step in offsets)
    padded = np.pad(level, ((0, 0), (0, reach + SPARSE - (size + reach) % SPARSE)))
    count = len(edit.clip.cuts)
    kind = "u1" if count <= FIRST_CUTS else "u2"
    hits: npt.NDArray[Any] = np.zeros(size, kind)
    for phase, step in versions[0]:
        hits += padded[phase, step : step + size]
    # Every fifth start, the samples sorted so that they lie side by side.
    thin = size // SPARSE
    sorted_ = padded.reshape(PHASES, -1, SPARSE).transpose(0, 2, 1).copy()
    first = starts // SPARSE
    last = first - (-room // SPARSE)
    borders = np.stack([first, last], axis=1).ravel()
    total, squares = np.zeros(len(starts)), np.zeros(len(starts))
    for offsets in versions[1:]:
        chance: npt.NDArray[Any] = np.zeros(thin + 2, kind)
        for phase, step in offsets:
            part = sorted_[phase, step % SPARSE, step // SPARSE : step // SPARSE + thin]
            chance[: len(part)] += part
        values = chance.astype(np.float32)
        total += np.add.reduceat(values, borders)[::2]
        squares += np.add.reduceat(values * values, borders)[::2]
    seen = SHAKES * (last - first)
    scale = 1 / (count * (LEVELS - 1))
    usual = total / seen
    spread = np.sqrt(np.maximum(squares / seen - usual**2, 0)) * scale
    slope = apart * scale / np.maximum(spread, LEAST_DEVIATION)
    level_at = np.repeat(slope.astype(np.float32), lengths) * hits
    level_at += np.repeat((-slope * usual - apart**2 / 2).astype(np.float32), lengths)
    most = log_ratio(np.array(np.inf), apart, BEYOND)
    return np.asarray(np.minimum(level_at, most.astype(np.float32)), np.float32)


def _motion_ratio(
    edit: Edit,
    weights: SurveyWeights,
    sketches: Pack,
    rows: Rows,
    lengths: npt.NDArray[np.int64],
) -> npt.NDArray[np.float32]:
    """[T] ratio of clips that move with the loudness, at the rate of the beats."""
    flat, ends = sketches.take("energy", rows)
    counts = np.diff(ends)
    widest = int(counts.max())
    patterns = [_thinned(clip.motion) for clip in edit.versions]
    length = min(len(patterns[0]), int(counts.min()))
    kernel = np.stack([unit(pattern[:length]) for pattern in patterns])
    energy = np.zeros((len(rows), widest), np.float32)
    inside = np.arange(widest) < counts[:, None]
    energy[inside] = flat / np.float32(255)
    n = fft_size(widest)
    spectra = np.fft.rfft(energy, n)[:, None] * np.conj(np.fft.rfft(kernel, n))
    sums = np.fft.irfft(spectra, n)[..., : widest - length + 1]
    sums /= _norms(energy, length)[:, None]
    usable = np.arange(sums.shape[-1]) < np.maximum(counts - length + 1, 1)[:, None]
    seen = np.maximum(usable.sum(axis=1), 1) * SHAKES
    chance = np.where(usable[:, None], sums[:, 1:], 0)
    usual = chance.sum(axis=(1, 2)) / seen
    spread = np.sqrt(np.maximum((chance**2).sum(axis=(1, 2)) / seen - usual**2, 0))
    apart = np.sqrt(motion_counts(edit.clip.seconds)) * weights.motion
    deviations = (sums[:, 0] - usual[:, None]) / np.maximum(spread, LEAST_DEVIATION)[:, None]
    exponent = np.minimum(log_ratio(deviations, apart), LARGEST)
    ratio = (1 - weights.moving + weights.moving * np.exp(exponent)).astype(np.float32)
    step = round(RATE / ENERGY_RATE)
    return np.concatenate(
        [
            np.resize(np.repeat(one, step), count)
            for one, count in zip(ratio, lengths.tolist(), strict=True)
        ]
    )


def _norms(energy: npt.NDArray[np.float32], length: int) -> npt.NDArray[np.float32]:
    """[rows, S] √(Σ (x − mean)²) of every window; inf where one does not vary."""
    zero = np.zeros((len(energy), 1))
    sums = np.concatenate([zero, np.cumsum(energy, axis=1, dtype=np.float64)], axis=1)
    squares = np.concatenate([zero, np.cumsum(energy**2, axis=1, dtype=np.float64)], axis=1)
    mean = (sums[:, length:] - sums[:, :-length]) / length
    spread = squares[:, length:] - squares[:, :-length] - length * mean**2
    return np.where(spread > 1e-6, np.sqrt(np.maximum(spread, 1e-6)), np.inf).astype(np.float32)


def _thinned(motion: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """A curve at 10 Hz at ENERGY_RATE."""
    step = round(CURVE_RATE / ENERGY_RATE)
    whole = motion[: max(1, len(motion) // step) * step]
    if len(whole) < step:
        return whole
    return np.asarray(whole.reshape(-1, step).mean(axis=1), np.float32)


def _offsets(cuts: npt.NDArray[np.floating]) -> list[tuple[int, int]]:
    """(phase, samples at RATE) from a start to each cut."""
    places = np.rint((cuts.astype(np.float64) + ONSET_DELAY) * RATE * PHASES).astype(int)
    return [(place % PHASES, place // PHASES) for place in sorted(places.tolist())]


def _habit(weights: SurveyWeights) -> Floats:
    """[LEVELS] log-odds of a start by how near a beat or the first of a bar is."""
    height = np.arange(LEVELS) / (LEVELS - 1)
    beat, downbeat = np.minimum(1, 2 * height), np.maximum(0, 2 * height - 1)
    return np.asarray(weights.beat * beat + weights.downbeat * downbeat)


def _room(
    lengths: npt.NDArray[np.int64], facts: Floats, seconds: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """How many starts of each track leave room for the clip, and which is the music's own."""
    room = ((facts[:, 0] - seconds) * RATE).astype(np.int64) + 1
    room = np.clip(room, 1, lengths)
    return room, np.minimum((facts[:, 1] * RATE).astype(np.int64), room - 1)
