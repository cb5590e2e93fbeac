"""X-Pool's cosines of all pairs without a vector of length d per pair.

V videos, M tracks, S segments, d width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mgsv.models.cpu.functional import linear


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
