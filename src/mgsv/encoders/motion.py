"""What happens between a video's frames, per second: motion, cuts and light from its curves.

The default video encoder puts it beside what the frames show (EfficientNet-Lite0).

The scales are fixed, so that a row means the same in every video, and bring everyday values to
about 1.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mgsv.encoders.registry import DEFAULT_VIDEO, Features, batches, fingerprint
from mgsv.encoders.weights import EFFICIENTNET
from mgsv.media.shots import CURVE_RATE, VideoCurves

if TYPE_CHECKING:
    from mgsv.media.video import Frame

APPEARANCE_DIM = 1280
"""Width of what EfficientNet-Lite0 gives for a picture."""
CHANNELS = (
    "motion_mean",  # over the second
    "motion_max",
    "motion_change",  # mean of this second − mean of the one before
    "cuts",  # in the second
    "cut_rate",  # cuts per second within 5 s to either side: the pace of the edit
    "light_mean",
    "light_change",  # mean of this second − mean of the one before
    "light_spread",  # standard deviation within the second: flicker, flashes, fades
)
MOTION_SCALE = 5.0  # hand-held footage changes by about 0.2 of the full range per second
LIGHT_SCALE = 2.0
LIGHT_CHANGE_SCALE = 10.0
PACE_REACH = 5.0  # seconds


def motion_features(curves: VideoCurves, seconds: int) -> npt.NDArray[np.float32]:
    """float32 [seconds, 8]: the columns of CHANNELS for [k, k + 1), k = 0 … seconds − 1.

    A second that the curves do not reach repeats their last sample.
    """
    samples = round(CURVE_RATE)
    motion, light = (_rows(c, seconds, samples) for c in (curves.motion, curves.light))
    cuts = np.sort(np.asarray(curves.cuts, dtype=np.float64))
    starts = np.arange(seconds)
    # Near the video's ends the pace is taken over the part of the window that exists.
    low = np.maximum(starts + 0.5 - PACE_REACH, 0.0)
    high = np.minimum(starts + 0.5 + PACE_REACH, max(curves.duration, 1.0))
    columns = (
        motion.mean(1) * MOTION_SCALE,
        motion.max(1) * MOTION_SCALE,
        _change(motion.mean(1)) * MOTION_SCALE,
        _count(cuts, starts, starts + 1),
        _count(cuts, low, high) / np.maximum(high - low, 1.0),
        light.mean(1) * LIGHT_SCALE,
        _change(light.mean(1)) * LIGHT_CHANGE_SCALE,
        light.std(1) * LIGHT_CHANGE_SCALE,
    )
    return np.stack(columns, axis=1).astype(np.float32)


def _rows(curve: npt.NDArray[np.float32], seconds: int, samples: int) -> npt.NDArray[np.float64]:
    """[T] → [seconds, samples], the last sample repeated as needed (0 for an empty curve)."""
    wanted = seconds * samples
    padded = np.zeros(wanted)
    taken = np.asarray(curve[:wanted], dtype=np.float64)
    padded[: len(taken)] = taken
    if len(taken):
        padded[len(taken) :] = taken[-1]
    return padded.reshape(seconds, samples)


def _count(
    times: npt.NDArray[np.float64], low: npt.ArrayLike, high: npt.ArrayLike
) -> npt.NDArray[np.intp]:
    """How many of the rising `times` lie in each [low, high)."""
    return np.searchsorted(times, np.asarray(high)) - np.searchsorted(times, np.asarray(low))


def _change(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Difference from the value before; 0 for the first."""
    return np.diff(values, prepend=values[:1])


class EfficientNetMotion:
    """Rows of 1280 appearance values, then the 8 of `CHANNELS`."""

    name = DEFAULT_VIDEO
    dim = APPEARANCE_DIM + len(CHANNELS)
    image_size = 256  # the network sees the central 224 x 224
    version = 1

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        """folder: not needed; the weights come with mgsv."""

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.name, self.version, EFFICIENTNET.published)

    def encode(self, frames: Iterable[Frame], curves: Callable[[], VideoCurves]) -> Features:
        from mgsv.encoders.efficientnet import BATCH, embed_pictures

        rows = [
            embed_pictures([frame.image for frame in batch]) for batch in batches(frames, BATCH)
        ]
        appearance = np.concatenate([np.empty((0, APPEARANCE_DIM), np.float32), *rows])
        return np.hstack([appearance, motion_features(curves(), len(appearance))])
