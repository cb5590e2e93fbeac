"""Layers that the published systems share: positions, attention, post-norm encoder layers.

Masks are bool with True = valid. Shapes: B rows, L places, Q queries, d width, h heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mgsv.errors import ConfigError
from mgsv.models import cpu
from mgsv.models.configs import LayerSize
from mgsv.models.cpu.folded import dropped_attention, few_queries
from mgsv.models.cpu.functional import dropout, linear
from mgsv.models.masks import visible


class Linear(nn.Linear):
    """`nn.Linear` by :func:`linear`: same parameters, same start."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


class Dropout(nn.Module):
    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.rate, self.training)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"


def sine(positions: Tensor, dim: int, scale: float = 1.0) -> Tensor:
    """Sine on even, cosine on odd channels: [...] → [..., dim].

    Channel i turns with `positions` * `scale` / 10000^(2 * floor(i / 2) / dim).
    """
    rates = torch.arange(0, dim, 2, dtype=torch.float32, device=positions.device) / dim
    angles = positions[..., None] * scale / 10000**rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)[..., :dim]


def sine_table(length: int, dim: int, device: torch.device | None = None) -> Tensor:
    """The fixed table of places 0, 1, 2, …: [length, dim]."""
    places = torch.arange(length, device=device)
    if places.is_meta:  # a shape is enough, and torch would load its compiler, in 2 s, for values
        return torch.empty(length, dim, device=places.device)
    return sine(places.float(), dim)


def sine_of_mask(mask: Tensor, dim: int) -> Tensor:
    """DETR's normalised positions: the running count of valid places, ending at 2π: [B, L, d]."""
    count = mask.cumsum(dim=1, dtype=torch.float32)
    return sine(count / (count[:, -1:] + 1e-6), dim, scale=2 * math.pi)


class TokenSequence(NamedTuple):
    """A sequence as attention reads it."""

    tokens: Tensor
    """[B, L, d]."""
    positions: Tensor
    """[B, L, d], added to queries and keys alone."""
    mask: Tensor
    """[B, L]."""

    @classmethod
    def cat(cls, *parts: TokenSequence) -> TokenSequence:
        """One sequence after the other."""
        tokens, positions, masks = (torch.cat(each, dim=1) for each in zip(*parts, strict=True))
        return cls(tokens, positions, masks)


def refuse_features(feats: Tensor, places: int, values: int) -> None:
    """ConfigError unless features [B, L, D] have at most `places` places of `values` values."""
    if feats.shape[1] > places or feats.shape[2] != values:
        raise ConfigError(
            f"features of {feats.shape[1]} places × {feats.shape[2]} values were given to a "
            f"model of at most {places} × {values}",
            "use the features and lengths the model was made for",
        )


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, rate: float = 0.0) -> Tensor:
    """Scaled dot-product attention [B, h, Q, e] of keys and values [B, h, L, e].

    `mask` says which keys may be seen: [B, L], or [B, h, Q, L] where that differs by head and
    query. `rate` is the dropout of the weights.
    """
    if mask.dim() == 2:
        mask = mask[:, None, None, :]
    if rate and cpu.enabled(q):
        return dropped_attention(q, k, v, mask, rate)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=rate)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, L, d] → [B, h, L, d / h]."""
    return x.view(*x.shape[:-1], heads, -1).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """[B, h, L, e] → [B, L, h * e]."""
    return x.transpose(1, 2).flatten(2)


class Attention(nn.Module):
    """Multi-head attention with PyTorch's packed parameters (`nn.MultiheadAttention`'s layout)."""

    def __init__(self, dim: int, heads: int, rate: float) -> None:
        super().__init__()
        self.dim, self.heads, self.rate = dim, heads, rate
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        """[B, Q, d] from query [B, Q, d], key and value [B, L, d], mask as :func:`attend`'s."""
        weight, bias, d = self.in_proj_weight, self.in_proj_bias, self.dim
        few = self.heads * query.shape[1] < d
        if cpu.enabled() and few and query is not key and mask.dim() == 2:
            return self._out(
                few_queries(query, key, value, mask, weight, bias, self.heads, self._rate)
            )
        if query is key is value:
            q, k, v = linear(query, weight, bias).chunk(3, dim=-1)
        elif query is key:
            q, k = linear(query, weight[: 2 * d], bias[: 2 * d]).chunk(2, dim=-1)
            v = linear(value, weight[2 * d :], bias[2 * d :])
        else:
            q = linear(query, weight[:d], bias[:d])
            k = linear(key, weight[d : 2 * d], bias[d : 2 * d])
            v = linear(value, weight[2 * d :], bias[2 * d :])
        q, k, v = (split_heads(x, self.heads) for x in (q, k, v))
        return self._out(join_heads(attend(q, k, v, visible(mask), self._rate)))

    @torch.no_grad()
    def start_as_similarity(self, scale: float) -> None:
        """Make keys as queries, both times `scale`: a place begins by attending to its likes.

        From two random projections, attention has to find out first that what is alike belongs
        together, while what it would find there is not understood yet either.
        """
        query, key, _ = self.in_proj_weight.chunk(3)
        key.copy_(query.mul_(scale))

    @property
    def _rate(self) -> float:
        return self.rate if self.training else 0.0

    def _out(self, x: Tensor) -> Tensor:
        out: Tensor = self.out_proj(x)
        return out


class MLP(nn.Sequential):
    """`layers` linear layers with ReLU between them."""

    def __init__(self, dim_in: int, dim: int, dim_out: int, layers: int) -> None:
        widths = [dim_in] + [dim] * (layers - 1) + [dim_out]
        parts: list[nn.Module] = []
        for i in range(layers):
            parts += [Linear(widths[i], widths[i + 1]), nn.ReLU()]
        super().__init__(*parts[:-1])


class InputProjection(nn.Sequential):
    """The DETRs' way in: twice (norm, dropout, linear), ReLU between; each norm comes first.

    Nothing is masked: a padded place, all zeros, becomes the same vector that is not zero.
    """

    def __init__(self, dim_in: int, dim: int, rate: float) -> None:
        super().__init__(
            nn.LayerNorm(dim_in),
            Dropout(rate),
            Linear(dim_in, dim),
            nn.ReLU(),
            nn.LayerNorm(dim),
            Dropout(rate),
            Linear(dim, dim),
        )


class FeedForward(nn.Sequential):
    """Linear, activation, dropout, linear."""

    def __init__(self, dim: int, hidden: int, activation: nn.Module, rate: float) -> None:
        super().__init__(Linear(dim, hidden), activation, Dropout(rate), Linear(hidden, dim))


class EncoderLayer(nn.Module):
    """DETR's post-norm encoder layer; positions enter queries and keys, never values.

    `activation` makes the layer's own: with `nn.PReLU` every layer learns its slope.
    """

    def __init__(self, size: LayerSize, activation: Callable[[], nn.Module] = nn.ReLU) -> None:
        super().__init__()
        dim, heads, hidden, rate = size
        self.attention = Attention(dim, heads, rate)
        self.feed_forward = FeedForward(dim, hidden, activation(), rate)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = Dropout(rate)

    def forward(self, x: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """[B, L, d] from x and positions [B, L, d], mask [B, L]."""
        placed = x + positions
        x = self.norm1(x + self.dropout(self.attention(placed, placed, x, mask)))
        normed: Tensor = self.norm2(x + self.dropout(self.feed_forward(x)))
        return normed


class SelfAttentionBlock(nn.Module):
    """MaDe's unimodal block: the residual carries the *normalised* x; a last linear follows.

    In a stack of blocks only the last one has that linear (`last`).
    """

    def __init__(
        self, dim: int, heads: int, hidden: int, rate: float, *, last: bool = True
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, rate)
        self.feed_forward = FeedForward(dim, hidden, nn.GELU(), rate)
        self.dropout = Dropout(rate)
        self.final = Linear(dim, dim) if last else nn.Identity()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.norm1(x)
        x = self.norm2(x + self.attention(x, x, x, mask))
        hidden = self.feed_forward
        if torch.is_grad_enabled():
            # A whole batch's blocks wait for their gradient at once. A third of what they would
            # keep is this layer's; making it again costs 3 % of a training step.
            changed = checkpoint(hidden, x, use_reentrant=False)
        else:
            changed = hidden(x)
        out: Tensor = self.final(x + self.dropout(changed))
        return out


class CrossAttentionBlock(nn.Module):
    """One sequence queries another: pre-norm, residual from the un-normed query, a last linear.

    Heads have a width of their own, and queries, keys and values no bias.
    """

    def __init__(self, dim: int, heads: int, head_dim: int, hidden: int, rate: float) -> None:
        super().__init__()
        self.heads, self.rate = heads, rate
        self.query_norm, self.context_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query = Linear(dim, heads * head_dim, bias=False)
        self.key_value = Linear(dim, 2 * heads * head_dim, bias=False)
        self.out = Linear(heads * head_dim, dim)
        self.norm = nn.LayerNorm(dim)
        self.feed_forward = FeedForward(dim, hidden, nn.GELU(), rate)
        self.dropout = Dropout(rate)
        self.final = Linear(dim, dim)

    def forward(self, x: Tensor, context: Tensor, context_mask: Tensor) -> Tensor:
        """[B, L, d] from x [B, L, d] and context [B, K, d] with mask [B, K]."""
        context = self.context_norm(context)
        k, v = self.key_value(context).chunk(2, dim=-1)
        q, k, v = (split_heads(y, self.heads) for y in (self.query(self.query_norm(x)), k, v))
        mixed = attend(q, k, v, visible(context_mask), self.rate if self.training else 0.0)
        x = x + self.dropout(self.out(join_heads(mixed)))
        out: Tensor = self.final(x + self.dropout(self.feed_forward(self.norm(x))))
        return out
