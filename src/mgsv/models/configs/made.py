"""Configuration of MaDe, and the rows of its paper's ablation table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from mgsv.config import option
from mgsv.errors import ConfigError
from mgsv.models.configs.shared import InputConfig, LayerSize, check_sizes


class Embedding(StrEnum):
    """What follows the projection of each modality."""

    SELF_ATTENTION = "self-attention"
    MLP = "mlp"
    NONE = "none"


class Matching(StrEnum):
    """Which similarity ranks the tracks, and what the InfoNCE losses are taken of."""

    DUAL_AND_POOLED = "dual-and-pooled"
    """Ranks by cos(h(v), h0(M)) + cos(h(v), h1(M|v)); one loss on each."""
    DUAL = "dual"
    """cos(h(v), h0(M)) alone; X-Pool does not exist."""
    POOLED = "pooled"
    """cos(h(v), h1(M|v)) alone."""
    SUM = "sum"
    """Ranks as DUAL_AND_POOLED; one loss on the sum."""
    FUSED = "fused"
    """cos(h(v), h0(M) + h1(M|v))."""


class SequenceFusion(StrEnum):
    """How frames and segments become the detector's sequence."""

    CONCATENATION = "concatenation"
    CROSS_ATTENTION = "cross-attention"
    """Segments query frames; the sequence is the segments alone."""


class MomentQuery(StrEnum):
    """Content of the decoder's moment queries."""

    VIDEO = "video"
    """h(v)."""
    ZERO = "zero"
    MUSIC = "music"
    """h0(M)."""
    POOLED_BATCH = "pooled-batch"
    """h1(M|v), averaged over the batch's videos as the authors' code does."""
    POOLED = "pooled"
    """h1(M|v) of the clip's own video, as the paper's symbol suggests."""


@dataclass(frozen=True)
class MadeConfig(InputConfig):
    """MaDe (MGSV, ICCV 2025): the defaults are the full model at its published size."""

    hidden_dim: int = option(256, "Width of the model.")
    heads: int = option(8, "Attention heads.")
    feed_forward: int = option(1024, "Hidden width of the detector's feed-forward layers.")
    embedding_feed_forward: int = option(1024, "Hidden width inside the unimodal embedding.")
    encoder_layers: int = option(2, "Layers of the detector's encoder; 0 leaves it out.")
    decoder_layers: int = option(6, "Layers of the detector's decoder.")
    queries: int = option(1, "Moment queries.")
    embedding: Embedding = option(Embedding.SELF_ATTENTION, "Unimodal embedding.")
    matching: Matching = option(Matching.DUAL_AND_POOLED, "Similarity and its losses.")
    fusion: SequenceFusion = option(SequenceFusion.CONCATENATION, "What the detector attends to.")
    fusion_heads: int = option(8, "Heads of the cross-attention fusion.")
    fusion_head_dim: int = option(128, "Width of each head of the cross-attention fusion.")
    moment_query: MomentQuery = option(MomentQuery.VIDEO, "Content of the moment queries.")
    predict_width: bool = option(True, "Predict the width; otherwise it is the video's length.")
    mask_same_track: bool = option(
        False, "Leave other rows of the same track out of the video→music negatives."
    )
    like_share: float = option(
        0.0, "Share of the matching target that goes to the batch's like tracks, by their features."
    )
    like_temperature: float = option(0.1, "Softmax temperature of the likeness of tracks.")
    mood_weight: float = option(
        0.0,
        "Weight of telling, from either embedding alone, the mean features of the other side; 0 "
        "for the authors' network, which has no such heads.",
    )
    embedding_dropout: float = option(0.8, "Dropout of embedding and cross-attention fusion.")
    dropout: float = option(0.1, "Dropout of the detector.")
    pool_dropout: float = option(0.3, "Dropout of X-Pool.")
    similarity_start: float = option(
        0.0,
        "Scale at which the detector's attention starts as similarity, keys equal to queries; 0 "
        "for the authors' random start.",
    )
    temperature: float = option(0.03, "Softmax temperature of the similarities at the start.")
    span_weight: float = option(4.0, "Weight of the L1 loss of the span.")
    giou_weight: float = option(1.0, "Weight of the generalised IoU loss.")
    label_weight: float = option(0.8, "Weight of the foreground/background loss.")
    alignment_weight: float = option(0.2, "Weight of the contrastive alignment loss.")
    background_weight: float = option(0.1, "Weight of background queries in the label loss.")
    alignment_temperature: float = option(0.07, "Temperature of the alignment loss.")
    span_cost: float = option(10.0, "Matching cost of the L1 distance.")
    giou_cost: float = option(1.0, "Matching cost of the generalised IoU.")
    label_cost: float = option(4.0, "Matching cost of the foreground probability.")

    @property
    def layer(self) -> LayerSize:
        """Of the detector."""
        return LayerSize(self.hidden_dim, self.heads, self.feed_forward, self.dropout)

    def __post_init__(self) -> None:
        check_sizes(self, least={"encoder_layers": 0})
        pools = (MomentQuery.POOLED, MomentQuery.POOLED_BATCH)
        if self.matching is Matching.DUAL and self.moment_query in pools:
            raise ConfigError(
                f"moment_query={self.moment_query} needs X-Pool, which matching=dual leaves out"
            )
        if not 0 <= self.like_share < 1:
            raise ConfigError(f"like_share={self.like_share} is not in [0, 1)")
        if self.like_temperature <= 0:
            raise ConfigError(f"like_temperature={self.like_temperature} is not positive")
        if self.like_share and self.mask_same_track:
            raise ConfigError(
                "like_share gives rows of the same track a share in the target, and "
                "mask_same_track leaves them out",
                "set one of them",
            )


ABLATIONS: MappingProxyType[str, dict[str, Any]] = MappingProxyType(
    {
        "full": {},
        "no_sa": {"embedding": "none"},
        "mlp": {"embedding": "mlp"},
        "dual_only": {"matching": "dual"},
        "xpool_only": {"matching": "pooled"},
        "single_loss": {"matching": "sum"},
        "feature_fuse": {"matching": "fused"},
        "no_encoder": {"encoder_layers": 0},
        "cross_attention_fusion": {"fusion": "cross-attention"},
        "query_zero": {"moment_query": "zero"},
        "query_music": {"moment_query": "music"},
        "query_xpool": {"moment_query": "pooled-batch"},
        "ten_queries": {"queries": 10},
        "predict_center": {"predict_width": False},
    }
)
"""Rows 0 to 13 of the paper's ablation table, as changes to :class:`MadeConfig`'s defaults."""
