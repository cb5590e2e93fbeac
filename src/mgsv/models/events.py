"""Events of a track, found without labels, and the loss of spans against them (EaTR, ICCV 2023).

B rows, L places, E events, Q predictions.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mgsv.assignment import assign
from mgsv.models.losses import generalised_iou
from mgsv.models.masks import lengths


class Events(NamedTuple):
    """Events of each row, in their order."""

    spans: Tensor
    """[B, E, 2] (centre, width), zero where there is none."""
    counts: Tensor
    """[B] events of each row, at most E."""


@torch.no_grad()
def events_between_changes(features: Tensor, mask: Tensor, seen: Tensor) -> Events:
    """Events between neighbouring changes of features [B, L, D], in places; centres and widths.

    A change is a peak of novelty of at least its mean over the places of `seen` [B, L], or the
    first or last place of `mask` [B, L]. Novelty is the correlation of the features' similarity
    matrix with a 5 × 5 checkerboard along the diagonal. As that board is an outer product of
    (1, 1, 0, -1, -1), it is the squared length of two features minus the next two.
    """
    x = F.normalize(features, dim=-1, eps=1e-8).masked_fill(~mask[..., None], 0.0)
    x = F.pad(x, (0, 0, 2, 2))
    ahead = x[:, 3:-1] + x[:, 4:]
    novelty = (x[:, :-4] + x[:, 1:-3] - ahead).square().sum(dim=-1)
    mean = (novelty * seen).sum(dim=1, keepdim=True) / seen.sum(dim=1, keepdim=True).clamp_min(1)
    place = torch.arange(mask.shape[1], device=mask.device)
    ends = (place == 0) | (place == lengths(mask)[:, None] - 1)
    novelty = novelty.masked_fill(ends, 100.0)  # above any: two pairs are at most 4 apart
    peak = (novelty >= novelty.roll(1, dims=1)) & (novelty >= novelty.roll(-1, dims=1))
    return _between(peak & (novelty >= mean) & seen)


def _between(change: Tensor) -> Events:
    """Events from each change [B, L] of a row to its next one."""
    place = torch.arange(change.shape[1], device=change.device)
    latest = torch.where(change, place, -1).cummax(dim=1).values
    begun = F.pad(latest[:, :-1], (1, 0), value=-1)
    closes = change & (begun >= 0)
    counts = closes.sum(dim=1)
    order = closes.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
    order = order[:, : int(counts.max())]
    start, end = begun.gather(1, order), order
    spans = torch.stack([(start + end) / 2, (end - start).float()], dim=-1)
    there = torch.arange(order.shape[1], device=change.device) < counts[:, None]
    return Events(spans * there[..., None], counts)


def event_losses(
    spans: Tensor, events: Events, span_cost: float, giou_cost: float
) -> tuple[Tensor, Tensor]:
    """L1 distance and 1 - generalised IoU of predictions [B, Q, 2] matched to their row's events.

    As many pairs a row as there are predictions and events for; means over all rows' pairs.
    """
    pairwise = spans.detach()[:, :, None], events.spans[:, None]
    cost = span_cost * (pairwise[0] - pairwise[1]).abs().sum(dim=-1)
    cost = cost - giou_cost * generalised_iou(*pairwise)
    matched = assign(cost.double().cpu().numpy(), events.counts.cpu().numpy())
    event = torch.from_numpy(matched).to(spans.device)
    row, query = (event >= 0).nonzero(as_tuple=True)
    found, truth = spans[row, query], events.spans[row, event[row, query]]
    pairs = max(1, len(row))
    distance = (found - truth).abs().mean(dim=-1)
    return distance.sum() / pairs, (1 - generalised_iou(found, truth)).sum() / pairs
