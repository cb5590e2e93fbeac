"""A ranker and a placer with the survey of whole tracks beside them (`methods.survey`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from mgsv.library import TrackCurves
from mgsv.memory.density import GRID, NEAR
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
from mgsv.methods.placement import Music
from mgsv.methods.survey import VERSION, Survey, Surveyor, survey_track
from mgsv.moment import Moment

SURVEYED_REACH = GRID / 2
"""Seconds that a start may still move once the survey has weighed all starts of the track."""

OVERRULES = 0.5
"""Probability of another place from which on the music does not start where the track does. Most
published videos use a track from its start, so a place must be right more often than not."""


PLACES = 8
"""The likeliest places that are looked at."""


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
        surveyor = Surveyor(query, self._survey.weights)
        ranked = []
        for n, one in enumerate(self._ranker.rerank(query, tracks, placement)):
            edit = self._survey.ranking * surveyor.evidence(Music.of(tracks[n]))
            ranked.append(
                replace(one, score=one.score + edit, evidence={**one.evidence, "edit": edit})
            )
        return ranked

    def chance(self, query: Query, tracks: Sequence[TrackCurves]) -> float | None:
        return chance(self, query, tracks)


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
