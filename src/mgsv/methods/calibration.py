"""How often a place is right that the survey has found, by what can be seen of it.

The survey's probabilities hold for edits like those that its weights were fitted on, and are too
high for others: cuts that lie on strong onsets rather than on beats fit the beats of many places by
luck. What is said to a user is therefore a logistic regression on three clues, fitted on edits of
every kind there is, each kind with the same weight: where the kinds disagree, less is said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

MOST_SAID = 0.99
MOST_MOTION = 3.0
MOST_ONSETS = 12.0


class Clues(NamedTuple):
    """Of a place on a track, each cut off where few of the fitted ones lie.

    said: log-odds of it by the survey. motion: how well motion goes with the loudness there, in
    deviations; 0 where it tells nothing. onsets: how well the cuts lie on strong onsets at the best
    place of the track, likewise.
    """

    said: float
    motion: float
    onsets: float

    @classmethod
    def of(cls, probability: float, motion: float, onsets: float) -> Clues:
        said = min(max(probability, 1 - MOST_SAID), MOST_SAID)
        return cls(
            math.log(said / (1 - said)),
            min(max(motion, -MOST_MOTION), MOST_MOTION),
            min(max(onsets, 0.0), MOST_ONSETS),
        )


@dataclass(frozen=True)
class Calibration:
    """Log-odds that a place is right: `plain` and each clue times its weight. The defaults take the
    survey's word."""

    plain: float = 0.0
    said: float = 1.0
    motion: float = 0.0
    onsets: float = 0.0

    def probability(self, clues: Clues) -> float:
        """That the true start lies within 2.5 s of the place."""
        said, motion, onsets = clues
        odds = self.plain + self.said * said + self.motion * motion + self.onsets * onsets
        return 1 / (1 + math.exp(-odds))
