"""Where exactly a moment starts: the best place near one that a model or a memory has found.

A network of 2.5 s steps finds the part of a track, and what a viewer notices is finer: whether cuts
fall on beats, whether the music starts with a phrase or in the middle of one. Around the moment
found, every start on a 16 ms grid is given `Terms`, and the largest weighted sum wins
(`base.PlacementWeights`). A clip whose cuts are all off the grid by the same time needs no special
care, since the start is free to make up for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mgsv.config import to_dict
from mgsv.encoders.registry import SEGMENT_STEP
from mgsv.library import TrackCurves, TrackFeatures
from mgsv.media.curves import distances, edges_at, means_beside, nearest
from mgsv.media.rhythm import ENERGY_RANGE_DB, ONSET_RATE
from mgsv.media.structure import Structure, analyse_structure
from mgsv.methods.base import Placed, Placement, PlacementWeights, PlacerWrapper, Query, StartOn
from mgsv.methods.synchrony import (
    BEAT_SIGMA,
    Agreement,
    Array,
    ClipPattern,
    TrackPattern,
    agree,
    cut_confidence,
    nearness,
    pattern_of,
)
from mgsv.moment import Moment

Times = npt.NDArray[np.float64]

VERSION = "1"

REACH = SEGMENT_STEP
"""Seconds: how far a start may move, one segment of a learned model to either side."""
NEAR_SIGMA = 1.5
"""Seconds. Where a trained model is within REACH of the truth, its errors are spread over most of
it: benchmarks/placement.py measures their deviation from the answers of `mgsv evaluate`."""
ON_BEAT = 0.07
"""Seconds between a cut and a beat that count as together, as in evaluating beat trackers."""
OTHER_BEAT = 0.5
"""What a cut on a beat counts that is not the first of its bar."""

SHORTEST_FREE = 1.0
"""Seconds that a moment lasts at least with `fit="free"`, as long as the shortest clip."""
END_REACH = 0.35
"""Seconds: how far an end may move to a beat, half a beat at 85 bpm."""

BREATH = 0.5
"""Seconds before and after a start whose loudness shows whether it interrupts something."""
LOUD = 12.0 / ENERGY_RANGE_DB
"""Music this far below the track's loud parts (95th percentile) is held to pause."""
ENTRY = 6.0 / ENERGY_RANGE_DB
"""A rise by so much is an entry, which interrupts nothing."""
UNKNOWN_VOICE, NO_VOICE = 0.5, 0.25
"""Share of `voice` for a track whose tags do not tell of singing, or say that it is instrumental:
melodies have phrases too."""


@dataclass(frozen=True)
class Music:
    """A track as placing looks at it."""

    pattern: TrackPattern
    structure: Structure

    @classmethod
    def of(cls, features: TrackCurves) -> Music:
        """Without features (`TrackCurves` alone) the only section border known is the start."""
        segments = (
            features.segments
            if isinstance(features, TrackFeatures)
            else np.zeros((1, 1), np.float16)
        )
        structure = analyse_structure(
            features.beats,
            features.onset,
            features.energy,
            segments,
            downbeats=features.downbeats,
            step=SEGMENT_STEP,
        )
        return cls(TrackPattern.of(features), structure)


class FinePlacer(PlacerWrapper):
    """`placer`, whose moments start exactly where they fit best within their reach.

    Evidence, beside the placer's own: that of the function `place`.
    """

    @property
    def fingerprint(self) -> str:
        return f"{self._placer.fingerprint} placement-{VERSION}"

    def improved(
        self, query: Query, features: TrackCurves, placed: Placed, placement: Placement
    ) -> Placed:
        fine = place(query, features, placed.moment, placement, reach=placed.reach)
        moment = fine.moment
        if placement.fit == "free":
            moment = ended_on_beat(moment, features, SHORTEST_FREE)
        return Placed(moment, {**placed.evidence, **fine.evidence})


def place(
    query: Query,
    features: TrackCurves,
    moment: Moment,
    placement: Placement,
    *,
    reach: float = REACH,
) -> Placed:
    """The best start within `reach` of the moment's; the width stays.

    The moment stays on its track. Where `placement.start_on` asks for a beat, downbeat or border
    and none is within reach, the nearest is taken. Silence is avoided where there is a choice.
    Equal starts go to the one nearest to the moment's own.

    Evidence: `placement`, the weighted sum; its terms, by the names of `PlacementWeights` (with
    `start_on_` before border, phrase, downbeat and beat); `number_of_cuts` and `cuts_on_beat`, how
    many are within 70 ms of one; `agreement`, as `sync` scores it; `shift`, seconds from the
    moment's own start.
    """
    music = Music.of(features)
    clip = pattern_of(query, min(1.0, moment.duration / query.seconds))
    result = agree(clip, music.pattern)
    starts = _starts(music, result, moment, placement.start_on, reach)
    terms = terms_at(clip, music, result, starts, moment.start)
    total = weighted(terms, placement.weights)
    best = int(np.argmax(total))
    start = float(starts[best])
    return Placed(
        Moment(start, start + moment.duration),
        {
            "placement": float(total[best]),
            **{_shown(name): float(values[best]) for name, values in terms.items()},
            "number_of_cuts": float(len(clip.cuts)),
            "cuts_on_beat": float(cuts_on_beat(clip.cuts + start, music.pattern.beats)),
            "agreement": float(result.at(starts[best : best + 1])[0]),
            "shift": start - moment.start,
        },
    )


def ended_on_beat(moment: Moment, features: TrackCurves, shortest: float) -> Moment:
    """The moment with its end on the nearest beat, where one is within 0.35 s and leaves it at
    least `shortest` seconds: for moments whose width is free.
    """
    beats = features.beats.astype(np.float64)
    beats = beats[(beats >= moment.start + shortest) & (beats <= features.track.duration)]
    if not len(beats):
        return moment
    end = float(beats[nearest(moment.end, beats)])
    return Moment(moment.start, end) if abs(end - moment.end) <= END_REACH else moment


def terms_at(
    clip: ClipPattern, music: Music, result: Agreement, starts: Times, wanted: float
) -> dict[str, Array]:
    """Every term of `PlacementWeights` at `starts` [N]; those that the clip is silent about, 0."""
    beats, downbeats = music.pattern.beats, music.structure.downbeats
    sure = cut_confidence(clip)
    return {
        "cuts": sure * result.cuts_at(starts),
        "grid": sure * _on_grid(clip.cuts, beats, downbeats, starts, music),
        "motion": result.term_at("motion", starts),
        "bursts": result.term_at("bursts", starts),
        **habits_at(music, starts),
        "near": np.exp(-0.5 * ((starts - wanted) / NEAR_SIGMA) ** 2).astype(np.float32),
    }


def habits_at(music: Music, starts: Times) -> dict[str, Array]:
    """The terms that are about the track alone: what `starts` [N] are as beginnings."""
    structure = music.structure
    phrases = nearness(starts, structure.phrases)
    return {
        "border": nearness(starts, structure.borders),
        "phrase": phrases,
        "downbeat": nearness(starts, structure.downbeats),
        "beat": nearness(starts, music.pattern.beats),
        "voice": -_voice(music) * _within(music.pattern.features, starts) * (1 - phrases),
    }


def weighted(terms: Mapping[str, Array], weights: PlacementWeights) -> Array:
    """The objective at each start: the sum of the terms, each times its weight."""
    shares = to_dict(weights)
    total = sum(shares[name] * values for name, values in terms.items())
    return np.asarray(total, np.float32)


def cuts_on_beat(cuts: npt.NDArray[np.floating], beats: npt.NDArray[np.floating]) -> int:
    """How many of `cuts` are within 70 ms of a beat; both in seconds on the track."""
    return int((distances(cuts, beats) <= ON_BEAT).sum())


def start_places(features: TrackCurves, start_on: StartOn, music: Music | None = None) -> Times:
    """Where a moment may start, in seconds; the next coarser kind where the track has none.

    Empty for "any", and where no beat was found. `music`: the same track, where known already.
    """
    if start_on == "any":
        return np.zeros(0)
    kinds = [features.beats]
    if start_on != "beat":
        structure = (music or Music.of(features)).structure
        kinds = [structure.downbeats, *kinds]
        if start_on == "border":
            kinds = [structure.borders, *kinds]
    return next((kind.astype(np.float64) for kind in kinds if len(kind)), np.zeros(0))


def _starts(
    music: Music, result: Agreement, moment: Moment, start_on: StartOn, reach: float
) -> Times:
    """Starts to choose from in seconds, the nearest to the moment's own first."""
    latest = max(0.0, music.pattern.seconds - moment.duration)
    wanted = min(max(moment.start, 0.0), latest)
    asked = start_places(music.pattern.features, start_on, music)
    starts = asked[(asked >= 0) & (asked <= latest)]
    if len(starts):
        distance = np.abs(starts - wanted)
        starts = starts[distance <= max(reach, float(distance.min()))]
    else:
        steps = np.arange(-int(reach * ONSET_RATE), int(reach * ONSET_RATE) + 1) / ONSET_RATE
        exact = np.concatenate([music.pattern.beats, music.structure.phrases]).astype(np.float64)
        near = exact[np.abs(exact - wanted) <= reach]
        starts = np.unique(np.clip(np.concatenate([wanted + steps, near]), 0.0, latest))
    audible = np.isfinite(result.total[result.cells(starts)])
    starts = starts[audible] if audible.any() else starts
    return starts[np.argsort(np.abs(starts - wanted), kind="stable")]


def _on_grid(cuts: Array, beats: Array, downbeats: Array, starts: Times, music: Music) -> Array:
    """[N] how near the cuts are to beats, and to first ones above all: 1 is all on first beats, 0
    what cuts at random times average.
    """
    if not len(beats) or not len(cuts):
        return np.zeros(len(starts), np.float32)
    at = (starts[:, None] + cuts).ravel()
    first, any_beat = nearness(at, downbeats), nearness(at, beats)
    value = np.maximum(first, OTHER_BEAT * any_beat).reshape(len(starts), -1).mean(axis=1)
    # The mean of a Gaussian bump around each beat over the track.
    bumps = len(downbeats) + OTHER_BEAT * (len(beats) - len(downbeats))
    usual = min(0.9, bumps * BEAT_SIGMA * np.sqrt(2 * np.pi) / music.pattern.seconds)
    return np.asarray((value - usual) / (1 - usual), np.float32)


def _voice(music: Music) -> float:
    """Share of singing by the track's tags, 0 to 1."""
    tags = " ".join(music.pattern.features.track.tags).lower()
    if "vocal" in tags:
        return 1.0
    return NO_VOICE if "instrumental" in tags else UNKNOWN_VOICE


def _within(features: TrackCurves, starts: Times) -> Array:
    """[N] from 0 to 1, whether a start is inside of something: loud before it, and no louder after.

    Loudness is the mean of half a second before, and of half a second after.
    """
    energy = features.energy.astype(np.float64)
    here, span = edges_at(starts, ONSET_RATE, len(energy)), round(BREATH * ONSET_RATE)
    before, after = means_beside(energy, here - span, here, here + span)
    pause = float(np.quantile(energy, 0.95)) - LOUD
    going_on = np.clip((before - pause) / LOUD, 0, 1)
    return np.asarray(going_on * (1 - np.clip((after - before) / ENTRY, 0, 1)), np.float32)


def _shown(name: str) -> str:
    """The evidence's name for a term."""
    return f"start_on_{name}" if name in ("border", "phrase", "downbeat", "beat") else name
