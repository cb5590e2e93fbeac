"""BERT's layers as CONQUER stacks them, and the heads that read scores off a pair.

P rows (pairs), L places, S segments, widths D in and d out. Masks are bool with True = valid. The
layers are post-norm with GELU and dropout on attention weights and both branches.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from mgsv.models.blocks import Attention, Dropout, FeedForward
from mgsv.models.configs import ConquerConfig


class BertLayer(nn.Module):
    """Self-attention and feed-forward, each added and then normed."""

    def __init__(self, dim: int, heads: int, hidden: int, rate: float) -> None:
        super().__init__()
        self.attention = Attention(dim, heads, rate)
        self.feed_forward = FeedForward(dim, hidden, nn.GELU(), 0.0)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = Dropout(rate)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[P, L, d] from x [P, L, d], mask [P, L]."""
        x = self.norm1(x + self.dropout(self.attention(x, x, x, mask)))
        return cast(Tensor, self.norm2(x + self.dropout(self.feed_forward(x))))


class NormLinear(nn.Module):
    """Layer norm over the input, dropout, linear, ReLU."""

    def __init__(self, dim_in: int, dim: int, rate: float) -> None:
        super().__init__()
        self.norm, self.dropout = nn.LayerNorm(dim_in), Dropout(rate)
        self.linear = nn.Linear(dim_in, dim)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.linear(self.dropout(self.norm(x))).relu())


class Contextual(nn.Module):
    """A projection, then Transformer layers over the sequence."""

    def __init__(
        self, dim_in: int, dim: int, heads: int, hidden: int, rate: float, layers: int
    ) -> None:
        super().__init__()
        self.project = NormLinear(dim_in, dim, rate)
        self.layers = nn.ModuleList(BertLayer(dim, heads, hidden, rate) for _ in range(layers))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[P, L, d] from x [P, L, D], mask [P, L]."""
        x = self.project(x)
        for layer in self.layers:
            x = layer(x, mask)
        return x


class ModalityEncoder(nn.Module):
    """Features with learned positions and the modality's own vector, then Transformer layers."""

    def __init__(
        self,
        dim_in: int | None,
        dim: int,
        heads: int,
        hidden: int,
        rate: float,
        *,
        layers: int,
        slots: int,
        kind: int,
    ) -> None:
        """`dim_in` None: features are as wide as the model and enter as they are.

        `slots` is the longest sequence, `kind` the row of the two vectors of modality.
        """
        super().__init__()
        self.project = nn.Identity() if dim_in is None else NormLinear(dim_in, dim, rate)
        self.positions, self.kinds = nn.Embedding(slots, dim), nn.Embedding(2, dim)
        self.norm, self.dropout, self.kind = nn.LayerNorm(dim), Dropout(rate), kind
        self.layers = nn.ModuleList(BertLayer(dim, heads, hidden, rate) for _ in range(layers))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[P, L, d] from features [P, L, D], mask [P, L]; places of padding hold values too."""
        placed = self.positions.weight[: x.shape[1]] + self.kinds.weight[self.kind]
        x = self.dropout(self.norm(self.project(x) + placed))
        for layer in self.layers:
            x = layer(x, mask)
        return x


HIDDEN = -1e4
"""Begin and end score of padding: nothing beside any real one."""


class MomentHead(nn.Module):
    """A score for each segment, from itself and its neighbours."""

    def __init__(self, context: Contextual, config: ConquerConfig) -> None:
        super().__init__()
        self.context, self.hides = context, config.mask_padding
        d, inner, kernel = config.hidden_dim, config.score_dim, config.kernel
        self.score = nn.Sequential(
            nn.Conv1d(d, inner, kernel, padding=kernel // 2, bias=False),
            nn.ReLU(),
            nn.Conv1d(inner, 1, 1, bias=False),
        )

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Scores [P, S] and what they were read from [P, S, d], of x [P, S, D]."""
        features = self.context(x, mask)
        seen = features * mask[..., None] if self.hides else features
        scores = self.score(seen.transpose(1, 2))[:, 0]
        return scores.masked_fill(~mask, HIDDEN), features


class TrackHead(nn.Module):
    """A score for the whole track."""

    def __init__(self, context: Contextual, config: ConquerConfig) -> None:
        super().__init__()
        self.context, self.hides = context, config.mask_padding
        d, inner = config.hidden_dim, config.score_dim
        self.score = nn.Sequential(
            nn.Linear(d, inner, bias=False), nn.ReLU(), nn.Linear(inner, 1, bias=False)
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[P] of x [P, S, D]."""
        features = self.context(x, mask)
        if self.hides:
            features = features.masked_fill(~mask[..., None], float("-inf"))
        best = features.amax(dim=1).nan_to_num(neginf=0.0)  # a track without anything
        scores: Tensor = self.score(best)[:, 0]
        return scores


@torch.no_grad()
def initialise_bert(model: nn.Module) -> None:
    """BERT's start: matrices N(0, 0.02), biases 0; norms and convolutions keep PyTorch's own."""
    for module in model.modules():
        if isinstance(module, Attention):
            module.in_proj_weight.normal_(0.0, 0.02)
            module.in_proj_bias.zero_()
        elif isinstance(module, nn.Linear | nn.Embedding):
            module.weight.normal_(0.0, 0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                module.bias.zero_()
