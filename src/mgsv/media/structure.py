"""Musical structure: bars, phrases, sections and repetition, from what a library stores of a track.

Nothing is decoded: the rhythm's curves, the metre's bars and any encoder's features are enough, in
some milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mgsv.media.curves import distances, edges_at, nearest, rises
from mgsv.media.rhythm import ENERGY_RANGE_DB, ONSET_DELAY, ONSET_RATE

Curve = NDArray[np.float32]
Floats = NDArray[np.float64]

METRES = (4, 3)
"""Beats a bar, the usual one first."""
METRE_MARGIN = 1.3
"""Another metre than 4 must explain the accents so much better: in noise they come out alike."""
JUMP = 10.0
"""What a bar of another length costs, in deviations of the accents: some three clear bars must
speak for it. Trackers drop or invent a beat now and then, and the count must recover."""
ACCENT_REACH = 3
"""16 ms samples to either side of a beat in which its onset may lie."""

NOVELTY_REACH = 16.0
"""Seconds before and after a border that must differ: sections last 10 to 40 s."""
NOVELTY_LEAST = 0.5
"""Deviations above the track's mean novelty from which on a peak is a border."""
SHORTEST_SECTION = 7.5
"""Seconds between two peaks of novelty, and between one and the track's ends."""

REPEAT_APART = 20.0
"""Seconds: what sounds alike closer by than this continues, rather than comes back."""
REPEAT_ROWS = 2
"""Rows (5 s) that must come back in order; a single one is soon found again."""
ROWS_AT_ONCE = 256

ENTRY_RISE = 6.0 / ENERGY_RANGE_DB
"""The music comes in where it is 6 dB louder for a second than for the second before."""
ENTRY_APART = 2.0
"""Seconds between two entries."""
SHORTEST_PHRASE = 6.0
"""Seconds: four bars that are over sooner are half a phrase, which then has eight."""


@dataclass(frozen=True)
class Structure:
    """Where the parts of a track begin; times in seconds, float32 [N], rising.

    downbeats: first beats of bars. borders: where sections begin, 0 always among them.
    phrases: where groups of four or eight bars begin, and where the music comes in after a dip;
    the borders are among them. rows: [S, D] the features, `step` seconds each, of length 1; without
    rows where repetition is not wanted.
    """

    downbeats: Curve
    borders: Curve
    phrases: Curve
    rows: Curve = field(default_factory=lambda: np.zeros((0, 1), np.float32), repr=False)
    step: float = 2.5

    @cached_property
    def repetition(self) -> Curve:
        """float32 [S], per row from 0 to 1, how much the sound there comes back elsewhere.

        Found when it is first asked for: it takes longer than all else here, and few want it.
        """
        return _repetition(self.rows, self.step)


def analyse_structure(
    beats: NDArray[np.floating],
    onset: NDArray[np.floating],
    energy: NDArray[np.floating],
    segments: NDArray[np.floating],
    *,
    downbeats: NDArray[np.floating] | None = None,
    step: float = 2.5,
) -> Structure:
    """The structure of a track, from `TrackFeatures` as they are stored, or a `Rhythm`.

    Args:
        beats: [K] seconds, rising.
        onset, energy: [T] at `ONSET_RATE`, as in `Rhythm`.
        segments: [S, D], at least one row, of any encoder; row k from k * step seconds on.
        downbeats: [B] seconds, as in `Metre`, rising. None where they are not known, as of tracks
            that an earlier version indexed: then they are counted from the accents.
        step: seconds per row.
    """
    times, loudness = np.asarray(beats, np.float64), np.asarray(energy, np.float64)
    if downbeats is None:
        bars = _downbeats(times, np.asarray(onset, np.float64), loudness)
    else:
        bars = np.asarray(downbeats, np.float64)
    rows = _standardised(segments)
    borders = _borders(rows, loudness, bars, step)
    entries = _entries(loudness, times)
    return Structure(
        downbeats=bars.astype(np.float32),
        borders=borders.astype(np.float32),
        phrases=_phrases(borders, entries, bars).astype(np.float32),
        rows=rows,
        step=step,
    )


def _downbeats(beats: Floats, onset: Floats, energy: Floats) -> Floats:
    """The first beats of bars: the metre and count under which they have the strongest accents."""
    if len(beats) < 2 * METRES[0] or not onset.any():
        return np.zeros(0)
    accents = _accents(beats, onset, energy)
    first, *others = (_count(accents, metre) for metre in METRES)
    best = first
    for other in others:
        if other[0] > METRE_MARGIN * max(first[0], 0.0) and other[0] > best[0]:
            best = other
    return np.asarray(beats[best[1] == 0])


def _accents(beats: Floats, onset: Floats, energy: Floats) -> Floats:
    """[K] how much each beat stands out, zero mean.

    By the onset on it, and by how much the bar from it on differs from the bar before, in loudness
    and in how busy it is: instruments come and go at bars.
    """
    at = np.rint((beats + ONSET_DELAY) * ONSET_RATE).astype(int)
    around = at[:, None] + np.arange(-ACCENT_REACH, ACCENT_REACH + 1)
    # The sum: how an onset is shared out among samples depends on where between two it lies.
    strength = np.sqrt(onset[np.clip(around, 0, len(onset) - 1)].sum(axis=1))
    changes = [_step(curve, beats, METRES[0]) for curve in (energy, onset)]
    return np.asarray(_deviations(strength) + sum(_deviations(change) for change in changes))


def _step(curve: Floats, beats: Floats, count: int) -> Floats:
    """[K] |mean over the `count` beats from each on, minus mean over those before it|."""
    at = edges_at(beats, ONSET_RATE, len(curve))
    places = np.arange(len(beats))
    before = at[np.maximum(places - count, 0)]
    after = at[np.minimum(places + count, len(beats) - 1)]
    return np.abs(rises(curve, before, at, after))


def _count(accents: Floats, metre: int) -> tuple[float, NDArray[np.int_]]:
    """(how well it explains the accents, [K] each beat's place in its bar from 0 on).

    The best path through the counts that `metre` allows, where to change the count costs `JUMP`:
    under count c, the beats c, c + metre, c + 2 metre, ... are first ones. The value is scaled such
    that accents without any order reach the same under every metre.
    """
    best = [0.0] * metre  # of the paths that now count so
    came_from: list[list[int]] = []
    for beat, accent in enumerate(accents.tolist()):
        top = best.index(max(best))
        least = best[top] - JUMP
        came_from.append([count if best[count] >= least else top for count in range(metre)])
        first, rest = beat % metre, accent / (metre - 1)
        best = [max(value, least) - rest for value in best]
        best[first] += accent + rest
    count, counts = best.index(max(best)), []
    for choices in reversed(came_from):
        counts.append(count)
        count = choices[count]
    places = (np.arange(len(accents)) - np.array(counts[::-1])) % metre
    return max(best) * float(np.sqrt(metre - 1)), places


def _borders(rows: Curve, energy: Floats, downbeats: Floats, step: float) -> Floats:
    """0 and the peaks of novelty, each on a downbeat where there are any."""
    seconds = len(energy) / ONSET_RATE
    novelty = _novelty(rows, max(1, round(NOVELTY_REACH / step)))
    peaks = _peaks(novelty, novelty.mean() + NOVELTY_LEAST * novelty.std(), SHORTEST_SECTION / step)
    inside = (peaks * step >= SHORTEST_SECTION) & (peaks * step <= seconds - SHORTEST_SECTION)
    places = peaks[inside] * step
    if len(downbeats):
        places = np.array([_settled(place, energy, downbeats, step) for place in places])
    return np.unique(np.concatenate([[0.0], places]))


def _novelty(rows: Curve, reach: int) -> Floats:
    """[S] how much the rows from each on differ from those before it.

    J. Foote's "Automatic audio segmentation using a measure of audio novelty" (ICME 2000) slides a
    checkerboard with a Gaussian taper along the self-similarity matrix. Taper and signs factor, so
    the same sum is the squared length of the difference of two weighted means, with no matrix.
    """
    offsets = np.arange(-reach, reach) + 0.5
    kernel = np.sign(offsets) * np.exp(-0.5 * (2 * offsets / reach) ** 2)
    kernel /= np.abs(kernel).sum()
    padded = np.pad(rows, ((reach, reach), (0, 0)), mode="edge")
    change = np.zeros_like(rows)
    for place, weight in enumerate(kernel):
        change += np.float32(weight) * padded[place : place + len(rows)]
    return np.asarray((change**2).sum(axis=1))


def _settled(place: float, energy: Floats, downbeats: Floats, step: float) -> float:
    """The downbeat near `place` that the border is on.

    A row's features cover `step` seconds, so the border lies up to one to either side: there it is
    where the loudness changes most, or else the nearest.
    """
    near = downbeats[np.abs(downbeats - place) <= step]
    if not len(near):
        return float(downbeats[nearest(place, downbeats)])
    change = np.abs(_rises(energy, near)) / ENTRY_RISE
    return float(near[np.argmax(np.minimum(change, 1.0) - np.abs(near - place) / step)])


def _repetition(rows: Curve, step: float) -> Curve:
    """[S] the likeness, 0 to 1, of each row and its neighbours to the best other place."""
    count = min(REPEAT_ROWS, len(rows))
    padded = np.pad(rows, ((0, count - 1), (0, 0)), mode="edge")
    runs = np.hstack([padded[k : k + len(rows)] for k in range(count)]) / np.sqrt(count)
    apart = round(REPEAT_APART / step)
    best = np.zeros(len(rows), np.float32)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        likeness = runs[start : start + ROWS_AT_ONCE] @ runs.T
        numbers = np.arange(start, start + len(likeness))[:, None]
        likeness[np.abs(numbers - np.arange(len(rows))) < apart] = 0.0
        best[start : start + len(likeness)] = likeness.max(axis=1)
    # A run that starts in the row before covers this row too.
    best[1:] = np.maximum(best[1:], best[:-1])
    return np.clip(best, 0.0, 1.0)


def _entries(energy: Floats, beats: Floats) -> Floats:
    """Where the music comes in after a dip, on the nearest beat where one is within 0.25 s."""
    grid = np.arange(0.0, len(energy) / ONSET_RATE, 0.1)
    peaks = _peaks(_rises(energy, grid), ENTRY_RISE, ENTRY_APART / 0.1)
    places = grid[peaks.astype(int)]
    if len(beats) and len(places):
        beside = beats[nearest(places, beats)]
        places = np.where(np.abs(beside - places) <= 0.25, beside, places)
    return np.asarray(places)


def _phrases(borders: Floats, entries: Floats, downbeats: Floats) -> Floats:
    """Borders, entries, and every fourth or eighth downbeat between, counted anew from each."""
    apart = distances(entries, borders) > ENTRY_APART / 4
    anchors = np.unique(np.concatenate([borders, entries[apart]]))
    if len(downbeats) < 2:
        return anchors
    bar = float(np.median(np.diff(downbeats)))
    bars = 4 if 4 * bar >= SHORTEST_PHRASE else 8
    found = [anchors]
    for begin, end in zip(anchors, [*anchors[1:], np.inf], strict=True):
        # Within half a phrase of the next anchor nothing of its own begins.
        inside = (downbeats > begin - bar / 2) & (downbeats < end - bars / 2 * bar)
        found.append(downbeats[inside][::bars][1:])
    return np.unique(np.concatenate(found))


def _rises(energy: Floats, at: Floats) -> Floats:
    """[N] mean energy over the second from each of `at` on, minus that before; 0 at the ends."""
    here, second = edges_at(at, ONSET_RATE, len(energy)), round(ONSET_RATE)
    return rises(energy, here - second, here, here + second)


def _peaks(curve: Floats, least: float, apart: float) -> Floats:
    """Places of local maxima above `least`, rising, the highest first where they are too near."""
    inner = (curve[1:-1] > curve[:-2]) & (curve[1:-1] >= curve[2:]) & (curve[1:-1] > least)
    places = np.flatnonzero(inner) + 1
    kept: list[int] = []
    for place in places[np.argsort(-curve[places], kind="stable")]:
        if all(abs(place - other) >= apart for other in kept):
            kept.append(int(place))
    return np.array(sorted(kept), np.float64)


def _standardised(segments: NDArray[np.floating]) -> Curve:
    """[S, D] rows of length 1 (or 0), each column with zero mean and equal weight before.

    What all of a track shares says nothing of its parts, and an encoder's scales are its own.
    """
    rows = segments.astype(np.float32)
    rows -= rows.mean(axis=0, keepdims=True)
    spread = rows.std(axis=0)
    rows /= np.where(spread > 1e-6, spread, np.inf)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 1e-6, lengths, np.inf), np.float32)


def _deviations(values: Floats) -> Floats:
    spread = float(values.std())
    return np.asarray((values - values.mean()) / (spread if spread > 1e-9 else np.inf))
