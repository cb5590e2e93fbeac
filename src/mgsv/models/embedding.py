"""Unimodal embedding: features of one modality → tokens, and their normalised mean.

Two towers embed both modalities into one space, where means are compared by their cosine.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgsv.data.batch import Batch
from mgsv.models.blocks import Linear, SelfAttentionBlock, refuse_features, sine_table
from mgsv.models.configs import Embedding
from mgsv.models.cpu.groups import Grouped, inverse, rows_by_length
from mgsv.models.matching import Embedded


class SlotMLP(nn.Sequential):
    """An MLP whose batch norms have one channel per time slot, so that lengths are fixed."""

    def __init__(self, dim: int, hidden: int, slots: int) -> None:
        # Momentum is the new batch's share: running = 0.01 running + 0.99 batch.
        super().__init__(
            nn.Linear(dim, hidden),
            nn.BatchNorm1d(slots, momentum=0.99),
            nn.ReLU(),
            nn.Linear(hidden, dim),
            nn.BatchNorm1d(slots, momentum=0.99),
            nn.ReLU(),
            nn.Linear(dim, dim),
        )
        self.slots = slots

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, d] → [B, L, d] for L up to `slots`; absent slots count as zeros."""
        length = x.shape[1]
        x = F.pad(x, (0, 0, 0, self.slots - length))
        for part in self:
            x = part(x)
        return x[:, :length]


class Sizes(Protocol):
    """What a tower reads of a model's config."""

    @property
    def hidden_dim(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def embedding_feed_forward(self) -> int: ...
    @property
    def embedding_dropout(self) -> float: ...


class Tower(nn.Module):
    """Projection and blocks of one modality."""

    positions: Tensor

    def __init__(
        self,
        config: Sizes,
        feature_dim: int,
        slots: int,
        embedding: Embedding = Embedding.SELF_ATTENTION,
        layers: int = 1,
    ) -> None:
        """`layers` self-attention blocks, where `embedding` has them."""
        super().__init__()
        d = config.hidden_dim
        attention = d, config.heads, config.embedding_feed_forward, config.embedding_dropout
        self.slots = slots
        self.projection = Linear(feature_dim, d)
        self.earlier = nn.ModuleList()
        self.block: SelfAttentionBlock | SlotMLP | None = None
        if embedding is Embedding.SELF_ATTENTION:
            self.earlier.extend(
                SelfAttentionBlock(*attention, last=False) for _ in range(layers - 1)
            )
            self.block = SelfAttentionBlock(*attention)
        elif embedding is Embedding.MLP:
            self.block = SlotMLP(d, config.embedding_feed_forward, slots)
        self.register_buffer("positions", sine_table(slots, d), persistent=False)

    @property
    def rows_are_independent(self) -> bool:
        """Whether rows may be computed in groups; batch norm needs the batch."""
        return not isinstance(self.block, SlotMLP)

    @property
    def padding(self) -> Tensor:
        """What an absent place holds, [d]: zero, or the projection's bias where no block follows.

        The authors' code masks after the block only. Without one the bias stays in padded places,
        and enters the mean; their checkpoints of that ablation rely on it.
        """
        bias = self.projection.bias
        return bias if self.block is None else torch.zeros_like(bias)

    def forward(self, feats: Tensor, mask: Tensor) -> Tensor:
        """Tokens [B, L, d], zero where not valid, of features [B, L, D] and mask [B, L] bool."""
        refuse_features(feats, self.slots, self.projection.in_features)
        keep = mask[..., None]
        # Not a product: features at masked places may be anything, NaN included.
        x = self.projection(feats.masked_fill(~keep, 0.0))
        if isinstance(self.block, SlotMLP):
            x = self.block(x)
        elif self.block is not None:
            x = x + self.positions[: x.shape[1]].to(x.dtype)
            for block in (*self.earlier, self.block):
                x = block(x, mask)
        tokens: Tensor = x.masked_fill(~keep, 0.0)
        return tokens

    def embed(self, feats: Tensor, mask: Tensor, places: int | None) -> Embedded:
        """Features [B, L, D] with mask [B, L] bool, embedded in groups of `places` slots."""
        groups = rows_by_length(mask, places if self.rows_are_independent else None)
        longest = max(length for _, length in groups)
        parts = [
            F.pad(self(feats[rows, :length], mask[rows, :length]), (0, 0, 0, longest - length))
            for rows, length in groups
        ]
        tokens, mask = torch.cat(parts)[inverse(groups)], mask[:, :longest]
        return Embedded(tokens, mask, self.pool(tokens, mask))

    def pool(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Sum over all `slots` places divided by the number of valid ones, normalised: [B, d]."""
        count = mask.sum(dim=1, keepdim=True)
        total = tokens.sum(dim=1)
        if self.block is None:
            total = total + (self.slots - count) * self.padding
        return F.normalize(total / count.clamp_min(1), dim=-1)


class TwoTowers(Grouped, nn.Module):
    """A model that ranks tracks for a video by one tower for each of them."""

    video: Tower
    music: Tower

    def embed_videos(self, batch: Batch) -> Embedded:
        """The batch's videos: frames [B, F, d], their normalised mean [B, d]."""
        mask = batch.frame_mask != 0
        return self.video.embed(batch.frame_feats, mask, self.places_on(mask))

    def embed_tracks(self, batch: Batch) -> Embedded:
        """The batch's tracks: segments [B, S, d], their normalised mean [B, d]."""
        mask = batch.segment_mask != 0
        return self.music.embed(batch.segment_feats, mask, self.places_on(mask))

    def score_all(self, videos: Embedded, tracks: Embedded) -> Tensor:
        """Cosines [V, M]: one matrix product, for a first choice among many tracks."""
        return videos.pooled @ tracks.pooled.T

    def pair_scores(self, videos: Embedded, tracks: Embedded) -> Tensor:
        """The scores [V, M] that rank: the cosines, unless a model looks at pairs more closely."""
        return self.score_all(videos, tracks)

    def rerank(self, video: Embedded, candidates: Embedded) -> Tensor:
        """`pair_scores` [K] of one video (a single row) with K candidate tracks."""
        return self.pair_scores(video, candidates)[0]
