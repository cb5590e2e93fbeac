"""How far two computations of the same number may be apart, and why so far.

Kernels differ in the order of their sums and in fused multiply-adds, so one number is computed with
other roundings on another processor. A sum of n terms of size s, in any order, is off by √n
roundings of s as a rule and by n at most. A tolerance is absolute and for values near 1, which is
where norms, softmax and sigmoid keep them, unless it says otherwise.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

UNIT32, UNIT64 = 2.0**-24, 2.0**-53
"""One rounding, relative to the value: float32's and float64's."""

NETWORK = 170 * UNIT32
"""1.0e-5. Outputs, scores and losses of the tests' networks, which have sums of at most 100 terms
(√100 roundings each) and some 16 layers behind each other."""
CANVAS = 240 * NETWORK
"""0.0024 s. Edges of spans in seconds, of a canvas of 240 s."""
GRADIENT = 10 * NETWORK
"""1.0e-4, relative to the largest gradient of a model: a gradient passes every layer twice, and is
a sum over the rows and places of a batch."""
RECORDED_GRADIENT = 2e-3
"""20 GRADIENT, relative to the norm of one parameter's gradient: a gradient that is small beside
the largest is a sum whose terms cancel, here to a twentieth of their size."""
SMALL_GRADIENT = 1e-6
"""Relative to the largest norm: below it a norm is rounding noise (20 roundings)."""
FEW32 = 20 * UNIT32
"""1.2e-6. A few operations in float32: a table of sines, a mean, a norm."""
EXACT = 100 * 100 * UNIT64
"""1.1e-12. What NETWORK is in float64, with ten times the room: 100 terms, 100 operations."""
TRAINED = 256 * UNIT32
"""1.5e-5, relative to the largest value. Outputs of the trained encoders, whose sums have up to
4,000 terms (√4000 = 63 roundings), some four of them behind each other without a norm."""


def apart(found: ArrayLike, expected: ArrayLike) -> float:
    """Largest difference, relative to the largest of the expected values."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())
