"""Attention and X-Pool with linear maps folded away, so that nothing is made per place or per pair.

Attention: B rows, Q queries, L places, d width, h heads, e = d / h. X-Pool: V videos, M tracks,
S segments.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mgsv.models.cpu.functional import dropout, linear
from mgsv.models.masks import softmax_over, visible


def dropped_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, rate: float) -> Tensor:
    """Scaled dot-product attention [B, h, Q, e] of keys and values [B, h, L, e], with dropout.

    `mask` is broadcast to [B, h, Q, L]. With dropout on the CPU PyTorch has no fused kernel and
    holds the weights anyway; holding them here lets them use the faster dropout.
    """
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    return dropout(softmax_over(scores, mask), rate, training=True) @ v


def few_queries(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    weight: Tensor,
    bias: Tensor,
    heads: int,
    rate: float,
) -> Tensor:
    """Multi-head attention [B, Q, d] without a projected key or value per place.

    query [B, Q, d], key and value [B, L, d], mask [B, L]; weight [3 d, d] and bias [3 d] project
    the three in that order; `rate` is the dropout of the attention's weights.

    Per head, q·(K x + b) = (Kᵀq)·x + q·b: the second part is the same for every key and leaves the
    softmax unchanged, so the key projection moves into the query. A weighted sum of V x + b is
    V (weighted sum of x) + b (sum of weights): the value projection moves behind the sum. Exact;
    cheaper as long as h * Q < d, and nothing of size L * d is made.
    """
    rows, queries, d = query.shape
    w_q, w_k, w_v = weight.view(3, heads, d // heads, d)
    b_q, _, b_v = bias.view(3, heads, 1, -1)
    q = torch.einsum("bqd,hed->hbqe", query, w_q).flatten(1, 2) + b_q
    q = (q * (d // heads) ** -0.5 @ w_k).view(heads, rows, queries, d)
    q = q.transpose(0, 1).reshape(rows, -1, d)
    weights = softmax_over(q @ key.transpose(1, 2), visible(mask)[:, None, :])
    weights = dropout(weights, rate, training=True)
    sums = (weights @ value).view(rows, heads, queries, d).transpose(0, 1).flatten(1, 2)
    total = weights.sum(dim=-1).view(rows, heads, queries).transpose(0, 1).flatten(1)
    mixed = sums @ w_v.transpose(1, 2) + total[..., None] * b_v
    out: Tensor = mixed.view(heads, rows, queries, -1).permute(1, 2, 0, 3).flatten(2)
    return out


def folded_cosines(
    videos: Tensor,
    weights: Tensor,
    values: Tensor,
    offset: Tensor | None,
    norm2: nn.LayerNorm,
    mapping: nn.Linear,
    norm3: nn.LayerNorm,
) -> Tensor:
    """Cosines [M, V] of videos [V, d] with h1, or with h1 + `offset` [M, d].

    weights [M, V, S] sum to 1 over the segments, whose values are [M, S, d];

        a = norm2(weights values),   h1 = norm3(a + mapping(a)).

    Per pair, h1 is a layer norm of a linear map of a layer norm of a weighted sum, and only its
    inner products matter. Layer norm's mean is linear and its variance a quadratic form, so every
    step moves to the values: with weights w over S places, r and s the two inverse deviations, Y
    the values mapped through everything linear,

        z = r (w Y) + c,   h1 = s z * gamma + beta,

    and r, s, h1·v and |h1|² need only w, the Gram matrices of a track's values [S, S] and one
    product [V, d] x [d, S]. Exact in exact arithmetic while no dropout stands in between.
    """
    d = values.shape[-1]
    values = values - values.mean(dim=-1, keepdim=True)
    # z = (1 + mapping)(norm2(w values)), then centred as norm3 will do
    mapped = values * norm2.weight
    mapped = mapped + linear(mapped, mapping.weight)
    mapped = mapped - mapped.mean(dim=-1, keepdim=True)
    constant = norm2.bias + mapping(norm2.bias)
    constant = constant - constant.mean()
    scaled, scaled_constant = mapped * norm3.weight, constant * norm3.weight
    shift = norm3.bias.expand(len(values), 1, d)
    if offset is not None:
        shift = shift + offset[:, None]

    def form(left: Tensor) -> Tensor:
        """w left leftᵀ w of every pair, [M, V]."""
        return ((weights @ (left @ left.transpose(1, 2))) * weights).sum(dim=-1)

    inner = torch.stack(
        [mapped @ constant, scaled @ scaled_constant, (scaled * shift).sum(dim=-1)], dim=-1
    )
    along = weights @ inner  # w·(Y c), w·(Yγ cγ), w·(Yγ b): [M, V, 3]
    r = (form(values) / d + norm2.eps).rsqrt()
    z2 = r**2 * form(mapped) + 2 * r * along[..., 0] + constant @ constant
    s = (z2 / d + norm3.eps).rsqrt()
    seen = (weights * (videos @ scaled.transpose(1, 2))).sum(dim=-1)
    inner = s * (r * seen + videos @ scaled_constant) + (shift @ videos.T)[:, 0]
    h2 = s**2 * (r**2 * form(scaled) + 2 * r * along[..., 1] + scaled_constant.square().sum())
    h2 = h2 + 2 * s * (r * along[..., 2] + shift @ scaled_constant) + shift.square().sum(-1)
    cosine: Tensor = inner / h2.clamp_min(1e-24).sqrt()
    return cosine
