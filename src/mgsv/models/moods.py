"""What a pair teaches beside "this track": which tracks are like it, and how the other side is.

Auxiliary to MaDe's matching loss, and no part of the published network.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgsv.data.batch import Batch
from mgsv.models.losses import within
from mgsv.models.matching import Embedded, Gather


def like_targets(features: Tensor, share: float, temperature: float) -> Tensor:
    """[B, B] targets that leave 1 - `share` to each row's own track and give the rest to the
    others, by the softmax of their cosines to it over `temperature`. features: [B, D].
    """
    own = torch.eye(len(features), device=features.device)
    if len(features) < 2:
        return own
    rows = F.normalize(standardised(features), dim=1)
    logits = (rows @ rows.T / temperature).masked_fill(own > 0, float("-inf"))
    return (1 - share) * own + share * logits.softmax(dim=1)


def standardised(features: Tensor) -> Tensor:
    """Features [B, D] in deviations from the mean over the batch; 0 where all rows are the same."""
    centred = features - features.mean(dim=0)
    spread = features.std(dim=0, correction=0)
    return torch.where(spread > 1e-6, centred / spread.clamp_min(1e-6), 0.0)


def masked_mean(features: Tensor, mask: Tensor) -> Tensor:
    """[B, D] the mean of features [B, L, D] over the places of mask [B, L]; 0 without any."""
    kept = torch.where(mask[..., None] != 0, features, 0.0)
    return kept.sum(dim=1) / (mask != 0).sum(dim=1, keepdim=True).clamp_min(1)


def of_all(features: Tensor, gather: Gather | None) -> tuple[Tensor, int]:
    """Features [B, D] of all processes, and the place of this one's first row among them."""
    if gather is None:
        return features, 0
    empty = features.new_zeros(len(features), 1, 0)
    rows = Embedded(empty, empty.any(dim=2), features)
    every, _, _, start = gather(rows, rows, ("",) * len(features))
    return every.pooled, start


class Moods(nn.Module):
    """Tells from a clip's embedding what its moment sounds like, and from a track's what its clip
    looks like: means of the input features, in deviations over the batch.

    A clip that says "calm" without saying which calm track is right learns nothing from the
    matching loss; here it does.
    """

    def __init__(self, width: int, frame_dim: int, segment_dim: int) -> None:
        super().__init__()
        self.sound, self.look = nn.Linear(width, segment_dim), nn.Linear(width, frame_dim)

    def forward(
        self,
        batch: Batch,
        videos: Embedded,
        tracks: Embedded,
        step: float,
        gather: Gather | None = None,
    ) -> Tensor:
        """Mean over both sides and rows of 1 - cosine; a batch of one row has no deviations.

        step: length of a segment relative to the canvas.
        """
        assert batch.spans is not None  # as the model's `loss` has seen
        mask = batch.segment_mask
        inside = within(batch.spans, mask.shape[1], step) & (mask != 0)
        look = masked_mean(batch.frame_feats, batch.frame_mask)
        sound = masked_mean(batch.segment_feats, inside)
        alike = []
        for head, own, true in ((self.sound, videos, sound), (self.look, tracks, look)):
            every, first = of_all(true, gather)
            wanted = standardised(every)[first:][: len(batch)]
            alike.append(F.cosine_similarity(head(own.pooled), wanted))
        return 1 - torch.stack(alike).mean()
