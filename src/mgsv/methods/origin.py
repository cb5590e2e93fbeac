"""Where a track's music starts, and how many clips take it from there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mgsv.media.video import CURVE_RATE
from mgsv.methods.synchrony import TrackPattern

Floats = npt.NDArray[np.float64]

SILENT_START = 1.0
"""Seconds: the music of a track that is silent for longer starts where it can be heard."""

PUBLISHED = 0.5, 0.9
"""How far the prior believes that a clip is edited as published videos are, and the share of those
that take the music from its start: 17 of 17 that were looked at, at least 0.74 with 95 %."""
FROM_START = 0.08, -0.563, -1.269
"""Log-odds that it is used from its start otherwise, as in MGSV-EC: of a track of two minutes as
long as the clip, and what e times the track's length per clip and e times two minutes add. Fitted
on MGSV-EC's val by `benchmarks/starts.py`, which prints what they are worth on test."""
TWO_MINUTES = 120.0


def origin_of(track: TrackPattern) -> float:
    """Seconds at which the music starts."""
    first = int(np.argmax(track.audible)) / CURVE_RATE
    return first if first > SILENT_START else 0.0


def from_start(clip_seconds: float, track_seconds: Floats) -> Floats:
    """The shares of clips that take tracks of these lengths from their start."""
    plain, by_ratio, by_length = FROM_START
    ratio = np.log(np.maximum(track_seconds / clip_seconds, 1.0))
    log_odds = plain + by_ratio * ratio + by_length * np.log(track_seconds / TWO_MINUTES)
    belief, share = PUBLISHED
    return np.asarray(belief * share + (1 - belief) / (1 + np.exp(-log_odds)))
