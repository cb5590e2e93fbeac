"""The paper's video encoder: CLIP ViT-B/32's image embedding of each second, 512 values.

Frames come with the shorter side at 224 pixels, resized by the scan with a bicubic filter as in
CLIP's own preparation; FFmpeg's filter there, Pillow's in CLIP, so grey levels differ a little.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mgsv.encoders.hub import load_pretrained, require_dim, weights_digest
from mgsv.encoders.registry import Features, batches, fingerprint

if TYPE_CHECKING:
    from torch import Tensor

    from mgsv.media.video import Frame, VideoCurves

REPOSITORY = "openai/clip-vit-base-patch32"
CROP = 224
# Mean and standard deviation of red, green and blue in CLIP's training pictures.
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
BATCH = 8


class ClipEncoder:
    """Rows of 512 values, the projected class token, not normalised. The curves are not used."""

    name = "clip-vit-b32"
    dim = 512
    image_size = CROP
    version = 1

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        """folder: where the weights lie, see `mgsv.encoders.hub.load_pretrained`."""
        self._folder = folder

    @cached_property
    def network(self) -> Any:
        """`CLIPVisionModelWithProjection`, loaded when first needed."""
        model = load_pretrained(
            self.name, "CLIPVisionModelWithProjection", REPOSITORY, self._folder
        )
        require_dim(self.name, model.config.projection_dim, self.dim)
        return model

    @cached_property
    def fingerprint(self) -> str:
        """Loads the network: its weights may come in any file format."""
        return fingerprint(self.name, self.version, weights_digest(self.network))

    def encode(
        self,
        frames: Iterable[Frame],
        curves: Callable[[], VideoCurves],  # noqa: ARG002 (part of the protocol)
    ) -> Features:
        import torch

        rows = [np.empty((0, self.dim), np.float32)]
        with torch.inference_mode():
            for batch in batches(frames, BATCH):
                pixels = prepare([frame.image for frame in batch])
                rows.append(self.network(pixel_values=pixels).image_embeds.numpy())
        return np.concatenate(rows)


def prepare(pictures: Iterable[Any]) -> Tensor:
    """Pictures, uint8 RGB [H, W, 3] with a shorter side of 224 → input [B, 3, 224, 224]."""
    import torch

    crops = []
    for picture in pictures:
        top, left = ((size - CROP) // 2 for size in picture.shape[:2])
        if top < 0 or left < 0:
            raise ValueError(f"a picture of {picture.shape[:2]} is smaller than {CROP} x {CROP}")
        crops.append(picture[top : top + CROP, left : left + CROP])
    unit = torch.from_numpy(np.stack(crops)).float() / 255
    scaled = (unit - torch.tensor(MEAN)) / torch.tensor(DEVIATION)
    return scaled.permute(0, 3, 1, 2).contiguous()
