"""How sure a share or an estimate is: Wilson's interval, and resampling of listeners and clips."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

Z_95 = 1.959963984540054
"""The normal distribution's 97.5 % quantile."""
RESAMPLES = 2000


def wilson(successes: float, count: float, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval of a share; (0, 1) without any observation.

    A tie counts as half a success. Its variance is below that of a success or none, so that the
    interval is wider than it has to be. That answers of one listener, or to one clip, are alike is
    not in it: for that there is `cluster_weights`.
    """
    if count <= 0:
        return 0.0, 1.0
    share, square = successes / count, z * z / count
    middle = (share + square / 2) / (1 + square)
    half = z * math.sqrt(share * (1 - share) / count + square / (4 * count)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)


def cluster_weights(
    listeners: npt.NDArray[np.integer],
    clips: npt.NDArray[np.integer],
    resamples: int,
    rng: np.random.Generator,
) -> Floats:
    """How often each answer [N] counts in each resample: [resamples, N].

    listeners, clips: whose each answer is, and of which clip, from 0 on. Both are drawn anew, with
    replacement and apart from each other (Owen's pigeonhole bootstrap), since answers of one
    listener are alike, and so are those to one clip. It errs on the side of wide intervals.
    """
    drawn = np.ones((resamples, len(listeners)))
    for groups in (listeners, clips):
        count = int(groups.max()) + 1 if len(groups) else 1
        times = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
        drawn *= times[:, groups]
    return drawn


def percentiles(values: Floats) -> tuple[float, float]:
    """The middle 95 % of resampled estimates; those that are not finite are left out."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return -math.inf, math.inf
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)
