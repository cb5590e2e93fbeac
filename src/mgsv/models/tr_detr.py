"""TR-DETR: the two tasks of the moment DETRs help each other (Sun et al., AAAI 2024).

Frames refine the segments (VFR), which then look at the frames once more and are encoded; a score
of every encoded segment weighs the segments anew for a second pass through the same encoder. What
the authors do for highlights after that is left out: its result reaches no span.

TR-DETR+ has no cross-modal layers: VFR already brings the frames in. (No code exists; this is the
least change.)

7,796,257 parameters (paper: 7.8 M) and 6,216,735 for TR-DETR+ (6.2 M): with the GRU of the part
left out and the 96 positions, neither of which is ever used.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgsv.data.batch import Batch
from mgsv.models.blocks import Dropout
from mgsv.models.configs import TrDetrConfig
from mgsv.models.cross import CrossModal
from mgsv.models.detection import Inputs, ReferenceDetector, contrast
from mgsv.models.detr import EncoderStack
from mgsv.models.losses import DetectorOutput, focal_label_loss, set_criterion, within
from mgsv.models.masks import mean, visible
from mgsv.models.matching import Gather


class TRDETR(ReferenceDetector):
    """Padding leaks into the softmax of the segments' scores, and into both contrastive losses."""

    config: TrDetrConfig
    padding_leaks = True

    def __init__(self, config: TrDetrConfig) -> None:
        super().__init__(config, set_criterion(config, label=focal_label_loss()))
        c, d = config, config.hidden_dim
        self.refine = Refinement(d, c.dropout)
        self.cross = CrossModal(c.layer, c.cross_layers) if c.cross else None
        self.encoder = EncoderStack(c.layer, c.encoder_layers, nn.PReLU)
        self.score = nn.Linear(d, d)
        self.unused_gru = nn.GRU(d, d)

    def forward(self, x: Inputs) -> DetectorOutput:
        segments, frames = self.project(x)
        v, places, mask = segments
        seen, t = self._seen(mask), frames.tokens
        aside = {
            "segments": F.normalize(mean(v, seen), dim=-1),
            "frames": F.normalize(mean(t, self._seen(frames.mask)), dim=-1),
            "agreement": agreement(v, t, frames.mask) * mask,
        }
        refined = self.refine(v, mask, t, frames.mask)
        if self.cross is not None:
            placed = segments._replace(tokens=refined)
            refined = self.cross(placed, frames, authors_mask=self.config.authors_mask)
        memory = self.encoder(refined, places, mask)
        # The authors' score is a sum over a whole layer's outputs.
        scores = self.score(memory).sum(dim=-1) / memory.shape[-1] ** 0.5
        weights = scores.masked_fill(~visible(seen), float("-inf")).softmax(dim=-1)
        memory = self.encoder(memory + weights[..., None] * refined, places, mask)
        return self.decode(segments._replace(tokens=memory), aside=aside)

    def own_terms(
        self, found: DetectorOutput, batch: Batch, gather: Gather | None
    ) -> Mapping[str, Tensor]:
        """`contrast` tells the batch's pairs apart, `inside` segments in and out of the moment."""
        c, count = self.config, found.aside["agreement"].shape[1]
        mask = F.pad(batch.segment_mask != 0, (0, max(0, count - batch.segment_mask.shape[1])))
        mask = mask[:, :count]
        assert batch.spans is not None  # as `loss` has seen
        inside = within(batch.spans, count, 1 / c.max_segments) & mask
        return {
            "contrast": c.contrast_weight * self.contrast(found, batch.track_ids, gather),
            "inside": c.inside_weight * self.inside(found, inside, mask),
        }

    def contrast(
        self, found: DetectorOutput, track_ids: tuple[str, ...], gather: Gather | None = None
    ) -> Tensor:
        """InfoNCE between mean frames and mean segments."""
        videos, tracks = found.aside["frames"], found.aside["segments"]
        return contrast(videos, tracks, track_ids, gather, self.config.contrast_temperature)

    def inside(self, found: DetectorOutput, inside: Tensor, mask: Tensor) -> Tensor:
        """Cross entropy of each segment's agreement with the frames, of truth `inside` [B, S].

        Mean over all places, or over those of `mask` with `mask_padding`, then over rows.
        """
        logits = found.aside["agreement"] / self.config.contrast_temperature
        values = F.binary_cross_entropy_with_logits(logits, inside.to(logits), reduction="none")
        return mean(values[..., None], self._seen(mask)).mean()


class Refinement(nn.Module):
    """Visual feature refinement: frames, and a summary of them, mixed into each segment (VFR).

    After the context-query attention of VSLNet. B rows, S segments, F frames.
    """

    def __init__(self, dim: int, rate: float) -> None:
        super().__init__()
        weights = [nn.Parameter(torch.empty(dim, 1)) for _ in range(4)]
        for weight in weights:
            nn.init.xavier_uniform_(weight)
        self.segment_weight, self.frame_weight, self.product_weight, self.pool_weight = weights
        nn.init.xavier_uniform_(self.product_weight.view(1, 1, dim))  # the authors' shape
        self.mix, self.join = nn.Linear(4 * dim, dim), nn.Linear(2 * dim, dim)
        self.dropout = Dropout(rate)

    def forward(self, segments: Tensor, mask: Tensor, frames: Tensor, frame_mask: Tensor) -> Tensor:
        """[B, S, d] from segments [B, S, d], mask [B, S], frames [B, F, d], frame_mask [B, F]."""
        v, t = self.dropout(segments), self.dropout(frames)
        scores = v @ self.segment_weight + (t @ self.frame_weight).transpose(1, 2)
        scores = scores + (v * self.product_weight[:, 0]) @ t.transpose(1, 2)
        hidden, hidden_frames = ~visible(mask)[..., None], ~visible(frame_mask)[:, None]
        over_frames = scores.masked_fill(hidden_frames, float("-inf")).softmax(dim=2)
        over_segments = scores.masked_fill(hidden, float("-inf")).softmax(dim=1)
        asked = over_frames @ frames
        back = over_frames @ (over_segments.transpose(1, 2) @ segments)
        mixed = self.mix(torch.cat([segments, asked, segments * asked, segments * back], dim=-1))
        share = (frames @ self.pool_weight).masked_fill(
            hidden_frames.transpose(1, 2), float("-inf")
        )
        summary = (share.softmax(dim=1) * frames).sum(dim=1, keepdim=True)
        both = torch.cat([mixed, summary.expand_as(mixed)], dim=-1)
        refined: Tensor = self.join(both).relu()
        return refined


def agreement(segments: Tensor, frames: Tensor, frame_mask: Tensor) -> Tensor:
    """Cosine of each segment with a frame, averaged over the valid frames: [B, S]."""
    summary = mean(F.normalize(frames, dim=-1), frame_mask)
    return (F.normalize(segments, dim=-1) @ summary[..., None])[..., 0]
