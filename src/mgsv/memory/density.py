"""Where a clip may start on a track, as probabilities of places, and the best of the starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mgsv.moment import Moment

Floats = npt.NDArray[np.float64]

NEAR = 2.5
"""Seconds around a start that count as the same place: one segment of music features. A
candidate's probability is the mass of all starts this near."""

GRID = 0.5
"""Seconds between the starts of the prior's grid."""
GRID_POINTS = 2400
"""The most of them: the grid is coarser on tracks longer than 20 minutes."""


class LikelyStart(NamedTuple):
    """A start, with its probability."""

    moment: Moment
    probability: float
    """That the true start lies within 2.5 s."""
    expected_iou: float


@dataclass(frozen=True, eq=False)
class Density:
    """Where a clip may start on one track: atoms at `places` [A] seconds, whose `masses` [A] sum
    to 1."""

    places: Floats
    masses: Floats
    clip_seconds: float
    track_seconds: float
    starts: Floats
    """Past starts that leave room for the clip, [U] distinct seconds."""
    uses: int = 0
    """How many uses of this track there are."""
    repeat: float = 0.0
    """Probability that a past use is repeated."""

    @property
    def width(self) -> float:
        """Seconds of the moment: the clip's, or the whole track where that is shorter."""
        return min(self.clip_seconds, self.track_seconds)

    @property
    def latest(self) -> float:
        """The last start that leaves room for the clip."""
        return max(self.track_seconds - self.clip_seconds, 0.0)

    def near(self, start: float) -> float:
        """The probability that the true start lies within 2.5 s of `start`."""
        return float(self.masses[np.abs(self.places - start) <= NEAR].sum())

    def expected_iou(self, starts: Floats) -> Floats:
        """[C] of moments as long as the clip that start at `starts` [C]."""
        apart = np.abs(starts[:, None] - self.places)
        width = max(self.width, 1e-6)
        return np.asarray(np.maximum(width - apart, 0) / (width + apart) @ self.masses)

    def candidates(self, top: int = 5, also: Iterable[float] = ()) -> list[LikelyStart]:
        """The best starts, highest expected IoU first, each further than 2.5 s from better ones.

        Candidates are past starts, the grid of the prior, and `also`.
        """
        tried = np.concatenate([self.starts, list(also), grid(self.latest), [self.latest]])
        tried = np.clip(tried, 0.0, self.latest)
        value = self.expected_iou(tried)
        found: list[LikelyStart] = []
        for n in np.argsort(-value, kind="stable"):
            start = float(tried[n])
            if all(abs(start - other.moment.start) > NEAR for other in found):
                moment = Moment(start, start + self.width)
                found.append(LikelyStart(moment, self.near(start), float(value[n])))
                if len(found) == top:
                    break
        return found

    def weighted(self, factors: Floats) -> Density:
        """The density with its atoms' masses multiplied by `factors` [A] >= 0."""
        masses = self.masses * factors
        total = masses.sum()
        return replace(self, masses=masses / total) if total > 0 else self


def grid(latest: float) -> Floats:
    """Starts from 0 to `latest`, half a second apart, further on very long tracks."""
    return np.arange(0.0, latest + 1e-9, max(GRID, latest / GRID_POINTS))
