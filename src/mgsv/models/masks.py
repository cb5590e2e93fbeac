"""Arithmetic over the valid places of padded rows. Masks are bool, True = valid.

B rows, L places, d width.
"""

from __future__ import annotations

import torch
from torch import Tensor


def lengths(mask: Tensor) -> Tensor:
    """Slots up to each row's last valid one: [B, L] → [B]."""
    slots = torch.arange(1, mask.shape[1] + 1, device=mask.device)
    return (mask * slots).amax(dim=1)


def visible(mask: Tensor) -> Tensor:
    """Keys that attention may look at, [B, L].

    A row without any valid place sees all of its (zeroed) places: a softmax over nothing would be
    NaN, and one such row must not poison a batch.
    """
    return mask | ~mask.any(dim=-1, keepdim=True)


def mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean [B, d] of x [B, L, d] over the places of mask [B, L]; 0 over none."""
    return (x * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp_min(1)


def softmax_over(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax of `scores` (overwritten) over the last axis's places that `mask` says are visible.

    -inf is added, not filled in: several times cheaper on the CPU, and nothing in backward.
    """
    hidden = torch.zeros_like(mask, dtype=scores.dtype).masked_fill_(~mask, float("-inf"))
    return scores.add_(hidden).softmax(dim=-1)


def compact(tokens: Tensor, mask: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Valid places first, in their order, cut to `length`: tokens [B, L, d] and mask [B, L]."""
    order = mask.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :length]
    flat = order + torch.arange(len(mask), device=mask.device)[:, None] * mask.shape[1]
    moved = tokens.flatten(0, 1).index_select(0, flat.flatten()).view(*order.shape, -1)
    return moved, mask.gather(1, order)
