"""The paper's video encoder: CLIP ViT-B/32's image embedding of each second, 512 values.

Frames come with the shorter side at 224 pixels, resized by the scan with a bicubic filter as in
CLIP's own preparation; FFmpeg's filter there, Pillow's in CLIP, so grey levels differ a little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from mgsv.encoders.hub import PretrainedEncoder
from mgsv.encoders.registry import Features, batches, centre_crops

if TYPE_CHECKING:
    from torch import Tensor

    from mgsv.media.video import Frame, VideoCurves

CROP = 224
# Mean and standard deviation of red, green and blue in CLIP's training pictures.
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
BATCH = 8


class ClipEncoder(PretrainedEncoder):
    """Rows of 512 values, the projected class token, not normalised. The curves are not used."""

    name = "clip-vit-b32"
    dim = 512
    image_size = CROP
    version = 1
    repository = "openai/clip-vit-base-patch32"
    class_name, width = "CLIPVisionModelWithProjection", "projection_dim"

    def encode(
        self,
        frames: Iterable[Frame],
        curves: Callable[[], VideoCurves],  # noqa: ARG002 (part of the protocol)
    ) -> Features:
        import torch

        rows = [np.empty((0, self.dim), np.float32)]
        with torch.inference_mode():
            for batch in batches(frames, BATCH):
                pixels = clip_input([frame.image for frame in batch])
                rows.append(self.network(pixel_values=pixels).image_embeds.numpy())
        return np.concatenate(rows)


def clip_input(pictures: Iterable[Any]) -> Tensor:
    """Pictures, uint8 RGB [H, W, 3] with a shorter side of 224 → input [B, 3, 224, 224]."""
    import torch

    unit = torch.from_numpy(centre_crops(pictures, CROP)).float() / 255
    scaled = (unit - torch.tensor(MEAN)) / torch.tensor(DEVIATION)
    return scaled.permute(0, 3, 1, 2).contiguous()
