"""A ranker and a placer with the survey of whole tracks beside them (`methods.survey`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Self

from mgsv.library import TrackCurves
from mgsv.memory.density import GRID, NEAR, LikelyStart
from mgsv.memory.fusion import Fused
from mgsv.memory.habits import Habits, StartKind
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
from mgsv.methods.habits import USUAL
from mgsv.methods.model_ranker import chance
from mgsv.methods.survey import VERSION, Survey, Surveyed, survey_track
from mgsv.moment import Moment

SURVEYED_REACH = GRID / 2
"""Seconds that a start may still move once the survey has weighed all starts of the track."""

OVERRULES = 0.5
"""Probability of another place from which on the music does not start where the track does. Most
published videos use a track from its start, so a place must be right more often than not."""


TASTE = 1.0
"""Log-odds that a person's preference of tags counts, per log-odds of a track's own tags."""

PLACES = 8
"""The likeliest places that are looked at."""


class SurveyedRanker(RankerWrapper):
    """`ranker`, whose final score also counts how well cuts and motion fit the track."""

    takes_habits = True

    def __init__(self, ranker: Ranker, survey: Survey) -> None:
        super().__init__(ranker)
        self._survey = survey

    @property
    def score_meaning(self) -> str:
        return f"{self._ranker.score_meaning}; and how well cuts and motion fit the music"

    @property
    def fingerprint(self) -> str:
        return f"{self._ranker.fingerprint} {_fingerprint(self._survey)}"

    def with_habits(self, habits: Habits) -> Self:
        return type(self)(self._ranker, replace(self._survey, habits=habits))

    def rerank(
        self, query: Query, tracks: Sequence[TrackCurves], placement: Placement
    ) -> list[Ranked]:
        """Evidence, beside the ranker's own: `edit`, what the survey adds to the score, and with
        habits `taste`, what the track's tags and its earlier uses add."""
        weights, weight = self._survey.weights, self._survey.ranking
        habits = self._survey.habits
        ranked = []
        for n, one in enumerate(self._ranker.rerank(query, tracks, placement)):
            track = tracks[n]
            seen = survey_track(query, track, weights, track.track.duration, habits)
            added = {"edit": weight * seen.evidence}
            if habits:
                known = track.track
                taste = TASTE * habits.mood(known.tags) + habits.popularity(known.id)
                added["taste"] = weight * taste
            evidence = {**one.evidence, **added}
            ranked.append(replace(one, score=one.score + sum(added.values()), evidence=evidence))
        return ranked

    def chance(self, query: Query, tracks: Sequence[TrackCurves]) -> float | None:
        return chance(self, query, tracks)


class SurveyedPlacer(PlacerWrapper):
    """`placer`, whose moment is weighed against every start of the track.

    The music starts where the track does unless another place is more likely than not. That bar
    falls with the share of the person's own uses that start there, if it is below the usual one.

    Evidence, beside the placer's own: `from_start`, 1 where the music starts where the track does;
    `survey_probability`, how often another moment of which as much is seen is about right;
    `runner_up_start`, the likeliest place at least half a clip away, and `runner_up_fit`, log-odds
    of the clip's cuts and motion there, which is left out where that place is the track's start.
    Where habits move the moment: `habit_moved_from`, its start without them; `habit_uses`, how many
    uses they are known from; and how many of these began in the same way: `habit_start`,
    `habit_intro`, `habit_chorus` or `habit_elsewhere`, as `memory.habits.StartKind`.
    """

    takes_habits = True

    def __init__(self, placer: Placer, survey: Survey) -> None:
        super().__init__(placer)
        self._survey = survey

    @property
    def fingerprint(self) -> str:
        return f"{self._placer.fingerprint} {_fingerprint(self._survey)}"

    def with_habits(self, habits: Habits) -> Self:
        return type(self)(self._placer, replace(self._survey, habits=habits))

    def improved(
        self,
        query: Query,
        features: TrackCurves,
        placed: Placed,
        placement: Placement,  # noqa: ARG002 (the survey weighs every start)
    ) -> Placed:
        width, habits = placed.moment.duration, self._survey.habits
        seen = survey_track(query, features, self._survey.weights, width, habits)
        confidence = placed.evidence.get("confidence", math.nan)
        fused = self._survey.fusion.fuse(seen.density, placed.moment.start, confidence)
        elsewhere = places_elsewhere(seen, fused)
        overrules = OVERRULES
        if habits:
            overrules *= min(1.0, habits.start_share("start", USUAL["start"]) / USUAL["start"])
        start, reach = seen.origin, 0.0
        evidence = {**placed.evidence, "from_start": 1.0}
        if (place := overruling(seen, fused, elsewhere, overrules)) is not None:
            start, reach = place.moment.start, SURVEYED_REACH
            right = self._survey.calibration.probability(seen.clues(place))
            evidence |= {"from_start": 0.0, "survey_probability": right}
        # A start only a little later would sound much the same.
        places = [seen.origin, *(place.moment.start for place in elsewhere)]
        other = next((place for place in places if abs(place - start) >= width / 2), None)
        if other is not None:
            evidence["runner_up_start"] = other
        if other is not None and other != seen.origin:
            evidence["runner_up_fit"] = seen.fits(other)
        if habits:
            fused = self._survey.fusion.fuse(seen.usual, placed.moment.start, confidence)
            usual = overruling(seen, fused, places_elsewhere(seen, fused))
            before = seen.origin if usual is None else usual.moment.start
            if abs(before - start) > NEAR:
                evidence |= {"habit_moved_from": before, **_habit(habits, seen.kind_of(start))}
        return Placed(Moment(start, start + width), evidence, reach)


def places_elsewhere(seen: Surveyed, fused: Fused) -> list[LikelyStart]:
    """The likeliest places but for the track's start."""
    likely = fused.density.candidates(PLACES, also=[fused.answer])
    return [place for place in likely if abs(place.moment.start - seen.origin) > NEAR]


def overruling(
    seen: Surveyed, fused: Fused, elsewhere: Sequence[LikelyStart], overrules: float = OVERRULES
) -> LikelyStart | None:
    """The place at which the music starts instead of the track's start, if any."""
    first = fused.density.near(seen.origin)
    if elsewhere and elsewhere[0].probability >= max(overrules, first):
        return elsewhere[0]
    return None


def _habit(habits: Habits, kind: StartKind) -> dict[str, float]:
    return {"habit_uses": habits.uses, f"habit_{kind}": habits.starts.get(kind, 0.0)}


def _fingerprint(survey: Survey) -> str:
    habits = f"-habits:{survey.habits.fingerprint}" if survey.habits else ""
    return f"survey-{VERSION}{habits}"
