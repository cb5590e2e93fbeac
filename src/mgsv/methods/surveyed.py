"""A ranker and a placer with the survey of whole tracks beside them (`methods.survey`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from mgsv.library import TrackCurves
from mgsv.library.packs import Key, Pack
from mgsv.memory.density import GRID, NEAR, LikelyStart
from mgsv.memory.fusion import Fused
from mgsv.memory.habits import Habits, StartKind
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
)
from mgsv.methods.chance import chance
from mgsv.methods.first_stage import FirstStage
from mgsv.methods.glance import first_look, second_look, together
from mgsv.methods.habits import USUAL
from mgsv.methods.kept import sketched
from mgsv.methods.model_ranker import ModelRanker
from mgsv.methods.placement import Music
from mgsv.methods.sketch import FIELDS
from mgsv.methods.survey import VERSION, Survey, Surveyed, Surveyor, survey_track
from mgsv.methods.tracklist import Subset, curves_of, kept_of, records_of
from mgsv.moment import Moment

if TYPE_CHECKING:
    from mgsv.methods.kept import KeptRows

Floats = npt.NDArray[np.float64]

SURVEYED_REACH = GRID / 2
"""Seconds that a start may still move once the survey has weighed all starts of the track."""

OVERRULES = 0.5
"""Probability of another place from which on the music does not start where the track does. Most
published videos use a track from its start, so a place must be right more often than not."""

SURVEYED_CANDIDATES = 50
"""Tracks that get the final score: a second look at sketches foresees the survey's evidence so well
that more of them find hardly more on val edits (`benchmarks/scale.py --fit`)."""

TASTE = 1.0
"""Log-odds that a person's preference of tags counts, per log-odds of a track's own tags."""

PLACES = 8
"""The likeliest places that are looked at."""


class SurveyedRanker(RankerWrapper):
    """`ranker`, whose final score also counts how well cuts and motion fit the track."""

    takes_habits = True

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
        return f"{self._ranker.fingerprint} {_fingerprint(self._survey)} {self._first.fingerprint}"

    def with_habits(self, habits: Habits) -> Self:
        return type(self)(self._network, replace(self._survey, habits=habits), self._first)

    def score_tracks(self, query: Query, tracks: Sequence[TrackCurves]) -> FloatArray:
        """The final score at a glance, in two looks; those that the first look leaves out score
        below all others. Tracks of which nothing is kept are sketched for it.
        """
        towers = self._ranker.score_tracks(query, tracks)
        surveyor, kept = self._surveyor(query), kept_of(tracks)
        if kept is None:
            found = self._sketched_scores(surveyor, tracks, towers)
        else:
            found = self._scores(query, surveyor, tracks, towers, kept)
        return found + self._tastes(tracks)

    def rerank(
        self, query: Query, tracks: Sequence[TrackCurves], placement: Placement
    ) -> list[Ranked]:
        """Evidence, beside the ranker's own: `edit`, what the survey adds to the score, and with
        habits `taste`, what the track's tags and its earlier uses add."""
        ranked = self._ranker.rerank(query, tracks, placement)
        surveyor = self._surveyor(query)
        kept, curves = kept_of(tracks), curves_of(tracks)

        def evidence(n: int) -> float:
            if kept is None or surveyor.habits:  # which look for the chorus, in all features
                return surveyor.evidence(Music.of(tracks[n]))
            return surveyor.evidence(kept.music(n, curves[n]))

        found = together(evidence, range(len(tracks)))
        added = [{"edit": self._survey.ranking * one} for one in found]
        if surveyor.habits:
            tastes = self._tastes(tracks).tolist()
            added = [{**one, "taste": taste} for one, taste in zip(added, tastes, strict=True)]
        return [
            replace(one, score=one.score + sum(more.values()), evidence={**one.evidence, **more})
            for one, more in zip(ranked, added, strict=True)
        ]

    def chance(
        self,
        query: Query,
        tracks: Sequence[TrackCurves],
        known: Mapping[int, float] = NOTHING_KNOWN,
    ) -> float | None:
        """Of a sample of tracks, whose evidence a second look at sketches foresees well enough."""
        surveyor = self._surveyor(query)

        def scores(some: Sequence[TrackCurves]) -> Sequence[float]:
            rows = kept_of(some)
            if rows is None or not self._network.is_quick(some):
                return [one.score for one in self.rerank(query, some, Placement())]
            foreseen = self._foreseen(query, surveyor, some, rows) + self._tastes(some)
            return list(foreseen.tolist())

        return chance(scores, tracks, known)

    def _surveyor(self, query: Query) -> Surveyor:
        return Surveyor(query, self._survey.weights, self._survey.habits)

    def _tastes(self, tracks: Sequence[TrackCurves]) -> FloatArray:
        """[M] what tags and earlier uses add to the tracks' scores."""
        habits = self._survey.habits
        if not habits:
            return np.zeros(len(tracks))
        known = records_of(tracks)
        tastes = [TASTE * habits.mood(one.tags) + habits.popularity(one.id) for one in known]
        return self._survey.ranking * np.array(tastes)

    def _scores(
        self,
        query: Query,
        surveyor: Surveyor,
        tracks: Sequence[TrackCurves],
        towers: FloatArray,
        kept: KeptRows,
    ) -> FloatArray:
        """[M] of tracks of which sketches are kept."""
        worth = self._survey.ranking * self._first.evidence
        edit, weights = surveyor.edit, surveyor.weights
        sketches = kept.kept.sketches
        found = self._first.tower * np.asarray(towers, np.float64)
        found += worth * first_look(edit, weights, sketches)[kept.sketch]
        most = self._first.looks(len(tracks))
        seen = np.argsort(-found, kind="stable")[:most]
        seen = seen[np.isfinite(found[seen])]
        if self._network.is_quick(tracks):
            second = self._foreseen(query, surveyor, Subset(tracks, seen), kept.at(seen))
        else:
            second = self._first.tower * np.asarray(towers, np.float64)[seen]
            second += worth * second_look(edit, weights, sketches, kept.sketch[seen])
        others = np.setdiff1d(np.arange(len(tracks)), seen, assume_unique=True)
        if len(seen) and len(others):
            found[others] -= max(0.0, float(found[others].max() - second.min())) + 1.0
        found[seen] = second
        return found

    def _foreseen(
        self, query: Query, surveyor: Surveyor, tracks: Sequence[TrackCurves], kept: KeptRows
    ) -> Floats:
        """[M] the network's final score, and the evidence that a second look sees."""
        found = np.array([one.score for one in self._network.rerank(query, tracks, Placement())])
        seen = second_look(surveyor.edit, surveyor.weights, kept.kept.sketches, kept.sketch)
        return np.asarray(found + self._survey.ranking * self._first.evidence * seen)

    def _sketched_scores(
        self, surveyor: Surveyor, tracks: Sequence[TrackCurves], towers: FloatArray
    ) -> FloatArray:
        """[M] of tracks that are sketched for it, one at a time."""
        keys = [Key(f"{n}") for n in range(len(tracks))]
        sketches = Pack(None, "", FIELDS)
        sketches.add(keys, [sketched(tracks[n]) for n in range(len(tracks))])
        everything = np.arange(len(tracks))
        found = second_look(surveyor.edit, surveyor.weights, sketches, everything)
        worth = self._survey.ranking * self._first.evidence
        return np.asarray(self._first.tower * np.asarray(towers, np.float64) + worth * found)


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
