"""Libraries of any size from the corpus: its tracks first, then excerpts and time-scaled copies.

A copy runs up to a quarter faster or slower than its source and begins somewhere on it; a third
are excerpts of one to two minutes. Curves, beats and features are the source's, read at the copy's
pace, and so are the marks of its structure: nothing is decoded, and no structure is analysed. Which
copy a number gives does not depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mgsv.library import TrackFeatures
from mgsv.library.features import Arrays
from mgsv.library.packs import Key
from mgsv.media.rhythm import ONSET_DELAY, ONSET_RATE
from mgsv.media.structure import Structure
from mgsv.methods.kept import Kept, Row, sketched
from mgsv.methods.placement import OTHER_BEAT, Music
from mgsv.methods.sketch import BINS, ENERGY_RATE, LEVELS, PHASES, RATE, SPARSE
from mgsv.methods.synchrony import BEAT_SIGMA, TrackPattern

STEP = 2.5
PACE = 1.25
EXCERPTS = 1 / 3
SHORTEST, LONGEST = 60.0, 120.0


@dataclass(frozen=True)
class Copy:
    """What is made of a track: from `start` on, at `pace`, for `seconds` of its own."""

    source: int
    pace: float = 1.0
    start: float = 0.0
    seconds: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.source:08x}{round(self.pace * 1e6):08x}{round(self.start * 1e4):08x}00000000"


class Pool:
    """Track `n` of a library without end: the corpus's first, then copies."""

    def __init__(self, tracks: Sequence[TrackFeatures], seed: int = 0) -> None:
        self.tracks, self.seed = tracks, seed
        self._structures: dict[int, Structure] = {}

    def copy(self, n: int) -> Copy:
        if n < len(self.tracks):
            return Copy(n, seconds=self.tracks[n].track.duration)
        rng = np.random.default_rng((self.seed, n))
        source = int(rng.integers(len(self.tracks)))
        pace = float(np.exp(rng.uniform(-np.log(PACE), np.log(PACE))))
        whole = self.tracks[source].track.duration
        start = float(rng.uniform(0, whole / 4))
        seconds = (whole - start) / pace
        if rng.random() < EXCERPTS:
            seconds = min(seconds, float(rng.uniform(SHORTEST, LONGEST)))
        return Copy(source, pace, start, seconds)

    def features(self, n: int, *, segments: bool = True) -> TrackFeatures:
        """segments: whether the encoder's features are wanted, too."""
        copy = self.copy(n)
        source = self.tracks[copy.source]
        track = replace(
            source.track,
            id=copy.name,
            path=Path(f"/made-up/{copy.name}.flac"),
            duration=copy.seconds,
            tempo=source.track.tempo * copy.pace,
        )
        if n < len(self.tracks):
            return replace(source, track=replace(track, path=source.track.path))
        return TrackFeatures(track, **arrays_of(source, copy, segments=segments))

    def music(self, n: int, *, segments: bool = True) -> Music:
        """With the structure of the source, analysed once."""
        copy = self.copy(n)
        if copy.source not in self._structures:
            self._structures[copy.source] = Music.of(self.tracks[copy.source]).structure
        whole, features = self._structures[copy.source], self.features(n, segments=segments)
        marks = [_moved(m, copy) for m in (whole.downbeats, whole.borders, whole.phrases)]
        marks[1] = np.unique(np.concatenate([[0.0], marks[1]])).astype(np.float32)
        marks[2] = np.unique(np.concatenate([marks[1], marks[2]])).astype(np.float32)
        return Music(TrackPattern.of(features), Structure(*marks))


class Sketcher:
    """Sketches of copies, made of their sources' sketches: beats from the marks, and onsets and
    loudness read at the copy's pace.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[int, Row] = {}

    def row(self, n: int) -> Row:
        copy = self._pool.copy(n)
        source = self._pool.tracks[copy.source]
        if copy.source not in self._known:
            self._known[copy.source] = sketched(source)
        known = self._known[copy.source]
        if n < len(self._pool.tracks):
            return known
        count = SPARSE * int(np.ceil(copy.seconds * RATE / SPARSE))
        both = np.stack([known["even"], known["odd"]], axis=1).ravel()
        places = copy.start * RATE * PHASES + np.arange(PHASES * count) * copy.pace
        onsets = both[np.minimum(np.rint(places).astype(int), len(both) - 1)] & LEVELS - 1
        marks = {name: _moved(known[name], copy) for name in ("downbeats", "borders", "phrases")}
        height = np.zeros(PHASES * count)
        _stamp(height, _moved(source.beats, copy), OTHER_BEAT)
        _stamp(height, marks["downbeats"], 1.0)
        beats = np.rint(height * (LEVELS - 1)).astype(np.uint8)
        level = beats << 4 | onsets
        at = np.arange(int(copy.seconds * ENERGY_RATE)) * copy.pace + copy.start * ENERGY_RATE
        energy = known["energy"][np.minimum(at.astype(int), len(known["energy"]) - 1)]
        power = known["power"].astype(np.float32).reshape(2, BINS)
        moved = np.zeros_like(power)
        slower = np.rint(np.arange(BINS - 1) / copy.pace).astype(int)
        known_there = slower < BINS - 1
        moved[:, :-1][:, known_there] = power[:, slower[known_there]] / copy.pace
        # What is faster than the bands stays in the last one.
        moved[:, -1] = np.maximum(power.sum(axis=1) - moved.sum(axis=1), 0)
        return {
            "even": level[::PHASES],
            "odd": level[1::PHASES],
            "levels": np.concatenate([np.bincount(x, minlength=LEVELS) for x in (beats, onsets)]),
            "power": moved.ravel(),
            "energy": energy,
            "facts": np.array([copy.seconds, 0.0], np.float32),
            **marks,
        }


def _stamp(height: npt.NDArray[np.float64], times: npt.NDArray[np.float32], top: float) -> None:
    """Raise `height` to a bump around each of `times`, in place."""
    rate = RATE * PHASES
    place = (times.astype(np.float64) + ONSET_DELAY) * rate
    for odd in range(2):  # neighbours' bumps overlap
        some = place[odd::2]
        cells = np.rint(some).astype(int)[:, None] + np.arange(-7, 8)
        bump = top * np.exp(-0.5 * ((cells - some[:, None]) / (BEAT_SIGMA * rate)) ** 2)
        inside = (cells >= 0) & (cells < len(height))
        height[cells[inside]] = np.maximum(height[cells[inside]], bump[inside])


def key_of(copy: Copy) -> Key:
    return Key(copy.name)


def fill(kept: Kept, pool: Pool, count: int, at_once: int = 10_000) -> None:
    """Sketches of the first `count` tracks of `pool`, those that are not in `kept` yet."""
    maker = Sketcher(pool)
    for begin in range(len(kept.sketches), count, at_once):
        places = range(begin, min(count, begin + at_once))
        kept.sketches.add([key_of(pool.copy(n)) for n in places], [maker.row(n) for n in places])


def arrays_of(source: TrackFeatures, copy: Copy, *, segments: bool = True) -> Arrays:
    """By the names of `features.TENSORS`."""
    at = copy.start + np.arange(int(copy.seconds * ONSET_RATE)) / ONSET_RATE * copy.pace
    at *= ONSET_RATE
    rows = np.arange(int(np.ceil(copy.seconds / STEP)) if segments else 1)
    place = np.clip(copy.start / STEP + (rows + 0.5) * copy.pace - 0.5, 0, len(source.segments) - 1)
    below = np.minimum(place.astype(int), max(0, len(source.segments) - 2))
    share = (place - below)[:, None].astype(np.float32)
    after = np.minimum(below + 1, len(source.segments) - 1)
    mixed = (1 - share) * source.segments[below].astype(np.float32)
    mixed += share * source.segments[after].astype(np.float32)
    steps = np.arange(len(source.onset))
    return {
        "onset": np.interp(at, steps, source.onset.astype(np.float32)).astype(np.float16),
        "energy": np.interp(at, steps, source.energy.astype(np.float32)).astype(np.float16),
        "beats": _moved(source.beats, copy),
        "downbeats": _moved(_bars(source), copy),
        "segments": mixed.astype(np.float16),
        "segment_mask": np.ones(len(mixed), bool),
    }


def _bars(source: TrackFeatures) -> npt.NDArray[np.float32]:
    return np.zeros(0, np.float32) if source.downbeats is None else source.downbeats


def _moved(marks: npt.NDArray[np.float32], copy: Copy) -> npt.NDArray[np.float32]:
    times = (marks - copy.start) / copy.pace
    return np.asarray(times[(times >= 0) & (times < copy.seconds)], np.float32)
