"""EfficientNet-Lite0 (Tan & Le, 2019; Lite variant 2020), trained on ImageNet, by ONNX Runtime.

The network itself is in `mgsv.encoders.networks.efficientnet`.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from mgsv.encoders.registry import centre_crops
from mgsv.encoders.weights import EFFICIENTNET
from mgsv.runtime.onnx import OnnxModel, threads

CROP = 224
DIM = 1280
BATCH = 4  # the largest activation of a batch still fits the cache


@functools.cache
def shared_efficientnet() -> OnnxModel:
    """The network, loaded once per process. Safe to use from several threads."""
    return EFFICIENTNET.open(threads=threads())


def embed_pictures(pictures: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
    """Pictures, uint8 RGB with a shorter side of 256 → features [B, 1280] of their centres."""
    crops = centre_crops(pictures, CROP)
    (features,) = shared_efficientnet().run(["features"], {"pictures": crops})
    return np.asarray(features, np.float32)
