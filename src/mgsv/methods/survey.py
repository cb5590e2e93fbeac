"""Where on a whole track a clip belongs, by its cuts and its motion: a probability for each start.

A network answers with one moment and cannot tell a beat from the next. What it cannot see, cuts on
beats and motion that follows the loudness, is sometimes enough to find a moment anywhere on the
track, and mostly not: most published videos take the music from its own start and are cut as the
picture wants it. Hence probabilities, by Bayes' rule:

    p(start) = prior(start) x cuts(start) x motion(start), over the same summed over all starts.

`prior` is the share of videos that take a track from its start, and for the later starts a habit:
a weighted sum of terms like "on a downbeat". `cuts` and `motion` are likelihood ratios, each a
mixture: of edits that follow nothing, for which every start is equally likely, and of those that
are cut to the beats or to strong onsets, or that move with the loudness,

    cuts(start) = none + beats r(grid(start)) + accents r(onsets(start)),

where r(z) = exp(t (d z - d^2 / 2)): the ratio of two normal distributions, d deviations apart, with
z in deviations of what the same track gives to the same clip with its cuts shaken and its motion
turned round. So a track with more starts, or with more beats, does not fit better for that. t, the
`trust`, is below 1 because the starts of a track are not independent, and because composed edits,
on which the rest is fitted, keep to the beats more cleanly than life. The evidence of a track is
the mean ratio over the prior, with t = 1, in which the z of cuts counts up to a little beyond d: on
a track with few beats each hit is rare, and three cuts that meet them are no better for that.

`fusion` then weighs the network's answer against this, as it does against past uses, and
`placement` does the last step, to the frame. The weights are fitted with the network's fusion by
`recipes/default_model.py` and stand in the checkpoint's record.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mgsv.config import check, from_dict, option, to_dict
from mgsv.errors import ConfigError
from mgsv.library import TrackCurves
from mgsv.memory.density import GRID, GRID_POINTS, NEAR, Density, LikelyStart, grid
from mgsv.memory.fusion import Fusion
from mgsv.memory.habits import Habits, StartKind
from mgsv.methods.base import Query
from mgsv.methods.calibration import Calibration, Clues
from mgsv.methods.editing import Edit
from mgsv.methods.habits import habitual_starts, habitual_weights, landmarks
from mgsv.methods.origin import from_start, origin_of
from mgsv.methods.placement import Music, habits_at
from mgsv.methods.synchrony import pattern_of

Floats = npt.NDArray[np.float64]

VERSION = "3"

RECORD = "survey-2"
"""Where a checkpoint's record holds a `Survey`."""

STEP = 0.04
"""Seconds between the starts that are looked at, beside all beats and phrases."""
LEAST_MOTION = 0.05
"""Mean of the motion curve below which a picture stands still, but for its noise."""
USUAL_SECONDS = 16.0
"""Length of a clip whose motion counts once; with four times as much of it, chance agrees half as
well."""
BEYOND = 2.0
"""Deviations beyond those of an edit on the music from which on cuts make no track fit better."""
HABITS = ("border", "phrase", "downbeat", "beat", "voice")
"""Terms of the prior of later starts."""


@dataclass(frozen=True)
class SurveyWeights:
    """What cuts, motion and habits count; see the head of this file."""

    grid: float = option(0.0, "Deviations that each cut of a clip cut to beats is off chance.")
    cuts: float = option(0.0, "The same of a clip cut to strong onsets.")
    motion: float = option(0.0, "The same of 16 s of a clip that moves with the loudness.")
    beats: float = option(0.0, "Share of clips that are cut to beats.")
    accents: float = option(0.0, "Share of clips that are cut to strong onsets.")
    moving: float = option(0.0, "Share of clips that move with the loudness.")
    trust: float = option(1.0, "How far the log-odds of cuts and motion are believed.")
    border: float = option(0.0, "Log-odds of a later start on a section border.")
    phrase: float = option(0.0, "Log-odds of one on the beginning of a phrase.")
    downbeat: float = option(0.0, "Log-odds of one on the first beat of a bar.")
    beat: float = option(0.0, "Log-odds of one on a beat.")
    voice: float = option(0.0, "Takes off for one inside of what is being sung.")

    def __post_init__(self) -> None:
        check(self)
        others = 1 - self.beats - self.accents, 1 - self.moving
        if min(self.beats, self.accents, self.moving, *others) < 0:
            raise ConfigError("the shares of a survey must lie between 0 and 1")


@dataclass(frozen=True)
class Survey:
    """What is to be done with a clip's cuts and motion beside a network."""

    weights: SurveyWeights
    fusion: Fusion
    """Of the network's moment with the probabilities of the starts."""
    ranking: float
    """Score of the network that a log-odds of evidence is worth."""
    calibration: Calibration = Calibration()
    """Of what is said of a place."""
    habits: Habits | None = None
    """Of whom the clips are by, where they are known; no part of the record."""

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Survey | None:
        """That of a checkpoint's record; None where it has none. ConfigError for a damaged one."""
        if RECORD not in record:
            return None
        try:
            values = record[RECORD]
            fusion, ranking = Fusion.of(values["fusion"]), float(values["ranking"])
            weights = from_dict(SurveyWeights, values["weights"], "survey.")
            calibration = from_dict(Calibration, values.get("calibration", {}), "calibration.")
            return cls(weights, fusion, ranking, calibration)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"the checkpoint's survey is damaged ({error})") from None

    def as_record(self) -> dict[str, Any]:
        """What `of` reads."""
        return {
            "weights": to_dict(self.weights),
            "fusion": to_dict(self.fusion),
            "ranking": self.ranking,
            "calibration": to_dict(self.calibration),
        }


@dataclass(frozen=True)
class Surveyed:
    """One track surveyed for one clip.

    density: where the clip starts. usual: the same without habits. origin: where the music starts,
    in seconds. evidence: log-odds that the clip was cut to this track rather than to none; 0 where
    it has too few cuts and too little motion to tell. starts, odds: [N], the log-odds of each start
    by cuts and motion. places: of `habits.landmarks`, where habits are known. edit: as in `Terms`.
    """

    density: Density
    usual: Density
    origin: float
    evidence: float
    starts: Floats
    odds: Floats
    edit: Mapping[str, Floats]
    places: Mapping[StartKind, float]

    def clues(self, place: LikelyStart) -> Clues:
        """What tells whether a place that leaves the track's start is right."""
        near = np.abs(self.starts - place.moment.start) <= GRID
        best = int(np.argmax(np.where(near, self.odds, -np.inf)))
        motion = float(self.edit["motion"][best]) if "motion" in self.edit else 0.0
        onsets = float(self.edit["cuts"].max()) if "cuts" in self.edit else 0.0
        return Clues.of(place.probability, motion, onsets)

    def kind_of(self, start: float) -> StartKind:
        """Which of these `start`, in seconds, is, to `NEAR` seconds."""
        near = ((abs(start - place), kind) for kind, place in self.places.items())
        return next((kind for apart, kind in sorted(near) if apart <= NEAR), "elsewhere")

    def fits(self, start: float) -> float:
        """The best log-odds of cuts and motion at the starts around one, in seconds."""
        return float(self.odds[np.abs(self.starts - start) <= GRID].max(initial=0.0))


@dataclass(frozen=True, eq=False)
class Terms:
    """What is seen at each start of a track, before any weight.

    starts: [N] seconds that leave room for the clip, in rising order. prior: terms [N] of `HABITS`.
    edit: terms [N] "grid", "cuts" and "motion", of those that the clip can tell of, in deviations
    of the shaken clip's. amount: roots of how much there is of cuts and of motion. origin: where
    the music starts; from_start: prior probability of it.
    """

    starts: Floats
    prior: Mapping[str, Floats]
    edit: Mapping[str, Floats]
    amount: Mapping[str, float]
    origin: float
    from_start: float
    music: Music
    clip_seconds: float

    @cached_property
    def places(self) -> Mapping[StartKind, float]:
        """Of `habits.landmarks`, which take long to find: only habits need them."""
        return landmarks(self.music, self.origin, self.clip_seconds)

    @property
    def track_seconds(self) -> float:
        return self.music.pattern.seconds


class Surveyor:
    """The survey of one clip on any number of tracks: what is the same for all is computed once.

    Threads may share it.
    """

    def __init__(self, query: Query, weights: SurveyWeights, habits: Habits | None = None) -> None:
        """habits: of the clip's maker, where they are known."""
        self._query, self._usual, self.habits = query, weights, habits
        self.weights = habitual_weights(weights, habits) if habits else weights
        self._edits: dict[float, Edit] = {}

    def survey(self, music: Music, width: float | None = None) -> Surveyed:
        """Every start of a track weighed for the first `width` seconds; None: the whole clip."""
        seen = survey_terms(self._edit(width), music)
        masses, evidence = weigh(seen, self._usual)
        usual = density = _density(seen, masses)
        if self.habits:
            masses, evidence = weigh(seen, self.weights, self.habits)
            density = _density(seen, masses)
        return Surveyed(
            density=density,
            usual=usual,
            origin=seen.origin,
            evidence=evidence,
            starts=seen.starts,
            odds=edit_odds(seen, self.weights),
            edit=seen.edit,
            places=seen.places if self.habits else {},
        )

    def evidence(self, music: Music) -> float:
        """That of `survey`, of as much of the clip as the track can accompany."""
        seen = survey_terms(self._edit(music.pattern.seconds), music)
        return evidence_of(seen, prior_of(seen, self.weights, self.habits), self.weights)

    @property
    def edit(self) -> Edit:
        """Of the whole clip."""
        return self._edit(None)

    def _edit(self, width: float | None) -> Edit:
        whole = self._query.seconds
        seconds = whole if width is None else min(width, whole)
        known = self._edits.get(seconds)
        if known is None:
            clip = pattern_of(self._query, seconds / whole)
            known = self._edits[seconds] = Edit(clip, moves=moves(self._query))
        return known


def survey_track(
    query: Query,
    features: TrackCurves,
    weights: SurveyWeights,
    width: float | None = None,
    habits: Habits | None = None,
) -> Surveyed:
    """Every start of a track weighed for the first `width` seconds of a clip; None: all of it."""
    return Surveyor(query, weights, habits).survey(Music.of(features), width)


def moves(query: Query) -> bool:
    """Whether the picture moves enough to tell what its motion goes with."""
    return float(query.curves.motion.mean()) >= LEAST_MOTION


def survey_terms(edit: Edit, music: Music) -> Terms:
    """The terms of every start of a track.

    A start in silence has the terms of other starts: it is `placement` that avoids it.
    """
    track, structure, clip = music.pattern, music.structure, edit.clip
    latest = max(0.0, track.seconds - clip.seconds)
    origin = min(origin_of(track), latest)
    exact = np.concatenate([track.beats, structure.phrases, [origin]]).astype(np.float64)
    step = max(STEP, latest / (GRID_POINTS * 5))
    starts = np.concatenate([np.arange(0.0, latest, step), exact, [latest]])
    starts = np.unique(starts[(starts >= 0) & (starts <= latest)])
    habits = habits_at(music, starts)
    return Terms(
        starts=starts,
        prior={name: habit.astype(np.float64) for name, habit in habits.items()},
        edit=edit.on(music, starts),
        amount={
            "cuts": float(np.sqrt(len(clip.cuts))),
            "motion": float(np.sqrt(motion_counts(clip.seconds))),
        },
        origin=origin,
        from_start=float(from_start(clip.seconds, np.array(track.seconds))),
        music=music,
        clip_seconds=clip.seconds,
    )


def weigh(
    seen: Terms, weights: SurveyWeights, habits: Habits | None = None
) -> tuple[Floats, float]:
    """The masses [N] of all starts, and the evidence for the track; see `Surveyed`."""
    prior, odds = prior_of(seen, weights, habits), edit_odds(seen, weights)
    masses = prior * np.exp(odds - odds.max())
    return masses / masses.sum(), evidence_of(seen, prior, weights)


def evidence_of(seen: Terms, prior: Floats, weights: SurveyWeights) -> float:
    """Log of the mean ratio over the prior [N]; see `Surveyed`."""
    # Tracks are compared here, not starts that resemble each other: the ratios hold as they are.
    full = edit_odds(seen, replace(weights, trust=1.0), BEYOND)
    return float(np.log(prior @ np.exp(full - full.max())) + full.max())


def prior_of(seen: Terms, weights: SurveyWeights, habits: Habits | None = None) -> Floats:
    """[N] masses that sum to 1, before the clip's picture is looked at."""
    habit = sum(getattr(weights, name) * seen.prior[name] for name in HABITS)
    # Starts stand closer around beats: each counts for the time it stands for.
    apart = spacing(seen.starts)
    later = np.exp(habit - np.max(habit)) * apart
    if habits:
        room = seen.starts, later, apart
        return habitual_starts(habits, *room, seen.places, seen.from_start, seen.track_seconds)
    masses = (1 - seen.from_start) * later / later.sum()
    masses[np.searchsorted(seen.starts, seen.origin)] += seen.from_start
    return np.asarray(masses / masses.sum())


def edit_odds(seen: Terms, weights: SurveyWeights, beyond: float = math.inf) -> Floats:
    """[N] log-odds of each start by cuts and motion against a clip that was cut to nothing.

    beyond: as `BEYOND`, if cuts are to count no further.
    """
    odds = np.zeros(len(seen.starts))
    if "grid" in seen.edit:
        shares = {"grid": weights.beats, "cuts": weights.accents}
        odds += _mixed(seen, shares, weights, seen.amount["cuts"], beyond)
    if "motion" in seen.edit:
        odds += _mixed(seen, {"motion": weights.moving}, weights, seen.amount["motion"])
    return odds


def _mixed(
    seen: Terms,
    shares: Mapping[str, float],
    weights: SurveyWeights,
    amount: float,
    beyond: float = math.inf,
) -> Floats:
    """[N] log-odds of a mixture: of clips that follow each of the terms, and of those that follow
    none, for which all starts are alike."""
    kinds = [np.full(len(seen.starts), _log(1 - sum(shares.values())))]
    for name, share in shares.items():
        apart = amount * getattr(weights, name)
        kinds.append(_log(share) + weights.trust * log_ratio(seen.edit[name], apart, beyond))
    return np.asarray(np.logaddexp.reduce(kinds))


def log_ratio(term: Floats, apart: Floats | float, beyond: float = math.inf) -> Floats:
    """Log of r, t = 1, of a term that is `apart` deviations off chance in edits on the music."""
    return np.asarray(apart * np.minimum(term, apart + beyond) - np.square(apart) / 2)


def _log(share: float) -> float:
    return math.log(share) if share > 0 else -math.inf


def spacing(starts: Floats) -> Floats:
    """[N] seconds that each start stands for."""
    return np.gradient(starts) if len(starts) > 1 else np.ones(1)


def motion_counts(seconds: float) -> float:
    """How often the motion of a clip of this length counts."""
    return seconds / USUAL_SECONDS


def _density(seen: Terms, masses: Floats) -> Density:
    """Starts gathered to half seconds, each at its own mean place."""
    latest = max(0.0, seen.track_seconds - seen.clip_seconds)
    places = grid(latest)
    hop = places[1] if len(places) > 1 else 1.0
    bins = np.minimum((seen.starts / hop + 0.5).astype(int), len(places) - 1)
    total = np.bincount(bins, masses, len(places))
    mean = np.bincount(bins, masses * seen.starts, len(places)) / np.maximum(total, 1e-300)
    places = np.where(total > 0, mean, places)
    return Density(
        places=places,
        masses=total / total.sum(),
        clip_seconds=seen.clip_seconds,
        track_seconds=seen.track_seconds,
        starts=places,
    )
