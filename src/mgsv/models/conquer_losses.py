"""CONQUER's training: which tracks a video is compared with, and losses over all of them at once.

B rows, C candidates of each row (its own track first), S segments.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mgsv.models.masks import lengths


def candidates(track_ids: tuple[str, ...], negatives: int) -> tuple[Tensor, Tensor]:
    """Rows [B, C] whose tracks each row is compared with, and which of them were drawn [B, C].

    The first is the row itself. The others are different tracks, drawn without replacement from the
    batch's with PyTorch's global generator; where there are not enough, the rest is not drawn.
    """
    distinct = {track: row for row, track in reversed([*enumerate(track_ids)])}
    places = torch.tensor([*distinct.values()])
    column = {track: n for n, track in enumerate(distinct)}
    own = torch.tensor([column[track] for track in track_ids])
    lots = torch.rand(len(own), len(places)).scatter_(1, own[:, None], -1.0)
    best = lots.topk(min(negatives, len(places)), dim=1)
    itself = torch.arange(len(own))[:, None]
    rows = torch.cat([itself, places[best.indices]], dim=1)
    return rows, torch.cat([itself >= 0, best.values >= 0], dim=1)


def segments_of(spans: Tensor, mask: Tensor, slots: int) -> tuple[Tensor, Tensor]:
    """First and last segment [B] that each true moment touches, on its track with mask [B, S].

    Spans [B, 2] = (centre, width) of a canvas of `slots` segments. An edge that a float's rounding
    put beside a segment's border counts as on it.
    """
    last = (lengths(mask) - 1).clamp_min(0)
    centre, half = spans[:, 0] * slots, spans[:, 1] * slots / 2
    begin = (centre - half + 1e-3).floor().long().clamp_min(0).minimum(last)
    end = ((centre + half - 1e-3).ceil().long() - 1).minimum(last)
    return begin, end.maximum(begin)


def shared_losses(
    begin: Tensor, end: Tensor, ranking: Tensor | None, drawn: Tensor, first: Tensor, last: Tensor
) -> Tensor:
    """Sums over B rows, unweighted: [moment] or [moment, ranking].

    begin and end are [B * C, S], ranking [B * C], drawn [B, C]; first and last [B] are the true
    segments on each row's first track.
    """
    edges = [
        scores.view(*drawn.shape, -1).masked_fill(~drawn[..., None], float("-inf")).flatten(1)
        for scores in (begin, end)
    ]
    sums = [
        F.cross_entropy(scores, true, reduction="sum")
        for scores, true in zip(edges, (first, last), strict=True)
    ]
    terms = [sums[0] + sums[1]]
    if ranking is not None:
        tracks = ranking.view(drawn.shape).masked_fill(~drawn, float("-inf"))
        terms.append(F.cross_entropy(tracks, torch.zeros_like(first), reduction="sum"))
    return torch.stack(terms)
