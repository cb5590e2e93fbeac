"""The default video encoder: what each second shows (EfficientNet-Lite0) and how it moves."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from mgsv.encoders import motion
from mgsv.encoders.registry import DEFAULT_VIDEO, Features, batches, fingerprint

if TYPE_CHECKING:
    from mgsv.media.video import Frame, VideoCurves

APPEARANCE_DIM = 1280


class EfficientNetMotion:
    """Rows of 1280 appearance values, then the 8 of `motion.CHANNELS`."""

    name = DEFAULT_VIDEO
    dim = APPEARANCE_DIM + len(motion.CHANNELS)
    image_size = 256  # the network sees the central 224 x 224
    version = 1

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        """folder: not needed; the weights come with a dependency."""

    @cached_property
    def fingerprint(self) -> str:
        from mgsv.encoders.weights import efficientnet_path

        return fingerprint(self.name, self.version, efficientnet_path())

    def encode(self, frames: Iterable[Frame], curves: Callable[[], VideoCurves]) -> Features:
        from mgsv.encoders.efficientnet import BATCH, embed_pictures

        rows = [
            embed_pictures([frame.image for frame in batch]) for batch in batches(frames, BATCH)
        ]
        appearance = np.concatenate([np.empty((0, APPEARANCE_DIM), np.float32), *rows])
        return np.hstack([appearance, motion.motion_features(curves(), len(appearance))])
