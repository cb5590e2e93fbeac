"""`sync`: grounding without a learned model, by agreement of what is seen with what is heard.

The score of a track is the best `agreement` that any of its starts reaches; chance is what clips
like this one, but cut and moving at random times, reach on the same tracks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mgsv.encoders.registry import Source
from mgsv.library import TrackCurves
from mgsv.media.rhythm import ONSET_RATE
from mgsv.media.video import CURVE_RATE
from mgsv.methods.base import NOTHING_KNOWN, Candidate, Detection, Placed, Placement, Query, Ranked
from mgsv.methods.placement import cuts_on_beat, start_places
from mgsv.methods.synchrony import (
    CELL_STEPS,
    Agreement,
    Array,
    ClipPattern,
    Seconds,
    TrackPattern,
    agree,
    nearness,
    pattern_of,
    term_weights,
    unit,
)
from mgsv.moment import Moment
from mgsv.runtime.model import GroundingModel

VERSION = "1"

BEAT_BONUS = 0.03
"""For a start on a beat, where one lies within 0.1 s of the best agreement."""

SURROGATES = 20
CHANCE_QUANTILE = 0.95
CHANCE_TRACKS = 64
"""Chance is measured on at most this many tracks and extrapolated to the whole library."""

FREE_WIDTHS = (1.0, 0.75, 0.5)
"""With `fit="free"`, the share of the clip that the music may accompany."""


class Sync:
    """Ranks and places. Scores reach at most 1, perfect agreement; 0 is none."""

    name = "sync"
    wants_features = False
    reranks = 0
    model: GroundingModel | None = None
    chance_unknown = (
        "the clip has no cuts and does not move, so all moments fit it alike: this is a guess"
    )
    score_meaning = (
        "agreement of cuts and motion with onsets and energy: "
        "1 is perfect, 0 what unrelated moments average"
    )

    @property
    def fingerprint(self) -> str:
        return f"sync-{VERSION}"

    def require(self, video: Source, music: Source) -> None:
        """Any encoder will do: only the curves are looked at."""

    def score_tracks(self, query: Query, tracks: Sequence[TrackCurves]) -> Array:
        """The agreement of each track's best start [M]; -inf for tracks too short to serve."""
        clip = pattern_of(query)
        return np.array(
            [
                -np.inf if features.track.too_short else _best(clip, TrackPattern.of(features))
                for features in tracks
            ],
            np.float32,
        )

    def rerank(
        self, query: Query, tracks: Sequence[TrackCurves], placement: Placement
    ) -> list[Ranked]:
        """The agreement of the moment that `place` chooses on each track."""
        return [Ranked(found.score) for found in _detect_all(query, tracks, placement)]

    def place(
        self, query: Query, candidates: Sequence[Candidate], placement: Placement
    ) -> list[Placed]:
        """The best moment on each track, to 16 ms or on a beat."""
        tracks = [candidate.features for candidate in candidates]
        found = _detect_all(query, tracks, placement)
        return [Placed(one.moment, one.evidence) for one in found]

    def chance(
        self,
        query: Query,
        tracks: Sequence[TrackCurves],
        known: Mapping[int, float] = NOTHING_KNOWN,  # noqa: ARG002 (it is about other clips on these tracks)
    ) -> float | None:
        """The best agreement that 95 % of clips with as many cuts and as much motion, but at
        random times, stay below on these tracks; None for a clip with nothing to align."""
        clip = pattern_of(query)
        usable = [features for features in tracks if not features.track.too_short]
        if not term_weights(clip) or not usable:
            return None
        step = -(-len(usable) // CHANCE_TRACKS)
        sample = [TrackPattern.of(features) for features in usable[::step]]
        luck = _luck(clip, sample)
        # The best of M tracks grows with ln M (Gumbel), on the scale of the tracks' spread.
        growth = luck.std(axis=1).mean() * np.sqrt(6) / np.pi * np.log(len(usable) / len(sample))
        return float(np.quantile(luck.max(axis=1), CHANCE_QUANTILE) + growth)


def _detect_all(
    query: Query, tracks: Sequence[TrackCurves], placement: Placement
) -> list[Detection]:
    shares = FREE_WIDTHS if placement.fit == "free" else (1.0,)
    clips = [pattern_of(query, share) for share in shares]
    return [_choose(clips, TrackPattern.of(features), placement) for features in tracks]


def _choose(clips: list[ClipPattern], track: TrackPattern, placement: Placement) -> Detection:
    """The best moment of one track; with several widths, the one that beats its luck by most.

    A shorter window finds a good place more easily, so scores of different widths do not compare.
    """
    found = [_detect(clip, track, placement) for clip in clips]
    if len(found) == 1:
        return found[0]
    margins = [
        detection.score - _luck(clip, [track]).mean()
        for detection, clip in zip(found, clips, strict=True)
    ]
    return found[int(np.argmax(margins))]


def _detect(clip: ClipPattern, track: TrackPattern, placement: Placement) -> Detection:
    result = agree(clip, track)
    # The grid's last cell may reach past the track's end by a part of a cell.
    latest = max(0.0, track.seconds - clip.seconds)
    asked = start_places(track.features, placement.start_on)
    starts = np.unique(np.minimum(_candidates(result, track.beats, asked), latest))
    scores, near = result.at(starts), nearness(starts, track.beats)
    best = int(np.argmax(scores + BEAT_BONUS * near))
    start = float(starts[best])
    cell = result.cells(starts)[best]
    evidence = {name: float(term[cell]) for name, term in result.terms.items()}
    if result.cuts is not None:
        evidence["cuts"] = float(result.cuts_at(starts)[best])
        evidence["number_of_cuts"] = float(len(clip.cuts))
        evidence["cuts_on_beat"] = float(cuts_on_beat(clip.cuts + start, track.beats))
    evidence["start_on_beat"] = float(near[best])
    if placement.start_on != "any":
        told = nearness(starts[best : best + 1], asked)
        evidence[f"start_on_{placement.start_on}"] = float(told[0])
    end = min(start + clip.seconds, track.seconds)
    return Detection(Moment(start, max(start, end)), float(scores[best]), evidence)


def _candidates(result: Agreement, beats: Array, asked: Seconds) -> Array:
    """Starts in seconds worth a look: all audible ones of `asked`; where there are none,
    in and around the best cell.
    """
    last = (len(result.total) - 1) / CURVE_RATE
    asked = asked[asked <= last]
    if len(asked):
        audible = np.isfinite(result.total[result.cells(asked)])
        return np.asarray(asked[audible] if audible.any() else asked, np.float32)
    beats = beats[(beats >= 0) & (beats <= last)]
    best = int(np.argmax(result.total)) / CURVE_RATE
    near = beats[np.abs(beats - best) <= 1 / CURVE_RATE]
    starts = np.concatenate([best + CELL_STEPS / ONSET_RATE, near])
    return np.asarray(np.clip(starts, 0.0, last), np.float32)


def _luck(clip: ClipPattern, tracks: Sequence[TrackPattern]) -> Array:
    """Best agreements [SURROGATES, M] of clips like this one in every respect but timing.

    Cuts fall at random times; the motion curve keeps its spectrum (how fast it changes) and gets
    random phases. The seed is fixed, so the same clip always meets the same chance.
    """
    rng = np.random.default_rng(0)
    stand_ins = [
        replace(
            clip,
            motion=unit(_random_phases(clip.motion, rng)),
            bursts=unit(rng.permutation(clip.bursts)),
            cuts=np.sort(rng.uniform(0, clip.seconds, len(clip.cuts))).astype(np.float32),
        )
        for _ in range(SURROGATES)
    ]
    return np.array([[_best(s, track) for track in tracks] for s in stand_ins], np.float32)


def _best(clip: ClipPattern, track: TrackPattern) -> float:
    return float(agree(clip, track).total.max())


def _random_phases(curve: Array, rng: np.random.Generator) -> Array:
    spectrum = np.fft.rfft(curve)
    turned = np.abs(spectrum) * np.exp(2j * np.pi * rng.random(len(spectrum)))
    return np.fft.irfft(turned, len(curve)).astype(np.float32)
