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
the mean ratio over the prior, with t = 1.

`fusion` then weighs the network's answer against this, as it does against past uses, and
`placement` does the last step, to the frame. The weights are fitted with the network's fusion by
`recipes/default_model.py` and stand in the checkpoint's record.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mgsv.config import check, from_dict, option, to_dict
from mgsv.errors import ConfigError
from mgsv.library import TrackCurves
from mgsv.media.video import CURVE_RATE
from mgsv.memory.density import GRID, GRID_POINTS, Density, grid
from mgsv.memory.fusion import Fusion
from mgsv.methods.base import Query
from mgsv.methods.editing import Edit
from mgsv.methods.placement import Music, habits_at
from mgsv.methods.synchrony import TrackPattern, pattern_of

Floats = npt.NDArray[np.float64]

VERSION = "2"

RECORD = "survey-2"
"""Where a checkpoint's record holds a `Survey`."""

STEP = 0.04
"""Seconds between the starts that are looked at, beside all beats and phrases."""
LEAST_MOTION = 0.05
"""Mean of the motion curve below which a picture stands still, but for its noise."""
USUAL_SECONDS = 16.0
"""Length of a clip whose motion counts once; with four times as much of it, chance agrees half as
well."""
SILENT_START = 1.0
"""Seconds: the music of a track that is silent for longer starts where it can be heard."""
HABITS = ("border", "phrase", "downbeat", "beat", "voice")
"""Terms of the prior of later starts."""

PUBLISHED = 0.5, 0.9
"""How far the prior believes that a clip is edited as published videos are, and the share of those
that take the music from its start: 17 of 17 that were looked at, at least 0.74 with 95 %."""
FROM_START = 0.08, -0.563, -1.269
"""Log-odds that it is used from its start otherwise, as in MGSV-EC: of a track of two minutes as
long as the clip, and what e times the track's length per clip and e times two minutes add. Fitted
on MGSV-EC's val by `benchmarks/starts.py`, which prints what they are worth on test."""
TWO_MINUTES = 120.0


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
        shares = (self.beats, self.accents, self.moving)
        if min(*shares, 1 - self.beats - self.accents, 1 - self.moving) < 0:
            raise ConfigError("the shares of a survey must lie between 0 and 1")


@dataclass(frozen=True)
class Survey:
    """What is to be done with a clip's cuts and motion beside a network."""

    weights: SurveyWeights
    fusion: Fusion
    """Of the network's moment with the probabilities of the starts."""
    ranking: float
    """Score of the network that a log-odds of evidence is worth."""

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Survey | None:
        """That of a checkpoint's record; None where it has none. ConfigError for a damaged one."""
        if RECORD not in record:
            return None
        try:
            values = record[RECORD]
            fusion, ranking = Fusion.of(values["fusion"]), float(values["ranking"])
            return cls(from_dict(SurveyWeights, values["weights"], "survey."), fusion, ranking)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"the checkpoint's survey is damaged ({error})") from None

    def as_record(self) -> dict[str, Any]:
        """What `of` reads."""
        return {
            "weights": to_dict(self.weights),
            "fusion": to_dict(self.fusion),
            "ranking": self.ranking,
        }


@dataclass(frozen=True)
class Surveyed:
    """One track surveyed for one clip.

    density: where the clip starts. origin: where the music starts, in seconds. evidence: log-odds
    that the clip was cut to this track rather than to none; 0 where it has too few cuts and too
    little motion to tell. starts, odds: [N], the log-odds of each start by cuts and motion.
    """

    density: Density
    origin: float
    evidence: float
    starts: Floats
    odds: Floats

    def fits(self, start: float) -> float:
        """The best log-odds of cuts and motion at the starts around one, in seconds."""
        return float(self.odds[np.abs(self.starts - start) <= GRID].max(initial=0.0))


@dataclass(frozen=True, eq=False)
class Terms:
    """What is seen at each start of a track, before any weight.

    starts: [N] seconds that leave room for the clip, in rising order. prior: terms [N] of `HABITS`.
    edit: terms [N] "grid", "cuts" and "motion", of those that the clip can tell of, in deviations
    of the shaken clip's. amount: roots of how much there is of cuts and of motion. origin: where
    the music starts.
    """

    starts: Floats
    prior: Mapping[str, Floats]
    edit: Mapping[str, Floats]
    amount: Mapping[str, float]
    origin: float
    from_start: float
    """Prior probability of it."""


class Surveyor:
    """The survey of one clip on any number of tracks: what is the same for all is computed once.

    Threads may share it.
    """

    def __init__(self, query: Query, weights: SurveyWeights) -> None:
        self._query, self._weights = query, weights
        self._edits: dict[float, Edit] = {}

    def survey(self, music: Music, width: float | None = None) -> Surveyed:
        """Every start of a track weighed for the first `width` seconds; None: the whole clip."""
        edit = self._edit(width)
        seen = survey_terms(edit, music)
        masses, evidence = weigh(seen, self._weights)
        seconds = edit.clip.seconds
        return Surveyed(
            density=_density(seen.starts, masses, seconds, music.pattern.seconds),
            origin=seen.origin,
            evidence=evidence,
            starts=seen.starts,
            odds=edit_odds(seen, self._weights),
        )

    def evidence(self, music: Music) -> float:
        """That of `survey`, of as much of the clip as the track can accompany."""
        seen = survey_terms(self._edit(music.pattern.seconds), music)
        return evidence_of(seen, prior_of(seen, self._weights), self._weights)

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
    query: Query, features: TrackCurves, weights: SurveyWeights, width: float | None = None
) -> Surveyed:
    """Every start of a track weighed for the first `width` seconds of a clip; None: all of it."""
    return Surveyor(query, weights).survey(Music.of(features), width)


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
    )


def weigh(seen: Terms, weights: SurveyWeights) -> tuple[Floats, float]:
    """The masses [N] of all starts, and the evidence for the track; see `Surveyed`."""
    prior, odds = prior_of(seen, weights), edit_odds(seen, weights)
    masses = prior * np.exp(odds - odds.max())
    return masses / masses.sum(), evidence_of(seen, prior, weights)


def evidence_of(seen: Terms, prior: Floats, weights: SurveyWeights) -> float:
    """Log of the mean ratio over the prior [N]; see `Surveyed`."""
    # Tracks are compared here, not starts that resemble each other: the ratios hold as they are.
    full = edit_odds(seen, replace(weights, trust=1.0))
    return float(np.log(prior @ np.exp(full - full.max())) + full.max())


def prior_of(seen: Terms, weights: SurveyWeights) -> Floats:
    """[N] masses that sum to 1, before the clip's picture is looked at."""
    habit = sum(getattr(weights, name) * seen.prior[name] for name in HABITS)
    # Starts stand closer around beats: each counts for the time it stands for.
    later = np.exp(habit - np.max(habit)) * spacing(seen.starts)
    masses = (1 - seen.from_start) * later / later.sum()
    masses[np.searchsorted(seen.starts, seen.origin)] += seen.from_start
    return np.asarray(masses / masses.sum())


def edit_odds(seen: Terms, weights: SurveyWeights) -> Floats:
    """[N] log-odds of each start by cuts and motion against a clip that was cut to nothing."""
    odds = np.zeros(len(seen.starts))
    if "grid" in seen.edit:
        shares = {"grid": weights.beats, "cuts": weights.accents}
        odds += _mixed(seen, shares, weights, seen.amount["cuts"])
    if "motion" in seen.edit:
        odds += _mixed(seen, {"motion": weights.moving}, weights, seen.amount["motion"])
    return odds


def _mixed(
    seen: Terms, shares: Mapping[str, float], weights: SurveyWeights, amount: float
) -> Floats:
    """[N] log-odds of a mixture: of clips that follow each of the terms, and of those that follow
    none, for which all starts are alike."""
    kinds = [np.full(len(seen.starts), _log(1 - sum(shares.values())))]
    for name, share in shares.items():
        apart = amount * getattr(weights, name)
        kinds.append(_log(share) + weights.trust * (apart * seen.edit[name] - apart**2 / 2))
    return np.asarray(np.logaddexp.reduce(kinds))


def _log(share: float) -> float:
    return math.log(share) if share > 0 else -math.inf


def spacing(starts: Floats) -> Floats:
    """[N] seconds that each start stands for."""
    return np.gradient(starts) if len(starts) > 1 else np.ones(1)


def origin_of(track: TrackPattern) -> float:
    """Seconds at which the music starts."""
    first = int(np.argmax(track.audible)) / CURVE_RATE
    return first if first > SILENT_START else 0.0


def motion_counts(seconds: float) -> float:
    """How often the motion of a clip of this length counts."""
    return seconds / USUAL_SECONDS


def from_start(clip_seconds: float, track_seconds: Floats) -> Floats:
    """The shares of clips that take tracks of these lengths from their start."""
    plain, by_ratio, by_length = FROM_START
    ratio = np.log(np.maximum(track_seconds / clip_seconds, 1.0))
    log_odds = plain + by_ratio * ratio + by_length * np.log(track_seconds / TWO_MINUTES)
    belief, share = PUBLISHED
    return np.asarray(belief * share + (1 - belief) / (1 + np.exp(-log_odds)))


def _density(starts: Floats, masses: Floats, clip_seconds: float, track_seconds: float) -> Density:
    """Starts gathered to half seconds, each at its own mean place."""
    latest = max(0.0, track_seconds - clip_seconds)
    places = grid(latest)
    hop = places[1] if len(places) > 1 else 1.0
    bins = np.minimum((starts / hop + 0.5).astype(int), len(places) - 1)
    total = np.bincount(bins, masses, len(places))
    mean = np.bincount(bins, masses * starts, len(places)) / np.maximum(total, 1e-300)
    places = np.where(total > 0, mean, places)
    return Density(
        places=places,
        masses=total / total.sum(),
        clip_seconds=clip_seconds,
        track_seconds=track_seconds,
        starts=places,
    )
