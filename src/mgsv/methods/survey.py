"""Where on a whole track a clip belongs, by its cuts and its motion: a probability for each start.

A network answers with one moment and cannot tell a beat from the next. What it cannot see, cuts on
beats and motion that follows the loudness, is often enough to find a moment anywhere on the track,
and often not: hence probabilities, by a conditional logit (McFadden, 1974),

    p(start) = exp(habit) (1 + exp(beats) + exp(accents)) / the same summed over all starts.

`habit` says where moments begin at all, a weighted sum of terms like "on a downbeat". `beats` says
how well cuts and motion would follow the music there if the clip was cut to its beats, `accents` if
it was cut to its strong onsets; the 1 stands for edits that follow no music. `fusion` then weighs
the network's answer against this, as it does against past uses, and `placement` does the last step,
to the frame. The weights, in log-odds, are fitted with the network's fusion by
`recipes/default_model.py` and stand in the checkpoint's record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mgsv.config import check, from_dict, option, to_dict
from mgsv.errors import ConfigError
from mgsv.library import TrackCurves
from mgsv.memory.density import GRID_POINTS, Density, grid
from mgsv.memory.fusion import Fusion
from mgsv.methods.base import Query
from mgsv.methods.placement import Music, terms_at
from mgsv.methods.synchrony import ClipPattern, agree, pattern_of

Floats = npt.NDArray[np.float64]

VERSION = "1"

RECORD = "survey"
"""Where a checkpoint's record holds a `Survey`."""

STEP = 0.04
"""Seconds between the starts that are looked at, beside all beats and phrases."""
AT_START = 0.5
"""Seconds: a third of MGSV-EC's moments begin within them."""
USUAL_SECONDS = 16.0
"""Length of a clip whose motion counts once; with four times as much of it, chance agrees half as
well."""
HABITS = ("border", "phrase", "downbeat", "beat", "voice", "start")
BEATS, ACCENTS = ("grid", "motion"), ("cuts", "motion")
"""Terms of the three sums."""


@dataclass(frozen=True)
class SurveyWeights:
    """Log-odds that a unit of each term adds to a start."""

    grid: float = option(0.0, "Cuts on beats, first of all first ones; grows with their number.")
    cuts: float = option(0.0, "Cuts on strong onsets; grows with their number.")
    motion: float = option(0.0, "Correlation of motion and energy; grows with the clip's length.")
    border: float = option(0.0, "A start on a section border.")
    phrase: float = option(0.0, "A start on the beginning of a phrase.")
    downbeat: float = option(0.0, "A start on the first beat of a bar.")
    beat: float = option(0.0, "A start on a beat.")
    voice: float = option(0.0, "Takes off for a start inside of what is being sung.")
    start: float = option(0.0, "The first half second of the track.")
    beats_doubt: float = option(0.0, "Log-odds against an edit that follows the beats.")
    accents_doubt: float = option(0.0, "Log-odds against an edit that follows the accents.")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Survey:
    """What is to be done with a clip's cuts and motion beside a network."""

    weights: SurveyWeights
    fusion: Fusion
    """Of the network's moment with the probabilities of the starts."""
    ranking: float
    """Score of the network that the best start's log-odds are worth, each."""

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

    density: where the clip starts. best: log-odds that it was cut to this track rather than to
    nothing, by the start that cuts and motion like best.
    """

    density: Density
    best: float


def survey_track(
    query: Query, features: TrackCurves, weights: SurveyWeights, width: float | None = None
) -> Surveyed:
    """Every start of a track weighed for the first `width` seconds of a clip; None: all of it."""
    seconds = min(query.seconds if width is None else width, query.seconds)
    music = Music.of(features)
    clip = pattern_of(query, seconds / query.seconds)
    starts, terms = survey_terms(clip, music)
    habit, edit = odds_of(terms, weights)
    odds = habit + np.logaddexp(0.0, edit)
    # Starts stand closer around beats: each counts for the time it stands for.
    masses = np.exp(odds - odds.max()) * spacing(starts)
    return Surveyed(_density(starts, masses, seconds, music.pattern.seconds), float(edit.max()))


def survey_terms(clip: ClipPattern, music: Music) -> tuple[Floats, dict[str, Floats]]:
    """Starts [N] in seconds that leave room for the clip, in rising order, and the terms at each.

    A start in silence has the terms of other starts: it is `placement` that avoids it.
    """
    latest = max(0.0, music.pattern.seconds - clip.seconds)
    exact = np.concatenate([music.pattern.beats, music.structure.phrases]).astype(np.float64)
    step = max(STEP, latest / (GRID_POINTS * 5))
    starts = np.concatenate([np.arange(0.0, latest, step), exact, [latest]])
    starts = np.unique(starts[(starts >= 0) & (starts <= latest)])
    terms = terms_at(clip, music, agree(clip, music.pattern), starts, 0.0)
    found = {
        name: terms[name].astype(np.float64) for name in {*BEATS, *ACCENTS, *HABITS} & {*terms}
    }
    for name in ("grid", "cuts"):
        found[name] *= np.sqrt(len(clip.cuts))
    found["motion"] *= np.sqrt(clip.seconds / USUAL_SECONDS)
    found["start"] = (starts < AT_START).astype(np.float64)
    return starts, found


def odds_of(terms: Mapping[str, Floats], weights: SurveyWeights) -> tuple[Floats, Floats]:
    """Log-odds [N] of `survey_terms`: that moments begin there, and that the clip was cut to it."""
    habit, beats, accents = (
        np.asarray(sum(getattr(weights, name) * terms[name] for name in names))
        for names in (HABITS, BEATS, ACCENTS)
    )
    return habit, np.logaddexp(beats - weights.beats_doubt, accents - weights.accents_doubt)


def spacing(starts: Floats) -> Floats:
    """[N] seconds that each start stands for."""
    return np.gradient(starts) if len(starts) > 1 else np.ones(1)


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
