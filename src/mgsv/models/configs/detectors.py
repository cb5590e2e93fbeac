"""Configurations of the systems that only find the moment of a track.

The defaults are the sizes at which the MGSV paper counts the parameters, and the authors' loss
weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mgsv.config import option
from mgsv.models.configs.shared import InputConfig, LayerSize, check_sizes


class SpanNorm(StrEnum):
    """What a detector's spans are relative to, inside; outside it is always the canvas."""

    MAX = "max"
    """The canvas, as for MaDe."""
    VALID = "valid"
    """The track's valid segments, as in the DETRs' own code. Positions are relative to them too."""


@dataclass(frozen=True)
class DetectorConfig(InputConfig):
    """What all detectors share."""

    span_norm: SpanNorm = option(SpanNorm.MAX, "What the network's spans are relative to.")
    tef: bool = option(False, "Add each segment's start and end, relative to the track.")
    normalise_inputs: bool = option(True, "Scale every feature vector to length 1.")
    mask_padding: bool = option(
        False, "Keep padding out of every operation; the authors' code lets it leak into some."
    )
    unused_positions: int = option(
        96, "Rows of the frame positions that the authors' models hold and never use."
    )
    hidden_dim: int = option(256, "Width of the model.")
    heads: int = option(8, "Attention heads.")
    feed_forward: int = option(1024, "Hidden width of the feed-forward layers.")
    encoder_layers: int = option(2, "Layers of the encoder.")
    decoder_layers: int = option(2, "Layers of the decoder.")
    queries: int = option(10, "Moment queries.")
    input_dropout: float = option(0.5, "Dropout of the input projections.")
    dropout: float = option(0.1, "Dropout of all else.")
    span_weight: float = option(10.0, "Weight of the L1 loss of the span.")
    giou_weight: float = option(1.0, "Weight of the generalised IoU loss.")
    label_weight: float = option(4.0, "Weight of the foreground/background loss.")
    background_weight: float = option(0.1, "Weight of background queries in the label loss.")
    span_cost: float = option(10.0, "Matching cost of the L1 distance.")
    giou_cost: float = option(1.0, "Matching cost of the generalised IoU.")
    label_cost: float = option(4.0, "Matching cost of the foreground probability.")

    def __post_init__(self) -> None:
        check_sizes(self, least={"encoder_layers": 0, "unused_positions": 0})

    @property
    def layer(self) -> LayerSize:
        return LayerSize(self.hidden_dim, self.heads, self.feed_forward, self.dropout)


@dataclass(frozen=True)
class MomentDetrConfig(DetectorConfig):
    """Moment-DETR (NeurIPS 2021)."""


@dataclass(frozen=True)
class CrossConfig(DetectorConfig):
    """A detector whose segments look at the frames before the encoder; the "+" variants do not."""

    cross: bool = option(True, "Cross-modal layers before the encoder; without them: the + model.")
    cross_layers: int = option(2, "Cross-modal layers.")
    authors_mask: bool = option(
        False, "Mask cross-modal attention as the authors' code does: by other rows' padding."
    )


@dataclass(frozen=True)
class QdDetrConfig(CrossConfig):
    """QD-DETR (CVPR 2023) and QD-DETR+."""


@dataclass(frozen=True)
class TrDetrConfig(CrossConfig):
    """TR-DETR (AAAI 2024) and TR-DETR+."""

    contrast_weight: float = option(0.3, "Weight of the contrast between videos and tracks.")
    inside_weight: float = option(0.5, "Weight of the contrast of segments in and out of moments.")
    contrast_temperature: float = option(0.07, "Temperature of both contrasts.")


@dataclass(frozen=True)
class EatrConfig(DetectorConfig):
    """EaTR (ICCV 2023)."""

    encoder_layers: int = option(3, "Layers of the encoder.")
    decoder_layers: int = option(3, "Layers of the decoder.")
    slot_rounds: int = option(3, "Rounds of slot attention.")
    event_span_weight: float = option(30.0, "Weight of the L1 loss of pseudo-events.")
    event_giou_weight: float = option(3.0, "Weight of the generalised IoU loss of pseudo-events.")


@dataclass(frozen=True)
class UvcomConfig(CrossConfig):
    """UVCOM (CVPR 2024) and UVCOM+."""

    cross_layers: int = option(3, "Cross-modal layers in each direction.")
    encoder_layers: int = option(3, "Layers of the encoder.")
    decoder_layers: int = option(3, "Layers of the decoder.")
    queries: int = option(30, "Moment queries.")
    frame_centroids: int = option(5, "Centroids of the frames.")
    segment_centroids: int = option(30, "Centroids of the segments.")
    centroid_rounds: int = option(5, "Rounds that find the centroids.")
    slot_rounds: int = option(5, "Rounds that gather the content of the queries.")
    mlp_hidden: int = option(1024, "Hidden width of the MLPs of slots and similarities.")
    similarity: bool = option(
        False, "Contrast videos with tracks and segments, by MLPs that only this loss uses."
    )
    similarity_weight: float = option(1.0, "Weight of that loss.")
