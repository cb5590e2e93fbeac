"""QD-DETR: segments look at the frames before anything else (Moon et al., CVPR 2023).

A learned token goes through the encoder in front of the segments; the decoder sees the segments
alone. The authors compute saliency from that token, and once more for another row's query: both
serve highlights, which this task does not have, so they are left out and the token stays.

QD-DETR+ has no cross-modal layers. The frames then join the sequence of the encoder, and leave it
before the decoder. (The paper names its encoder but no code exists; this is the least change.)

6,941,473 parameters (paper: 6.9 M) and 5,361,951 for QD-DETR+ (5.4 M): without the saliency heads,
with the 96 positions that are never used.
"""

from __future__ import annotations

import torch
from torch import nn

from mgsv.models.blocks import TokenSequence
from mgsv.models.configs import QdDetrConfig
from mgsv.models.cross import CrossModal
from mgsv.models.detection import Inputs, ReferenceDetector
from mgsv.models.detr import EncoderStack
from mgsv.models.losses import DetectorOutput


class QDDETR(ReferenceDetector):
    config: QdDetrConfig

    def __init__(self, config: QdDetrConfig) -> None:
        super().__init__(config)
        c, d = config, config.hidden_dim
        self.cross = CrossModal(c.layer, c.cross_layers) if c.cross else None
        self.encoder = EncoderStack(c.layer, c.encoder_layers, nn.PReLU)
        self.token, self.token_position = (nn.Parameter(torch.randn(d)) for _ in range(2))

    def forward(self, x: Inputs) -> DetectorOutput:
        segments, frames = self.project(x)
        if self.cross is not None:
            mixed = self.cross(segments, frames, authors_mask=self.config.authors_mask)
            segments = segments._replace(tokens=mixed)
        rows, count = segments.mask.shape
        token, place = (p.expand(rows, 1, -1) for p in (self.token, self.token_position))
        parts = [TokenSequence(token, place, segments.mask.new_ones(rows, 1)), segments]
        if self.cross is None:
            parts.append(frames)
        encoded = self.encoder(*TokenSequence.cat(*parts))
        return self.decode(segments._replace(tokens=encoded[:, 1 : 1 + count]))
