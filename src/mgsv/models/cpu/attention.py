"""Attention of few queries, and attention with dropout, without what PyTorch's kernels spend.

B rows, Q queries, L places, d width, h heads, e = d / h.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mgsv.models.cpu.functional import dropout
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
