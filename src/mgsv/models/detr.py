"""The detection transformer: a post-norm encoder and decoder with a few moment queries."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mgsv.models.blocks import Attention, Dropout, EncoderLayer, FeedForward


def initialise(transformer: nn.Module) -> None:
    """DETR's start: every weight matrix Xavier-uniform; vectors keep PyTorch's defaults."""
    for parameter in transformer.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)


class Encoder(nn.Module):
    """A stack of post-norm layers; an empty stack returns its input."""

    def __init__(self, dim: int, heads: int, hidden: int, rate: float, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(dim, heads, hidden, rate) for _ in range(layers))
        initialise(self)

    def forward(self, x: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """[B, L, d] from x and positions [B, L, d], mask [B, L]."""
        for layer in self.layers:
            x = layer(x, positions, mask)
        return x


class DecoderLayer(nn.Module):
    """Self-attention over the queries, cross-attention to the memory, feed-forward; post-norm."""

    def __init__(self, dim: int, heads: int, hidden: int, rate: float) -> None:
        super().__init__()
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


class Decoder(nn.Module):
    """A stack of decoder layers. One norm, shared, is applied to every layer's output."""

    def __init__(self, dim: int, heads: int, hidden: int, rate: float, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(dim, heads, hidden, rate) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        initialise(self)

    def forward(
        self, x: Tensor, query_positions: Tensor, memory: Tensor, positions: Tensor, mask: Tensor
    ) -> Tensor:
        """All layers' normed outputs [layers, B, Q, d]; the next layer gets the one before the norm.

        x [B, Q, d] is the queries' content, query_positions [Q, d], memory and positions [B, L, d].
        """
        keys = memory + positions
        outputs = []
        for layer in self.layers:
            x = layer(x, query_positions, memory, keys, mask)
            outputs.append(x)
        normed: Tensor = self.norm(torch.stack(outputs))
        return normed
