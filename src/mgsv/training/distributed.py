"""Batches spread over processes, with the gradients of one process that sees them all.

Data-parallel training averages the parameters' gradients over the W processes. A loss that is a
mean over rows therefore needs nothing; one that couples rows (InfoNCE, whose negatives are the
other rows) must be computed over the rows of all processes, which `gather` brings together.
"""

from __future__ import annotations

import hashlib
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from mgsv.models.matching import Embedded


def gather(
    videos: Embedded, tracks: Embedded, ids: tuple[str, ...]
) -> tuple[Embedded, Embedded, tuple[str, ...], int]:
    """Videos, tracks and track ids of all processes, and the place of the first of this one's rows.

    Ids come back as digests: they serve to tell equal tracks, and only numbers travel.
    """
    digests = [hashlib.blake2b(name.encode(), digest_size=7).digest() for name in ids]
    numbers = torch.tensor([int.from_bytes(digest) for digest in digests])
    gathered = gather_rows(numbers.to(videos.pooled.device)).tolist()
    return (
        gather_embedded(videos),
        gather_embedded(tracks),
        tuple(f"{number:014x}" for number in gathered),
        dist.get_rank() * len(videos),
    )


def gather_embedded(rows: Embedded) -> Embedded:
    """Every part of `rows`, of all processes, padded to the longest row among them."""
    mask = gather_rows(rows.mask.to(torch.uint8)).bool()
    return Embedded(gather_rows(rows.tokens), mask, gather_rows(rows.pooled, fixed=True))


def gather_rows(rows: Tensor, *, fixed: bool = False) -> Tensor:
    """[B, ...] of each process → [W · B, ...] of all, in the order of ranks, with gradients.

    B is the same everywhere; a second dimension of unequal lengths (that is not `fixed`) is padded
    with zeros to the longest.

    Every process computes the same loss from the gathered rows, so the gradients that come back to
    a process are the sum over W equal losses; the averaging of the parameters' gradients divides
    by W again.
    """
    if rows.ndim > 1 and not fixed:
        longest = torch.tensor(rows.shape[1], device=rows.device)
        dist.all_reduce(longest, dist.ReduceOp.MAX)
        rows = F.pad(rows, [0, 0] * (rows.ndim - 2) + [0, int(longest) - rows.shape[1]])
    gathered: Tensor = _GatherRows.apply(rows)  # type: ignore[no-untyped-call]
    return gathered


class _GatherRows(torch.autograd.Function):
    """All-gather whose backward pass sums every process's gradient for this one's rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.rows = rows.shape[0]
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        # gloo has no reduce-scatter; the rows are small beside the parameters' gradients.
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total[dist.get_rank() * ctx.rows :][: ctx.rows]
