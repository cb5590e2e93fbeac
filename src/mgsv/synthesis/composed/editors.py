"""Three editors: rules by which a video is cut to a moment of a track.

`editor` works as people do: the moment begins on a downbeat, a phrase or a section, loud and
repeated parts more often; cuts fall on beats, more of them where it is loud; camera and light
follow the loudness; the pictures suit the music's character. `second` shares none of these habits
but the last, and is for testing alone: a model that only knows the first one's tricks fails there.
`loose` edits as published videos are mostly edited: the music starts where the track does, takes
are long, transitions soft, and cuts fall where the picture wants them; where it does follow the
music, every cut is on a beat.

All are sloppy on purpose: beats are missed, cuts jitter, some videos follow nothing at all.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mgsv.encoders.registry import SEGMENT_STEP
from mgsv.media.curves import nearest, window_means
from mgsv.media.rhythm import ONSET_RATE
from mgsv.synthesis.composed.music import AnalysedTrack
from mgsv.synthesis.composed.plan import FloatArray
from mgsv.synthesis.statistics import AT_START, EXACTLY_ZERO, LATE_STARTS

Rng = np.random.Generator

LATEST_START = LATE_STARTS[-1][1]

ANYWHERE = 0.15
"""Share of the later moments that begin at no musical place."""

FROM_START = 0.7
"""Share of the loose editor's moments that are simply the track's start. Of 17 published videos it
was all (95 %: no fewer than 74 %); some of the rest start there too, as an editor's moments do."""

SOFT = 0.45
"""Share of transitions that fade: 128 of 293 in published videos."""

WRONG_BEAT, JITTER = 0.08, 0.015
"""Share of cuts half a beat off, and the deviation in seconds of all of them."""


class Passage(NamedTuple):
    """A track from `origin` on, as an editor has it in the cut; times are seconds of the video."""

    track: AnalysedTrack
    origin: float
    seconds: float

    def inside(self, times: npt.ArrayLike) -> FloatArray:
        """Of `times` of the track those in the video, as times of the video."""
        here = np.asarray(times, np.float64) - self.origin
        return here[(here >= 0) & (here < self.seconds)]

    def loudness(self, times: npt.ArrayLike) -> FloatArray:
        return self.track.at(self.track.loudness, self.origin + np.asarray(times))

    def business(self, times: npt.ArrayLike) -> FloatArray:
        return self.track.at(self.track.business, self.origin + np.asarray(times))


@dataclass(frozen=True)
class Composer:
    """start: where the moment begins. cuts: seconds of the video. movement: [n] 0 to 1 at times
    [n]. light: brightness at whole seconds 0, …, n − 1. punches: seconds. taste: how firmly the
    pictures follow the mood of the music, 0 not at all. soft: share of transitions that fade.
    """

    start: Callable[[AnalysedTrack, float, Rng], float]
    cuts: Callable[[Passage, Rng], list[float]]
    movement: Callable[[Passage, FloatArray], FloatArray]
    light: Callable[[Passage, int, Rng], FloatArray]
    punches: Callable[[Passage, Rng], FloatArray]
    taste: float = 1.0
    soft: float = 0.0


# --- where the moment begins ----------------------------------------------------------------------


def _editors_start(track: AnalysedTrack, seconds: float, rng: Rng) -> float:
    room = min(track.seconds - seconds, LATEST_START)
    if room < 1 or rng.random() < AT_START:
        return _early(room, rng)
    structure = track.structure
    places = np.unique(np.concatenate([structure.downbeats, structure.phrases, structure.borders]))
    places = places[(places > 0.5) & (places <= room)].astype(np.float64)
    if rng.random() < ANYWHERE or not len(places):
        return float(rng.uniform(0, room))
    weight = np.exp(2.0 * _mean_over(track.loudness, ONSET_RATE, places, seconds))
    weight = weight * (1 + 2 * _mean_over(structure.repetition, 1 / SEGMENT_STEP, places, seconds))
    weight *= np.where(np.isin(places, structure.phrases.astype(np.float64)), 4.0, 1.0)
    weight *= np.where(np.isin(places, structure.borders.astype(np.float64)), 3.0, 1.0)
    return float(rng.choice(places, p=weight / weight.sum()))


def _seconds_start(track: AnalysedTrack, seconds: float, rng: Rng) -> float:
    """Where the music rises, or anywhere on a strong onset."""
    room = min(track.seconds - seconds, LATEST_START)
    if room < 1 or rng.random() < AT_START:
        return _early(room, rng)
    times = np.arange(0, room, 0.1)
    rise = track.at(track.loudness, times + 1) - track.at(track.loudness, np.maximum(times - 1, 0))
    weight = np.exp(3 * rise) if rng.random() < 0.5 else np.ones(len(times))
    near = rng.choice(times, p=weight / weight.sum())
    first = int(near * ONSET_RATE)
    onset = track.rhythm.onset[first : first + round(ONSET_RATE)]
    return float(min(room, near + (int(onset.argmax()) / ONSET_RATE if len(onset) else 0)))


def _loose_start(track: AnalysedTrack, seconds: float, rng: Rng) -> float:
    """The track's own start, or a moment as an editor chooses it."""
    if rng.random() < FROM_START:
        return 0.0
    return _editors_start(track, seconds, rng)


def _early(room: float, rng: Rng) -> float:
    late = rng.uniform(0, 0.5) if rng.random() > EXACTLY_ZERO else 0.0
    return float(np.clip(late, 0, max(room, 0.0)))


def _mean_over(
    curve: npt.NDArray[np.floating], rate: float, places: FloatArray, seconds: float
) -> FloatArray:
    """Mean of a curve at `rate` over [place, place + seconds), for each place."""
    low = np.clip((places * rate).astype(np.intp), 0, len(curve) - 1)
    high = np.clip(((places + seconds) * rate).astype(np.intp), low + 1, len(curve))
    return window_means(curve, low, high)


# --- cuts -----------------------------------------------------------------------------------------


def _on_beats(passage: Passage, rng: Rng) -> list[float]:
    """On beats, the bar's first by preference, after 1 to 16 of them: fewer where it is loud."""
    beats = passage.inside(passage.track.rhythm.beats)
    if len(beats) < 4:
        return _by_chance(passage, rng)
    downbeats = passage.inside(passage.track.structure.downbeats)
    interval = float(np.median(np.diff(beats)))
    pace, slope = rng.uniform(0.8, 3.2), rng.uniform(0.5, 3.0)
    steps = np.arange(5)  # log2 of beats
    cuts: list[float] = []
    at = 0
    while True:
        now = cuts[-1] if cuts else 0.0
        wanted = pace - slope * (float(passage.loudness(np.array([now]))[0]) - 0.5)
        weight = np.exp(-np.abs(steps - wanted) / 0.5)
        step = 2 ** int(rng.choice(steps, p=weight / weight.sum()))
        at += step
        if at >= len(beats):
            return cuts
        if step >= 2 and len(downbeats) and rng.random() < 0.7:
            downbeat = downbeats[nearest(beats[at], downbeats)]
            if abs(downbeat - beats[at]) < step * interval * 0.75:
                at = max(at - step + 1, int(nearest(downbeat, beats)))
        wrong = rng.random() < WRONG_BEAT
        cuts.append(float(beats[at] + rng.normal(0, JITTER) + wrong * interval / 2))


def _off_beats(passage: Passage, rng: Rng) -> list[float]:
    """On strong onsets, on phrases and parts of them, or at a fixed rate."""
    way = rng.integers(3)
    rhythm = passage.track.rhythm
    if way == 0:
        apart = rng.uniform(0.6, 3.0)
        first = max(0, round(passage.origin * ONSET_RATE))
        onset = rhythm.onset[first : round((passage.origin + passage.seconds) * ONSET_RATE)]
        cuts: list[float] = []
        for place in np.argsort(-onset)[: 40 * int(passage.seconds)]:
            time = (first + int(place)) / ONSET_RATE - passage.origin
            if all(abs(time - cut) >= apart for cut in cuts):
                cuts.append(float(time))
        return sorted(cuts)
    if way == 1:
        phrases = passage.inside(passage.track.structure.phrases)
        parts = 2 ** int(rng.integers(1, 4))
        edges = np.concatenate([[0.0], phrases, [passage.seconds]])
        inner = [np.linspace(a, b, parts, endpoint=False) for a, b in itertools.pairwise(edges)]
        return [float(cut) for cut in np.concatenate(inner)]
    period = rng.uniform(0.6, 3.5)
    return [float(cut) for cut in np.arange(rng.uniform(0, period), passage.seconds, period)]


def _by_chance(passage: Passage, rng: Rng) -> list[float]:
    """Shots of random length; now and then a single one."""
    if rng.random() < 0.2:
        return []
    mean = np.exp(rng.uniform(np.log(0.7), np.log(5)))
    lengths = mean * rng.lognormal(0, 0.5, 4 + int(4 * passage.seconds / mean))
    return [float(cut) for cut in np.cumsum(lengths)]


def _every_beats(passage: Passage, rng: Rng) -> list[float]:
    """On every beat, or every second, fourth or eighth, from the first of a bar on."""
    beats = passage.inside(passage.track.rhythm.beats)
    if len(beats) < 4:
        return _long_takes(passage, rng)
    downbeats = passage.inside(passage.track.structure.downbeats)
    first = int(nearest(downbeats[0], beats)) if len(downbeats) else 0
    step = int(rng.choice([1, 2, 4, 8], p=[0.15, 0.3, 0.4, 0.15]))
    chosen = beats[first % step :: step]
    return [float(beat + rng.normal(0, JITTER)) for beat in chosen]


def _long_takes(passage: Passage, rng: Rng) -> list[float]:
    """Shots of 2 to 30 s, whose lengths follow nothing."""
    mean = np.exp(rng.normal(np.log(7.0), 0.8))
    lengths = mean * rng.lognormal(0, 0.7, 4 + int(4 * passage.seconds / mean))
    return [float(cut) for cut in np.cumsum(lengths)]


# --- movement and light ---------------------------------------------------------------------------


def _light_by_loudness(passage: Passage, count: int, rng: Rng) -> FloatArray:
    follow, base = rng.uniform(0, 0.8), rng.uniform(0.65, 0.9)
    loud = passage.loudness(np.arange(count)) - 0.5
    return base + follow * loud + rng.normal(0, 0.05, count)


def _light_by_chance(_passage: Passage, count: int, rng: Rng) -> FloatArray:
    steps = np.cumsum(rng.normal(0, 0.05, count))
    return np.asarray(rng.uniform(0.6, 0.95) + steps - np.linspace(0, steps[-1], count))


def _still_or_moving(passage: Passage, times: FloatArray) -> FloatArray:
    """A recorded screen or a card with titles hardly moves; a camera does, as it likes."""
    rng = np.random.default_rng(int(1000 * passage.origin) + round(1000 * passage.seconds))
    level = rng.choice([0.0, 0.1, 0.6])
    return np.asarray(level * rng.uniform(0.3, 1.7, len(times)))


def _punches_on_beats(passage: Passage, rng: Rng) -> FloatArray:
    if rng.random() < 0.6:
        return np.zeros(0)
    structure, rhythm = passage.track.structure, passage.track.rhythm
    beats = passage.inside(structure.downbeats if rng.random() < 0.5 else rhythm.beats)
    return beats[passage.loudness(beats) > rng.uniform(0.3, 0.7)]


def _no_punches(_passage: Passage, _rng: Rng) -> FloatArray:
    return np.zeros(0)


LOOSE_EDITOR = "loose"

COMPOSERS: Mapping[str, Composer] = {
    "editor": Composer(
        _editors_start, _on_beats, Passage.loudness, _light_by_loudness, _punches_on_beats
    ),
    "second": Composer(_seconds_start, _off_beats, Passage.business, _light_by_chance, _no_punches),
    "loose": Composer(_loose_start, _every_beats, Passage.loudness, _light_by_chance, _no_punches),
}

PLAIN = Composer(
    _editors_start,
    _by_chance,
    lambda _, times: np.full(len(times), 0.5),
    _light_by_chance,
    _no_punches,
    taste=0.0,
)
"""How a video is cut that follows no music."""

LOOSE = Composer(
    _loose_start,
    _long_takes,
    _still_or_moving,
    _light_by_chance,
    _no_punches,
    taste=0.7,
    soft=SOFT,
)
"""The same, of the loose editor, who chooses music that suits the pictures all the same."""

LOOSE_UNSYNCED = 5 / 6
"""Share of the loose editor's videos that do not follow the music: 10 of 12 published videos with
five cuts or more."""

UNSYNCED: Mapping[str, Composer] = {"editor": PLAIN, "second": PLAIN, LOOSE_EDITOR: LOOSE}
"""How each editor's videos are cut that do not follow the music."""
