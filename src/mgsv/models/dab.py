"""The decoder with spans as queries (DAB-DETR, ICLR 2022), as the moment DETRs have it.

Every query carries a reference, a (centre, width), that each layer moves. B rows, Q queries, L
places of the memory, d width, h heads, N layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from mgsv.models.blocks import (
    MLP,
    Dropout,
    FeedForward,
    TokenSequence,
    attend,
    join_heads,
    sine,
    split_heads,
)
from mgsv.models.configs import LayerSize
from mgsv.models.detr import initialise_xavier
from mgsv.models.masks import visible

_EDGE = 1e-3
"""Least distance from 0 and 1 that `inverse_sigmoid` sees; the authors' value."""


def inverse_sigmoid(x: Tensor) -> Tensor:
    """The logit of x, which is taken to lie in [0, 1]."""
    x = x.clamp(0, 1)
    return x.clamp_min(_EDGE).log() - (1 - x).clamp_min(_EDGE).log()


def moved(step: Tensor, reference: Tensor) -> Tensor:
    """References [..., 2] in (0, 1), moved by `step` on the scale of logits."""
    return (step + inverse_sigmoid(reference)).sigmoid()


def reference_sine(values: Tensor, dim: int) -> Tensor:
    """Sines of values in [0, 1], a whole turn for the slowest channel pair: [...] → [..., dim]."""
    return sine(values, dim, scale=2 * math.pi)


class DABDecoderLayer(nn.Module):
    """Self-attention over queries, cross-attention led by the references' sines, feed-forward.

    Content and positions are projected apart. `first` adds the projected positions of queries and
    keys to their content in the cross-attention too. `gate`, a module of (content, context),
    changes the content between the two attentions.
    """

    def __init__(
        self,
        size: LayerSize,
        *,
        first: bool,
        activation: Callable[[], nn.Module],
        gate: nn.Module | None = None,
    ) -> None:
        super().__init__()
        dim, self.heads, hidden, self.rate = size
        self.self_query, self.self_query_position = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.self_key, self.self_key_position = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.self_value, self.self_out = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.gate = gate
        self.cross_query, self.cross_query_sine = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.cross_query_position = nn.Linear(dim, dim) if first else None
        self.cross_key, self.cross_key_position = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.cross_value, self.cross_out = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.feed_forward = FeedForward(dim, hidden, activation(), self.rate)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))
        self.dropout = Dropout(self.rate)

    def forward(
        self,
        x: Tensor,
        query_positions: Tensor,
        query_sines: Tensor,
        memory: TokenSequence,
        context: Tensor | None = None,
    ) -> Tensor:
        """[B, Q, d] from x, query_positions, query_sines [B, Q, d] and the memory [B, L, d]."""
        x = self.norm1(x + self.dropout(self._between_queries(x, query_positions)))
        if self.gate is not None:
            x = self.gate(x, context)
        found = self._in_memory(x, query_positions, query_sines, memory)
        x = self.norm2(x + self.dropout(found))
        normed: Tensor = self.norm3(x + self.dropout(self.feed_forward(x)))
        return normed

    def _between_queries(self, x: Tensor, positions: Tensor) -> Tensor:
        q = self.self_query(x) + self.self_query_position(positions)
        k = self.self_key(x) + self.self_key_position(positions)
        q, k, v = (split_heads(y, self.heads) for y in (q, k, self.self_value(x)))
        everyone = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        out: Tensor = self.self_out(join_heads(attend(q, k, v, everyone, self._rate)))
        return out

    def _in_memory(
        self, x: Tensor, query_positions: Tensor, query_sines: Tensor, memory: TokenSequence
    ) -> Tensor:
        q, k = self.cross_query(x), self.cross_key(memory.tokens)
        placed = self.cross_key_position(memory.positions)
        if self.cross_query_position is not None:
            q = q + self.cross_query_position(query_positions)
            k = k + placed
        # Per head, content and place stand side by side: their products add up in the scores.
        q, sines, k, placed, v = (
            split_heads(y, self.heads)
            for y in (
                q,
                self.cross_query_sine(query_sines),
                k,
                placed,
                self.cross_value(memory.tokens),
            )
        )
        q, k = torch.cat([q, sines], dim=-1), torch.cat([k, placed], dim=-1)
        out: Tensor = self.cross_out(join_heads(attend(q, k, v, visible(memory.mask), self._rate)))
        return out

    @property
    def _rate(self) -> float:
        return self.rate if self.training else 0.0


class DABDecoder(nn.Module):
    """A stack of layers, each of which moves the references that the next one starts from.

    full_sine: centre and width have d sine channels each, and the centre's alone lead the
    cross-attention (EaTR); otherwise they share d. scale_first: content scales the sines in the
    first layer too (EaTR). leaving: layer l's references are those that leave it (UVCOM), not those
    that enter it. gate: of the first layer.
    """

    def __init__(
        self,
        size: LayerSize,
        layers: int,
        *,
        activation: Callable[[], nn.Module] = nn.PReLU,
        full_sine: bool = False,
        scale_first: bool = False,
        leaving: bool = False,
        gate: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.dim = dim = size.dim
        self.full_sine = full_sine
        self.scale_first, self.leaving = scale_first, leaving
        self.layers = nn.ModuleList(
            DABDecoderLayer(
                size,
                first=n == 0,
                activation=activation,
                gate=gate if n == 0 else None,
            )
            for n in range(layers)
        )
        self.position_head = MLP(2 * dim if full_sine else dim, dim, dim, layers=2)
        self.scale_head = MLP(dim, dim, dim, layers=2)
        self.width_head = MLP(dim, dim, 1, layers=2)
        self.step_head = MLP(dim, dim, 2, layers=3)
        self.norm = nn.LayerNorm(dim)
        initialise_xavier(self)
        nn.init.zeros_(self.step_head[-1].bias)  # type: ignore[arg-type]

    def forward(
        self,
        x: Tensor,
        reference: Tensor,
        memory: TokenSequence,
        context: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """All layers' normed outputs [N, B, Q, d] and their references [N, B, Q, 2].

        x [B, Q, d] is the queries' content, reference [B, Q, 2] where they start; `context` is for
        the gate. A layer is not trained through the references of the one before; those given back
        carry their gradient.
        """
        outputs, references = [], [reference]
        for n, layer in enumerate(self.layers):
            half = self.dim if self.full_sine else self.dim // 2
            centre, width = (reference_sine(reference[..., i], half) for i in (0, 1))
            both = torch.cat([centre, width], dim=-1)
            lead = centre if self.full_sine else both
            if n > 0 or self.scale_first:
                lead = lead * self.scale_head(x)
            lead = lead * (self.width_head(x).sigmoid() / reference[..., 1:])
            x = layer(x, self.position_head(both), lead, memory, context)
            outputs.append(x)
            references.append(moved(self.step_head(x), reference))
            reference = references[-1].detach()
        normed: Tensor = self.norm(torch.stack(outputs))
        return normed, torch.stack(references[1:] if self.leaving else references[:-1])
