"""The prior of the memory: where on any track videos start, whichever track it is."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from mgsv.data.annotations import TOLERANCE
from mgsv.memory.density import GRID, NEAR, grid
from mgsv.memory.use import Use

Floats = npt.NDArray[np.float64]

AT_START = 0.33
"""Share of MGSV-EC's moments that start within the first half second: the prior before any use."""
PSEUDO_USES = 10.0
"""Weight of that first prior, in uses."""

MOST_PRIOR = 4096
"""Uses that the prior is made of: more are thinned out evenly, as they would not change it."""
PROBES = 500
"""Uses left out, one at a time, to learn weights and bandwidths from the others."""
LEAST_PROBES = 50
"""With fewer, the defaults are kept."""

BANDWIDTHS = tuple((track, clip) for track in (10.0, 20.0, 40.0) for clip in (0.15, 0.3, 0.6))
"""Choices of the prior's kernels: seconds of track length, and logarithm of the clip's length."""


class PositionDensity:
    """Where any clip starts on any track, by what tracks and clips of about their lengths did."""

    def __init__(self, starts: Floats, lengths: Floats, uses: list[Use]) -> None:
        at = thinned(np.arange(len(starts)), MOST_PRIOR)
        self._start, self._length = starts[at], np.log(lengths[at])
        self._seconds = np.array([uses[n].track_seconds for n in at])
        self._track = np.array([uses[n].track for n in at], object)
        self._bandwidths = BANDWIDTHS[len(BANDWIDTHS) // 2]
        if len(at) >= LEAST_PROBES:
            self._bandwidths = max(BANDWIDTHS, key=self._fit)

    def density(
        self, clip_seconds: float, track_seconds: float, latest: float
    ) -> tuple[Floats, Floats]:
        """(places, masses) [P] over the starts that leave room for the clip; masses sum to 1."""
        weights = self._weights(self._bandwidths, clip_seconds, track_seconds, latest)
        places = grid(latest)
        hop = places[1] if len(places) > 1 else 1.0
        bins = np.minimum((self._start / hop + 0.5).astype(int), len(places) - 1)
        masses = np.bincount(bins, weights, len(places)) + PSEUDO_USES * _first_prior(len(places))
        return places, masses / masses.sum()

    def _weights(
        self, bandwidths: tuple[float, float], clip_seconds: float, seconds: float, latest: float
    ) -> Floats:
        track, clip = bandwidths
        apart = ((self._seconds - seconds) / track) ** 2
        apart += ((self._length - np.log(max(clip_seconds, 1e-3))) / clip) ** 2
        return np.asarray(np.exp(-0.5 * apart) * (self._start <= latest + TOLERANCE))

    def _fit(self, bandwidths: tuple[float, float]) -> float:
        """Log-likelihood of left-out uses, as if their tracks had never been used."""
        score = 0.0
        for n in self._left_out:
            latest = max(self._seconds[n] - np.exp(self._length[n]), 0.0)
            weights = self._weights(
                bandwidths, float(np.exp(self._length[n])), self._seconds[n], latest
            )
            weights = weights * (self._track != self._track[n])
            near = float(weights[np.abs(self._start - self._start[n]) <= NEAR].sum())
            first = AT_START * (self._start[n] <= NEAR) + (1 - AT_START) * min(
                1.0, 2 * NEAR / max(latest, GRID)
            )
            score += np.log((near + PSEUDO_USES * first) / (weights.sum() + PSEUDO_USES))
        return score

    @cached_property
    def _left_out(self) -> npt.NDArray[np.int64]:
        return thinned(np.arange(len(self._start)), PROBES)


def _first_prior(points: int) -> Floats:
    """The prior without any use: a third at the start, the rest anywhere."""
    masses = np.full(points, (1 - AT_START) / points)
    masses[0] += AT_START
    return masses


def thinned(items: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """`items`, or `most` of them at even distances."""
    if len(items) <= most:
        return items
    return np.asarray(items[np.linspace(0, len(items) - 1, most).astype(int)], np.int64)
