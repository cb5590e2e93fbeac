"""What every system that only finds moments shares: its inputs, its loss, its output.

A system is a :class:`SpanDetector` with a `forward` from :class:`Inputs` to a `DetectorOutput`,
and, if it has losses of its own, `own_terms`. :class:`ReferenceDetector` adds the decoder that most
share.
B rows, F frames, S segments, L places of a sequence, Q queries, d width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgsv.data.batch import Batch
from mgsv.models.blocks import MLP, InputProjection, TokenSequence, refuse_features, sine_of_mask
from mgsv.models.configs import DetectorConfig, SpanNorm
from mgsv.models.cpu.groups import Grouped, inverse, rows_by_length
from mgsv.models.dab import DABDecoder, moved
from mgsv.models.losses import DetectorOutput, SetCriterion, info_nce, set_criterion
from mgsv.models.masks import lengths
from mgsv.models.matching import Embedded, Gather


@dataclass(frozen=True, slots=True)
class Inputs:
    """Features as the network reads them: prepared, zero at padded places, masks bool."""

    frames: Tensor
    """[B, F, Dv]."""
    frame_mask: Tensor
    """[B, F]."""
    segments: Tensor
    """[B, S, Dm], Dm two wider with `tef`."""
    segment_mask: Tensor
    """[B, S]."""


class UnusedPositions(nn.Module):
    """The table of learned frame positions and its norm, which the authors' models never use.

    The paper's parameter counts include it.
    """

    def __init__(self, places: int, dim: int) -> None:
        super().__init__()
        self.table, self.norm = nn.Embedding(places, dim), nn.LayerNorm(dim)


class SpanDetector(Grouped, nn.Module, ABC):
    """A detection transformer over one (video, track) pair a row.

    Owns what all of them have: input projections, the class head, the criterion, and
    `unused_positions`. Spans of the network become spans relative to the canvas here.
    """

    padding_leaks: ClassVar[bool] = False
    """Whether the authors' network sees padding. Rows are then padded to the longest lengths there
    are, as the authors' data are, unless `mask_padding` is set: never do other rows matter."""

    def __init__(self, config: DetectorConfig, criterion: SetCriterion | None = None) -> None:
        super().__init__()
        self.config = c = config
        self.frame_projection = InputProjection(c.frame_dim, c.hidden_dim, c.input_dropout)
        self.segment_projection = InputProjection(
            c.segment_dim + 2 * c.tef, c.hidden_dim, c.input_dropout
        )
        self.unused: UnusedPositions | None = None
        if c.unused_positions:
            self.unused = UnusedPositions(c.unused_positions, c.hidden_dim)
        self.class_head = nn.Linear(c.hidden_dim, 2)
        self.criterion = criterion or set_criterion(c)

    @abstractmethod
    def forward(self, x: Inputs) -> DetectorOutput:
        """Spans, by the config's `span_norm`, and logits of every decoder layer."""

    def own_terms(
        self, found: DetectorOutput, batch: Batch, gather: Gather | None
    ) -> Mapping[str, Tensor]:
        """The system's named, weighted losses beyond the criterion's, of the whole batch.

        `found.aside` holds what `forward` left for them.
        """
        del found, batch, gather
        return {}

    # The model interface

    @torch.no_grad()
    def detect(self, batch: Batch) -> Tensor:
        """Spans of each row's track, best first: [B, Q, 3] = (centre, width, score).

        Centre and width are relative to the canvas, the score is the foreground probability.
        """
        answer = self.detection(batch).best_first()
        return torch.cat([answer[..., :2] * self._unit(batch)[:, None], answer[..., 2:]], dim=-1)

    def loss(self, batch: Batch, gather: Gather | None = None) -> dict[str, Tensor]:
        """Named, weighted terms whose sum is the loss.

        `span`, `giou`, `label`: means over rows, summed over the decoder's layers; then the
        system's own. `gather` brings the other processes' rows to losses that compare rows.
        """
        if batch.spans is None:
            raise ValueError("a batch without spans has no loss")
        found = self.detection(batch)
        values = self.criterion(found, self._truth(batch.spans, batch)) / len(batch)
        terms = dict(zip(self.criterion.terms, values, strict=True))
        return terms | dict(self.own_terms(found, batch, gather))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """One group: the authors clip all gradients together."""
        return {"detection": list(self.parameters())}

    # Inside

    def detection(self, batch: Batch) -> DetectorOutput:
        """Every decoder layer's spans (by `span_norm`) and logits."""
        groups = self._groups(batch)
        parts = [self(self.inputs(batch, rows)) for rows, _ in groups]
        return DetectorOutput.cat(parts, inverse(groups))

    def inputs(self, batch: Batch, rows: Tensor) -> Inputs:
        """These rows of the batch, prepared; cut to the longest of them, or padded to the most."""
        c = self.config
        frames = self._cut(batch.frame_feats, batch.frame_mask, rows, c.frame_dim, c.max_frames)
        segments = self._cut(
            batch.segment_feats, batch.segment_mask, rows, c.segment_dim, c.max_segments
        )
        return self.prepared(*frames, *segments)

    def prepared(
        self, frames: Tensor, frame_mask: Tensor, segments: Tensor, segment_mask: Tensor
    ) -> Inputs:
        """Features [B, F, Dv] and [B, S, Dm] with bool masks, padded to the most there can be where
        the network sees padding.
        """
        c = self.config
        frames, frame_mask = self._prepared(frames, frame_mask, c.max_frames)
        segments, segment_mask = self._prepared(segments, segment_mask, c.max_segments)
        if c.tef:
            segments = torch.cat([segments, endpoints(segment_mask)], dim=-1)
        return Inputs(frames, frame_mask, segments, segment_mask)

    def project(self, x: Inputs) -> tuple[TokenSequence, TokenSequence]:
        """Segments [B, S, d] with positions and frames [B, F, d] with zeros for positions, after
        their projections; padding is not zero.
        """
        segments, frames = self.segment_projection(x.segments), self.frame_projection(x.frames)
        places = sine_of_mask(x.segment_mask, self.config.hidden_dim)
        return (
            TokenSequence(segments, places, x.segment_mask),
            TokenSequence(frames, torch.zeros_like(frames), x.frame_mask),
        )

    def _seen(self, mask: Tensor) -> Tensor:
        """The places [B, L] that what leaks is taken over: all, or those of `mask`."""
        return mask if self.config.mask_padding else torch.ones_like(mask)

    @property
    def _fixed_lengths(self) -> bool:
        """Whether rows are padded to the most there can be."""
        return self.padding_leaks and not self.config.mask_padding

    def _cut(
        self, feats: Tensor, mask: Tensor, rows: Tensor, values: int, most: int
    ) -> tuple[Tensor, Tensor]:
        """Some rows, as long as the longest of them."""
        refuse_features(feats, most, values)
        mask = mask[rows] != 0
        length = max(1, int(lengths(mask).max()))
        return feats[rows, :length], mask[:, :length]

    def _prepared(self, feats: Tensor, mask: Tensor, most: int) -> tuple[Tensor, Tensor]:
        # Not a product: features at masked places may be anything, NaN included.
        feats = feats.masked_fill(~mask[..., None], 0.0)
        if self.config.normalise_inputs:
            feats = feats / (feats.norm(dim=-1, keepdim=True) + 1e-5)
        if not self._fixed_lengths:
            return feats, mask
        absent = most - feats.shape[1]
        return F.pad(feats, (0, 0, 0, absent)), F.pad(mask, (0, absent))

    def _groups(self, batch: Batch) -> list[tuple[Tensor, int]]:
        masks = batch.frame_mask != 0, batch.segment_mask != 0
        places = self.places_on(batch.frame_feats)
        if getattr(self.config, "authors_mask", False):
            places = None  # that mask mixes the rows of a batch
        most = self.config.max_frames + self.config.max_segments
        counts = lengths(masks[0]) + lengths(masks[1])
        if self._fixed_lengths:
            counts = torch.full_like(counts, most)
        return rows_by_length(torch.arange(most, device=counts.device) < counts[:, None], places)

    def _unit(self, batch: Batch) -> Tensor:
        """What 1 is in the network's spans, relative to the canvas: [B, 1]."""
        if self.config.span_norm is SpanNorm.MAX:
            return torch.ones(len(batch), 1, device=batch.segment_feats.device)
        return self.valid_share(batch.segment_mask != 0)

    def valid_share(self, mask: Tensor) -> Tensor:
        """Of the most segments there can be, those that are valid [B, 1]."""
        return mask.sum(dim=1, keepdim=True).clamp_min(1) / self.config.max_segments

    def _truth(self, spans: Tensor, batch: Batch) -> Tensor:
        """True spans [B, 2] in the network's unit, cut off where its segments end."""
        if self.config.span_norm is SpanNorm.MAX:
            return spans
        spans = spans / self._unit(batch)
        start = (spans[:, 0] - spans[:, 1] / 2).clamp(0, 1)
        end = (spans[:, 0] + spans[:, 1] / 2).clamp(0, 1)
        return torch.stack([(start + end) / 2, end - start], dim=-1)


class ReferenceDetector(SpanDetector):
    """A detector whose queries are learned spans, which its decoder moves.

    leaving: the heads step from the references that leave a layer, not from those that enter it.
    """

    def __init__(
        self,
        config: DetectorConfig,
        criterion: SetCriterion | None = None,
        *,
        leaving: bool = False,
    ) -> None:
        super().__init__(config, criterion)
        c, d = config, config.hidden_dim
        self.decoder = DABDecoder(c.layer, c.decoder_layers, leaving=leaving)
        self.references = nn.Parameter(torch.randn(c.queries, 2))
        self.span_head = MLP(d, d, 2, layers=3)

    def decode(
        self,
        memory: TokenSequence,
        content: Tensor | None = None,
        aside: Mapping[str, Tensor] | None = None,
    ) -> DetectorOutput:
        """The output for queries of `content` [B, Q, d], or of none, in the memory [B, L, d]."""
        start = self.references.sigmoid().expand(memory.tokens.shape[0], -1, -1)
        if content is None:
            content = start.new_zeros(*start.shape[:2], memory.tokens.shape[-1])
        hidden, references = self.decoder(content, start, memory)
        spans = moved(self.span_head(hidden), references)
        return DetectorOutput(spans, self.class_head(hidden), aside or {})


def contrast(
    videos: Tensor,
    tracks: Tensor,
    track_ids: tuple[str, ...],
    gather: Gather | None,
    temperature: float = 1.0,
) -> Tensor:
    """InfoNCE between vectors [B, d] of this process, and, by `gather`, of the others."""
    rows, columns = (
        Embedded(x[:, None], torch.ones(len(x), 1, dtype=torch.bool, device=x.device), x)
        for x in (videos, tracks)
    )
    if gather is not None:
        rows, columns, *_ = gather(rows, columns, track_ids)
    return info_nce(rows.pooled @ columns.pooled.T / temperature)


def endpoints(mask: Tensor) -> Tensor:
    """Start and end of each place, relative to the number of valid ones [B, L, 2]; 0 in padding."""
    count = mask.sum(dim=1, keepdim=True).clamp_min(1)
    place = mask.cumsum(dim=1)
    ends = torch.stack([(place - 1) / count, place / count], dim=-1)
    return ends.masked_fill(~mask[..., None], 0.0)
