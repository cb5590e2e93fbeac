"""A ranker and a placer with the survey of whole tracks beside them (`methods.survey`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from mgsv.library import TrackCurves
from mgsv.memory.density import GRID
from mgsv.methods.base import (
    Placed,
    Placement,
    Placer,
    PlacerWrapper,
    Query,
    Ranked,
    Ranker,
    RankerWrapper,
)
from mgsv.methods.model_ranker import chance
from mgsv.methods.survey import VERSION, Survey, survey_track
from mgsv.moment import Moment

SURVEYED_REACH = GRID / 2
"""Seconds that a start may still move once the survey has weighed all starts of the track."""

UNRELATED, UNRELATED_REACH = 2.0, 10.0
"""A clip whose best start on a track has log-odds below this was hardly cut to that track. No
moment is the right one then, and the start may move by so many seconds to a better one."""


class SurveyedRanker(RankerWrapper):
    """`ranker`, whose final score also counts how well cuts and motion fit the track."""

    def __init__(self, ranker: Ranker, survey: Survey) -> None:
        super().__init__(ranker)
        self._survey = survey

    @property
    def score_meaning(self) -> str:
        return f"{self._ranker.score_meaning}; and how well cuts and motion fit the music"

    @property
    def fingerprint(self) -> str:
        return f"{self._ranker.fingerprint} survey-{VERSION}"

    def rerank(
        self, query: Query, tracks: Sequence[TrackCurves], placement: Placement
    ) -> list[Ranked]:
        """Evidence, beside the ranker's own: `edit`, what the survey adds to the score."""
        weights, weight = self._survey.weights, self._survey.ranking
        ranked = []
        for n, one in enumerate(self._ranker.rerank(query, tracks, placement)):
            track = tracks[n]
            edit = weight * survey_track(query, track, weights, track.track.duration).best
            ranked.append(
                replace(one, score=one.score + edit, evidence={**one.evidence, "edit": edit})
            )
        return ranked

    def chance(self, query: Query, tracks: Sequence[TrackCurves]) -> float | None:
        return chance(self, query, tracks)


class SurveyedPlacer(PlacerWrapper):
    """`placer`, whose moment is weighed against every start of the track.

    Evidence, beside the placer's own: `survey_start`, where the survey alone would start, and
    `survey_probability`, that the moment is about where both put it, unless the clip was hardly cut
    to this track.
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
        evidence = {**placed.evidence, "survey_start": fused.remembered.moment.start}
        reach = UNRELATED_REACH
        if seen.best >= UNRELATED:
            evidence["survey_probability"], reach = fused.best.probability, SURVEYED_REACH
        start = fused.best.moment.start
        return Placed(Moment(start, start + width), evidence, reach)
