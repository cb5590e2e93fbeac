"""How bright music sounds: where the middle of its spectrum lies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FRAME = 1024
"""Samples, 64 ms at 16 kHz."""
STEP = 0.25
"""Seconds from one frame to the next: brightness is an average, which needs no more."""
QUIET = 1e-8
"""Power of a frame, of full scale, below which it is silence (−80 dB)."""


def measure_brightness(samples: NDArray[np.float32], rate: int) -> float:
    """The mean spectral centroid in Hz, of frames that are not silent; 0 where all are.

    samples: [N] mono. Each frame counts alike, whatever its loudness.
    """
    if len(samples) < FRAME:
        return 0.0
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[:: max(1, int(STEP * rate))]
    frames = frames[np.mean(np.square(frames), axis=1) > QUIET]
    if not len(frames):
        return 0.0
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(FRAME), axis=1)))
    centroids = power @ np.fft.rfftfreq(FRAME, 1 / rate) / power.sum(axis=1)
    return float(centroids.mean())
