"""The detection transformer: a post-norm encoder and decoder with a few moment queries."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgsv.models.blocks import MLP, Attention, Dropout, EncoderLayer, FeedForward, sine_of_mask
from mgsv.models.configs import LayerSize
from mgsv.models.losses import DetectorOutput


def initialise_xavier(transformer: nn.Module) -> None:
    """DETR's start: every weight matrix Xavier-uniform; vectors keep PyTorch's defaults."""
    for parameter in transformer.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)


class EncoderStack(nn.Module):
    """A stack of post-norm layers; an empty stack returns its input."""

    def __init__(
        self, size: LayerSize, layers: int, activation: Callable[[], nn.Module] = nn.ReLU
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(size, activation) for _ in range(layers))
        initialise_xavier(self)

    def forward(self, x: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """[B, L, d] from x and positions [B, L, d], mask [B, L]."""
        for layer in self.layers:
            x = layer(x, positions, mask)
        return x


class DecoderLayer(nn.Module):
    """Self-attention over the queries, cross-attention to the memory, feed-forward; post-norm."""

    def __init__(self, size: LayerSize) -> None:
        super().__init__()
        dim, heads, hidden, rate = size
        self.self_attention = Attention(dim, heads, rate)
        self.cross_attention = Attention(dim, heads, rate)
        self.feed_forward = FeedForward(dim, hidden, nn.ReLU(), rate)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))
        self.dropout = Dropout(rate)

    def forward(
        self, x: Tensor, query_positions: Tensor, memory: Tensor, keys: Tensor, mask: Tensor
    ) -> Tensor:
        """[B, Q, d] from x [B, Q, d], memory and keys (memory + positions) [B, L, d]."""
        placed = x + query_positions
        everyone = mask.new_ones(x.shape[:2])
        x = self.norm1(x + self.dropout(self.self_attention(placed, placed, x, everyone)))
        found = self.cross_attention(x + query_positions, keys, memory, mask)
        x = self.norm2(x + self.dropout(found))
        normed: Tensor = self.norm3(x + self.dropout(self.feed_forward(x)))
        return normed


class DecoderStack(nn.Module):
    """A stack of decoder layers. One norm, shared, is applied to every layer's output."""

    def __init__(self, size: LayerSize, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(size) for _ in range(layers))
        self.norm = nn.LayerNorm(size.dim)
        initialise_xavier(self)

    def forward(
        self, x: Tensor, query_positions: Tensor, memory: Tensor, positions: Tensor, mask: Tensor
    ) -> Tensor:
        """All layers' outputs after the norm, [layers, B, Q, d]; layers themselves pass it by.

        x [B, Q, d] is the queries' content, query_positions [Q, d], memory and positions [B, L, d].
        """
        keys = memory + positions
        outputs = []
        for layer in self.layers:
            x = layer(x, query_positions, memory, keys, mask)
            outputs.append(x)
        normed: Tensor = self.norm(torch.stack(outputs))
        return normed


class Detector(nn.Module):
    """Encoder, decoder, and heads that say where the moment is and how sure that is."""

    def __init__(
        self,
        size: LayerSize,
        *,
        encoder_layers: int,
        decoder_layers: int,
        queries: int,
        predict_width: bool = True,
    ) -> None:
        super().__init__()
        self.dim = dim = size.dim
        self.encoder = EncoderStack(size, encoder_layers)
        self.decoder = DecoderStack(size, decoder_layers)
        self.query_positions = nn.Parameter(torch.randn(queries, dim))
        self.span_head = MLP(dim, dim, 2 if predict_width else 1, layers=3)
        self.class_head = nn.Linear(dim, 2)
        self.align_queries, self.align_frames = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(
        self, memory: Tensor, mask: Tensor, content: Tensor, width: Tensor, frames: Tensor
    ) -> DetectorOutput:
        """Spans and logits of every decoder layer.

        memory [B, L, d] with mask [B, L], content [B, d] of each query. `width` [B] (relative to
        the canvas) is taken where the head predicts the centre alone; `frames` [B, d] is the sum
        of :meth:`aligned` frames.
        """
        positions = sine_of_mask(mask, self.dim)
        memory = self.encoder(memory, positions, mask)
        queries = content[:, None].expand(-1, len(self.query_positions), -1)
        hidden = self.decoder(queries, self.query_positions, memory, positions, mask)
        spans = self.span_head(hidden).sigmoid()
        if spans.shape[-1] == 1:
            spans = torch.cat([spans, width.to(spans)[:, None, None].expand_as(spans)], dim=-1)
        aligned = F.normalize(self.align_queries(hidden), dim=-1)
        aside = {"queries": aligned.transpose(0, 1), "frames": frames}
        return DetectorOutput(spans, self.class_head(hidden), aside)

    def aligned(self, frames: Tensor) -> Tensor:
        """Frames [..., d] as the contrastive alignment loss compares them with the queries."""
        return F.normalize(self.align_frames(frames), dim=-1)
