"""EaTR: the track's own events are where the moment queries start (Jang et al., ICCV 2023).

Slots gather the segments into events; what a slot holds is a query's content, and the span read
off it the query's first reference. A gate lets through what the video has to do with it. Where
features change, pseudo-events begin and end, which the first references are trained on. The
authors pair changes across the rows of a batch, the first with the last one; here they are
neighbours in one row.

8,460,039 parameters (paper: 8.5 M): without the saliency head, with the 96 positions that are never
used.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mgsv.data.batch import Batch
from mgsv.models.blocks import MLP, Attention, Dropout, TokenSequence
from mgsv.models.clusters import SlotAttention
from mgsv.models.configs import EatrConfig, LayerSize, SpanNorm
from mgsv.models.dab import DABDecoder, moved
from mgsv.models.detection import Inputs, SpanDetector
from mgsv.models.detr import EncoderStack
from mgsv.models.events import Events, event_losses, events_between_changes
from mgsv.models.losses import DetectorOutput
from mgsv.models.masks import visible
from mgsv.models.matching import Gather


class EaTR(SpanDetector):
    """Padding leaks into the strongest frame, the slots and the mean novelty of pseudo-events."""

    config: EatrConfig
    padding_leaks = True

    def __init__(self, config: EatrConfig) -> None:
        super().__init__(config)
        c, d = config, config.hidden_dim
        self.encoder = EncoderStack(c.layer, c.encoder_layers)
        self.slots = nn.Parameter(nn.init.xavier_uniform_(torch.empty(c.queries, d)))
        self.slot_attention = SlotAttention(d, d, mlp_layers=2, rounds=c.slot_rounds)
        self.event_head, self.event_norm = _still(MLP(d, d, 2, layers=3)), nn.LayerNorm(d)
        self.decoder = DABDecoder(
            c.layer,
            c.decoder_layers,
            activation=nn.ReLU,
            full_sine=True,
            scale_first=True,
            gate=GatedFusion(c.layer),
        )
        _still(self.decoder.step_head)

    def forward(self, x: Inputs) -> DetectorOutput:
        segments, frames = self.project(x)
        sequence = TokenSequence.cat(segments, frames)
        memory = sequence._replace(tokens=self.encoder(*sequence))
        hidden = ~visible(self._seen(frames.mask))[..., None]
        strongest = frames.tokens.masked_fill(hidden, float("-inf")).amax(dim=1, keepdim=True)
        slots = self.slot_attention(
            self.slots.expand(hidden.shape[0], -1, -1),
            segments.tokens + segments.positions,
            segments.mask,
            self._seen(segments.mask),
        )
        start = self.event_head(slots).sigmoid()
        hidden, references = self.decoder(slots, start.detach(), memory, strongest)
        # The decoder does not train where it starts from; the head of its first layer does.
        references = torch.cat([start[None], references[1:]])
        spans = moved(self.decoder.step_head(hidden), references)
        events = self.event_head(self.event_norm(slots)).sigmoid()
        return DetectorOutput(spans, self.class_head(hidden), {"events": events})

    def own_terms(
        self, found: DetectorOutput, batch: Batch, gather: Gather | None
    ) -> Mapping[str, Tensor]:
        """`event_span` and `event_giou`: the slots' spans against the track's pseudo-events."""
        del gather  # a row's events are its own
        c = self.config
        x = self.inputs(batch, torch.arange(len(batch), device=batch.segment_feats.device))
        spans, counts = self.pseudo_events(x.segments, x.segment_mask)
        unit = torch.full_like(counts, c.max_segments)
        if c.span_norm is SpanNorm.VALID:
            unit = x.segment_mask.sum(dim=1).clamp_min(1)
        span, giou = self.event_losses(found, Events(spans / unit[:, None, None], counts))
        return {"event_span": c.event_span_weight * span, "event_giou": c.event_giou_weight * giou}

    def pseudo_events(self, features: Tensor, mask: Tensor) -> Events:
        """Events in segments, of prepared features [B, S, D] and mask [B, S]."""
        return events_between_changes(features, mask, self._seen(mask))

    def event_losses(self, found: DetectorOutput, events: Events) -> tuple[Tensor, Tensor]:
        """Unweighted, for events in the unit of the network's spans; matched as spans are."""
        c = self.config
        return event_losses(found.aside["events"], events, c.span_cost, c.giou_cost)


class GatedFusion(nn.Module):
    """Queries let in what the video shares with them, then look at each other.

    With the one key there is, the cross-attention's queries and keys are never trained.
    """

    def __init__(self, size: LayerSize) -> None:
        super().__init__()
        dim, _, _, rate = size
        self.cross_attention, self.self_attention = (Attention(dim, 1, rate) for _ in range(2))
        self.linear, self.norm = nn.Linear(dim, dim), nn.LayerNorm(dim)
        self.dropout = Dropout(rate)

    def forward(self, x: Tensor, video: Tensor) -> Tensor:
        """[B, Q, d] from x [B, Q, d] and the video's one vector [B, 1, d]."""
        rows, queries, _ = x.shape
        there = torch.ones(rows, queries, dtype=torch.bool, device=x.device)
        shared = self.cross_attention(x, video, video, there[:, :1])
        gate = (x * shared).sigmoid()
        both = x + shared
        both = self.self_attention(both, both, both, there)
        out: Tensor = self.norm(self.dropout(self.linear(gate * both).relu()) + x)
        return out


def _still(head: MLP) -> MLP:
    """The head with an answer of zero at the start, as the authors' span heads have."""
    for parameter in head[-1].parameters():
        nn.init.zeros_(parameter)
    return head
