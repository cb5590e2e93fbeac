"""A ranker and a placer with the survey of whole tracks beside them (`methods.survey`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mgsv.library import TrackCurves
from mgsv.library.packs import Key, Pack
from mgsv.memory.density import GRID, NEAR
from mgsv.methods.base import (
    NOTHING_KNOWN,
    FloatArray,
    Placed,
    Placement,
    Placer,
    PlacerWrapper,
    Query,
    Ranked,
    RankerWrapper,
    Subset,
    curves_of,
    kept_of,
)
from mgsv.methods.first_stage import FirstStage
from mgsv.methods.glance import first_look, second_look, together
from mgsv.methods.kept import sketched
from mgsv.methods.model_ranker import ModelRanker, chance
from mgsv.methods.placement import Music
from mgsv.methods.sketch import FIELDS
from mgsv.methods.survey import VERSION, Survey, Surveyor, survey_track
from mgsv.moment import Moment

if TYPE_CHECKING:
    from mgsv.methods.kept import KeptRows

SURVEYED_REACH = GRID / 2
"""Seconds that a start may still move once the survey has weighed all starts of the track."""

OVERRULES = 0.5
"""Probability of another place from which on the music does not start where the track does. Most
published videos use a track from its start, so a place must be right more often than not."""


PLACES = 8
"""The likeliest places that are looked at."""


class SurveyedRanker(RankerWrapper):
    """`ranker`, whose final score also counts how well cuts and motion fit the track."""

    def __init__(
        self, ranker: ModelRanker, survey: Survey, first: FirstStage | None = None
    ) -> None:
        super().__init__(ranker)
        self._network = ranker
        self._survey, self._first = survey, first or FirstStage()

    @property
    def score_meaning(self) -> str:
        return f"{self._ranker.score_meaning}; and how well cuts and motion fit the music"

    @property
    def fingerprint(self) -> str:
        return f"{self._ranker.fingerprint} survey-{VERSION} {self._first.fingerprint}"

    def score_tracks(self, query: Query, tracks: Sequence[TrackCurves]) -> FloatArray:
        """The final score at a glance, in two looks; those that the first look leaves out score
        below all others. Tracks of which nothing is kept are sketched for it.
        """
        towers = self._ranker.score_tracks(query, tracks)
        kept = kept_of(tracks)
        if kept is None:
            return self._sketched_scores(query, tracks, towers)
        return self._scores(query, tracks, towers, kept)

    def rerank(
        self, query: Query, tracks: Sequence[TrackCurves], placement: Placement
    ) -> list[Ranked]:
        """Evidence, beside the ranker's own: `edit`, what the survey adds to the score."""
        ranked = self._ranker.rerank(query, tracks, placement)
        surveyor = Surveyor(query, self._survey.weights)
        kept, curves = kept_of(tracks), curves_of(tracks)

        def evidence(n: int) -> float:
            track = curves[n] if kept is not None else tracks[n]
            music = Music.of(track) if kept is None else kept.music(n, track)
            return surveyor.evidence(music)

        edits = [self._survey.ranking * one for one in together(evidence, range(len(tracks)))]
        return [
            replace(one, score=one.score + edit, evidence={**one.evidence, "edit": edit})
            for one, edit in zip(ranked, edits, strict=True)
        ]

    def chance(
        self,
        query: Query,
        tracks: Sequence[TrackCurves],
        known: Mapping[int, float] = NOTHING_KNOWN,
    ) -> float | None:
        return chance(self, query, tracks, known)

    def _scores(
        self, query: Query, tracks: Sequence[TrackCurves], towers: FloatArray, kept: KeptRows
    ) -> FloatArray:
        """[M] of tracks of which sketches are kept."""
        weights, worth = self._survey.weights, self._survey.ranking * self._first.evidence
        edit = Surveyor(query, weights).edit
        sketches = kept.kept.sketches
        found = self._first.tower * np.asarray(towers, np.float64)
        found += worth * first_look(edit, weights, sketches)[kept.sketch]
        most = self._first.looks(len(tracks))
        seen = np.argsort(-found, kind="stable")[:most]
        seen = seen[np.isfinite(found[seen])]
        second = self._first.tower * np.asarray(towers, np.float64)[seen]
        if self._network.is_quick(tracks):
            network = self._network.rerank(query, Subset(tracks, seen), Placement())
            second = np.array([one.score for one in network])
        second += worth * second_look(edit, weights, sketches, kept.sketch[seen])
        others = np.setdiff1d(np.arange(len(tracks)), seen, assume_unique=True)
        if len(seen) and len(others):
            found[others] -= max(0.0, float(found[others].max() - second.min())) + 1.0
        found[seen] = second
        return found

    def _sketched_scores(
        self, query: Query, tracks: Sequence[TrackCurves], towers: FloatArray
    ) -> FloatArray:
        """[M] of tracks that are sketched for it, one at a time."""
        keys = [Key(f"{n}") for n in range(len(tracks))]
        sketches = Pack(None, "", FIELDS)
        sketches.add(keys, [sketched(tracks[n]) for n in range(len(tracks))])
        weights = self._survey.weights
        edit = Surveyor(query, weights).edit
        found = second_look(edit, weights, sketches, np.arange(len(tracks)))
        worth = self._survey.ranking * self._first.evidence
        return np.asarray(self._first.tower * np.asarray(towers, np.float64) + worth * found)


class SurveyedPlacer(PlacerWrapper):
    """`placer`, whose moment is weighed against every start of the track.

    The music starts where the track does unless another place is more likely than not. Evidence,
    beside the placer's own: `from_start`, 1 where the music starts where the track does;
    `survey_probability`, that another moment is about right; `runner_up_start`, the likeliest place
    at least half a clip away, and `runner_up_fit`, log-odds of the clip's cuts and motion there,
    which is left out where that place is the track's start.
    """

    def __init__(self, placer: Placer, survey: Survey) -> None:
        super().__init__(placer)
        self._survey = survey

    @property
    def fingerprint(self) -> str:
        return f"{self._placer.fingerprint} survey-{VERSION}"

    def improved(
        self,
        query: Query,
        features: TrackCurves,
        placed: Placed,
        placement: Placement,  # noqa: ARG002 (the survey weighs every start)
    ) -> Placed:
        width = placed.moment.duration
        seen = survey_track(query, features, self._survey.weights, width)
        confidence = placed.evidence.get("confidence", math.nan)
        fused = self._survey.fusion.fuse(seen.density, placed.moment.start, confidence)
        likely = fused.density.candidates(PLACES, also=[fused.answer])
        elsewhere = [place for place in likely if abs(place.moment.start - seen.origin) > NEAR]
        start, reach = seen.origin, 0.0
        evidence = {**placed.evidence, "from_start": 1.0}
        first = fused.density.near(seen.origin)
        if elsewhere and elsewhere[0].probability >= max(OVERRULES, first):
            start, reach = elsewhere[0].moment.start, SURVEYED_REACH
            evidence |= {"from_start": 0.0, "survey_probability": elsewhere[0].probability}
        # A start only a little later would sound much the same.
        places = [seen.origin, *(place.moment.start for place in elsewhere)]
        other = next((place for place in places if abs(place - start) >= width / 2), None)
        if other is not None:
            evidence["runner_up_start"] = other
        if other is not None and other != seen.origin:
            evidence["runner_up_fit"] = seen.fits(other)
        return Placed(Moment(start, start + width), evidence, reach)
