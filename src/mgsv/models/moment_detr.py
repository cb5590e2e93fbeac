"""Moment-DETR: one encoder over both modalities (Lei, Berg, Bansal, NeurIPS 2021).

Segments and frames are read as one sequence; moment queries look at all of it. In the first layer
the queries hold no content, so that their self-attention gives its output bias alone.

4,310,532 parameters (paper: 4.3 M): without the saliency head, with the 96 positions that are
never used.
"""

from __future__ import annotations

import torch
from torch import nn

from mgsv.models.blocks import MLP, TokenSequence
from mgsv.models.configs import MomentDetrConfig
from mgsv.models.detection import Inputs, SpanDetector
from mgsv.models.detr import DecoderStack, EncoderStack
from mgsv.models.losses import DetectorOutput


class MomentDETR(SpanDetector):
    def __init__(self, config: MomentDetrConfig) -> None:
        super().__init__(config)
        c, d = config, config.hidden_dim
        self.encoder = EncoderStack(c.layer, c.encoder_layers)
        self.decoder = DecoderStack(c.layer, c.decoder_layers)
        self.query_positions = nn.Parameter(torch.randn(c.queries, d))
        self.span_head = MLP(d, d, 2, layers=3)

    def forward(self, x: Inputs) -> DetectorOutput:
        _, positions, mask = sequence = TokenSequence.cat(*self.project(x))
        memory = self.encoder(*sequence)
        empty = memory.new_zeros(memory.shape[0], *self.query_positions.shape)
        hidden = self.decoder(empty, self.query_positions, memory, positions, mask)
        return DetectorOutput(self.span_head(hidden).sigmoid(), self.class_head(hidden))
