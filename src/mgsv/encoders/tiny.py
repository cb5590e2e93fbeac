"""Encoders of a few columns without weights, for tests and for trying things out. Not for use:
their features are colours and loudness alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal

import numpy as np

from mgsv.encoders import motion
from mgsv.encoders.registry import SEGMENT_STEP, Features, MusicFeatures, fingerprint, segment_count
from mgsv.encoders.rhythm_features import RHYTHM_CHANNELS, rhythm_features

if TYPE_CHECKING:
    from mgsv.media.audio import Audio
    from mgsv.media.rhythm import Rhythm
    from mgsv.media.video import Frame, VideoCurves


class TinyVideo:
    """Rows of mean red, green and blue (0 to 1), then the 8 of `motion.CHANNELS`."""

    name = "tiny"
    dim = 3 + len(motion.CHANNELS)
    image_size = 32
    fingerprint = fingerprint("tiny-video", 1)

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        """folder: not needed; there are no weights."""

    def encode(self, frames: Iterable[Frame], curves: Callable[[], VideoCurves]) -> Features:
        colours = [frame.image.mean(axis=(0, 1), dtype=np.float32) / 255 for frame in frames]
        seen = np.array(colours, dtype=np.float32).reshape(-1, 3)
        return np.hstack([seen, motion.motion_features(curves(), len(seen))])


class TinyMusic:
    """Rows of root mean square and brightness, then the 8 of `RHYTHM_CHANNELS`; one tag, "loud"."""

    name = "tiny"
    dim = 2 + len(RHYTHM_CHANNELS)
    rate = 16_000
    channel: Literal["mix"] = "mix"
    step = SEGMENT_STEP
    fingerprint = fingerprint("tiny-music", 1)

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        """folder: not needed; there are no weights."""

    def encode(self, audio: Audio, rhythm: Rhythm) -> MusicFeatures:
        if audio.rate != self.rate:
            raise ValueError(f"{self.name} takes audio at {self.rate} Hz, not {audio.rate}")
        segments, length = segment_count(audio.duration), round(self.step * self.rate)
        padded = np.zeros(segments * length, np.float32)
        padded[: len(audio.samples)] = audio.samples[: len(padded)]
        rows = padded.reshape(segments, length)
        level = np.sqrt(np.mean(rows**2, axis=1))
        # The share of power in the sample-to-sample difference: 0 for a hum, towards 2 for hiss.
        bright = np.mean(np.diff(rows, axis=1) ** 2, axis=1) / np.maximum(level**2, 1e-9)
        sound = np.stack([level, bright], axis=1).astype(np.float32)
        loud = float(1 - np.exp(-10 * level.mean()))
        return MusicFeatures(np.hstack([sound, rhythm_features(rhythm, segments)]), {"loud": loud})
