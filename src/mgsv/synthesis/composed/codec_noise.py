"""What a lossy codec does to the features of a video, as noise for training.

The scales were measured by `benchmarks/compose.py likeness`, which prints them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mgsv.encoders.efficientnet_motion import APPEARANCE_DIM
from mgsv.synthesis.composed.plan import Plan

FLOOR, SHARE = 0.05, 0.2
"""Deviation of an appearance value x: FLOOR + SHARE x, and never below 0 in the sum."""

LASTING = 0.45
"""Share of that variance that stays the same over a shot, whose frames resemble each other."""

MOTION = (0.045, 0.05, 0.04, 0.0, 0.0, 0.001, 0.005, 0.003)
"""Deviations of `motion.CHANNELS`."""


def with_codec_noise(
    features: npt.NDArray[np.float32], plan: Plan, rng: np.random.Generator, scale: float = 1.0
) -> npt.NDArray[np.float32]:
    """Features [F, D] of `plan` as its file might give them; `scale` 1 is H.264's default."""
    appearance, motion = np.split(features, [APPEARANCE_DIM], axis=1)
    starts = [shot.start for shot in plan.shots]
    shots = np.searchsorted(starts, np.arange(len(features)) + 1e-6) - 1
    lasting = rng.standard_normal((len(starts), APPEARANCE_DIM), np.float32)[shots]
    fresh = rng.standard_normal(appearance.shape, np.float32)
    deviation = np.float32(scale) * (FLOOR + np.float32(SHARE) * appearance)
    noise = deviation * (np.sqrt(LASTING) * lasting + np.sqrt(1 - LASTING) * fresh)
    shaken = motion + scale * np.array(MOTION) * rng.standard_normal(motion.shape)
    return np.hstack([np.maximum(appearance + noise, 0), shaken]).astype(np.float32)
