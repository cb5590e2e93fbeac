"""How far listeners agree: Krippendorff's alpha for values on a scale of equal steps."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt


def krippendorff_alpha(values: npt.NDArray[np.floating]) -> float:
    """Alpha of values [listeners, items], NaN where one gave none; 1 is full agreement, 0 chance.

    The difference of two values is the square of their distance (interval data). Items with fewer
    than two values tell nothing. NaN where nothing can be compared, or all values are the same.
    """
    known = np.isfinite(values)
    paired = known & (known.sum(axis=0) >= 2)
    held = values[paired]
    count = len(held)
    if count < 2:
        return math.nan
    # Over all pairs of values within an item, and over all pairs of values at all.
    observed = 0.0
    for item in range(values.shape[1]):
        own = values[paired[:, item], item]
        if len(own):
            observed += _pairs(own) / (len(own) - 1)
    expected = _pairs(held) / (count - 1)
    return float(1 - observed / expected) if expected > 0 else math.nan


def _pairs(values: npt.NDArray[np.floating]) -> float:
    """The sum of squared distances over ordered pairs: 2 N Σ(x − mean)²."""
    return float(2 * len(values) * np.square(values - values.mean()).sum())
