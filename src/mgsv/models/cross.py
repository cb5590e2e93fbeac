"""Cross-modal layers: one sequence looks at another, which stays as it is (QD-DETR, CVPR 2023).

B rows, L places of the sequence, K places of its context, d width, h heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mgsv.models.blocks import Attention, Dropout, FeedForward, TokenSequence
from mgsv.models.configs import LayerSize
from mgsv.models.detr import initialise_xavier


class CrossModalLayer(nn.Module):
    """Attention to the context, then feed-forward.

    The first norm feeds the feed-forward alone: its residual starts from the un-normed sum.
    """

    def __init__(self, size: LayerSize) -> None:
        super().__init__()
        dim, heads, hidden, rate = size
        self.attention = Attention(dim, heads, rate)
        self.feed_forward = FeedForward(dim, hidden, nn.PReLU(), rate)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = Dropout(rate)

    def forward(
        self, x: Tensor, positions: Tensor, keys: Tensor, context: Tensor, mask: Tensor
    ) -> Tensor:
        """[B, L, d] from x and positions [B, L, d], context and keys [B, K, d].

        `keys` are the context with its positions; `mask` is one of `attend`'s.
        """
        x = x + self.dropout(self.attention(x + positions, keys, context, mask))
        out: Tensor = self.norm2(x + self.dropout(self.feed_forward(self.norm1(x))))
        return out


class CrossModal(nn.Module):
    """A stack of cross-modal layers over one context."""

    def __init__(self, size: LayerSize, layers: int) -> None:
        super().__init__()
        self.heads = size.heads
        self.layers = nn.ModuleList(CrossModalLayer(size) for _ in range(layers))
        initialise_xavier(self)

    def forward(
        self, x: TokenSequence, context: TokenSequence, *, authors_mask: bool = False
    ) -> Tensor:
        """x's tokens [B, L, d] after looking at the context [B, K, d].

        The context's padding is not seen; padded places of x get values like any other.
        `authors_mask` hides what :func:`scrambled_mask` says instead.
        """
        tokens, positions, mask = x
        keys, seen = context.tokens + context.positions, context.mask
        if authors_mask:
            seen = scrambled_mask(mask, seen, self.heads)
        for layer in self.layers:
            tokens = layer(tokens, positions, keys, context.tokens, seen)
        return tokens


def scrambled_mask(mask: Tensor, context_mask: Tensor, heads: int) -> Tensor:
    """Which keys the authors' code shows, [B, h, L, K], for masks [B, L] and [B, K].

    It means to hide padded keys from padded places, which changes nothing, but hands the rows over
    in the wrong order: head j of row b obeys the mask of row (b * h + j) mod B. So a place loses
    the keys that are padding in another row where it would itself be padding in that row.
    """
    rows = mask.shape[0]
    both_padded = ~mask[:, :, None] & ~context_mask[:, None, :]
    other = torch.arange(rows * heads, device=mask.device).view(rows, heads) % rows
    return context_mask[:, None, None, :] & ~both_padded[other]
