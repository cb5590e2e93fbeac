"""Configurations of the systems whose work is ranking: MVPt, MVPt+ and CONQUER."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from mgsv.config import option
from mgsv.errors import ConfigError
from mgsv.models.configs.shared import InputConfig, check_sizes


@dataclass(frozen=True)
class MvptConfig(InputConfig):
    """MVPt (Suris et al., CVPR 2022) as MGSV (ICCV 2025) compares with it."""

    hidden_dim: int = option(256, "Width of the model.")
    heads: int = option(8, "Attention heads.")
    embedding_layers: int = option(2, "Self-attention layers of each modality.")
    embedding_feed_forward: int = option(1024, "Hidden width of the feed-forward layers.")
    embedding_dropout: float = option(0.8, "Dropout of attention and feed-forward layers.")
    temperature: float = option(0.03, "Softmax temperature of the similarities at the start.")
    mask_same_track: bool = option(
        False, "Leave other rows of the same track out of the video→music negatives."
    )

    def __post_init__(self) -> None:
        check_sizes(self)


class Similarity(StrEnum):
    """What CONQUER ranks tracks by. The authors' names."""

    EXCLUSIVE = "exclusive"
    """A head of its own scores the track; its softmax times begin times end."""
    DISJOINT = "disjoint"
    """No such head: the best begin plus end. As the detector of a composite, whose matcher then
    weighs every moment of a track alike, this is the authors' `general`."""


@dataclass(frozen=True)
class ConquerConfig(InputConfig):
    """CONQUER (Hou, Ngo & Chan, ACM MM 2021) at the size MGSV (ICCV 2025) gives."""

    hidden_dim: int = option(768, "Width of the model.")
    heads: int = option(12, "Attention heads.")
    feed_forward: int = option(3072, "Hidden width of the feed-forward layers.")
    context_layers: int = option(1, "Transformer layers of each contextual block.")
    backbone_layers: int = option(0, "Transformer layers of each modality before they meet.")
    frame_layers: int = option(
        -1, "Those of the frames, where their number differs; -1 for as many as backbone_layers."
    )
    project_music: bool = option(
        False, "Project the segments; otherwise they are as wide as the model."
    )
    similarity: Similarity = option(Similarity.EXCLUSIVE, "What ranks the tracks.")
    score_dim: int = option(128, "Hidden width of the scoring heads.")
    kernel: int = option(5, "Segments that a begin or end score looks at; odd.")
    dropout: float = option(0.1, "Dropout.")
    normalise_segments: bool = option(True, "Scale each segment's features to length 1.")
    mask_padding: bool = option(
        False, "Hide padded segments from the scoring heads, which the authors' code does not."
    )
    negatives: int = option(3, "Other tracks that each training video is compared with.")
    moment_weight: float = option(0.01, "Weight of the begin and end losses.")
    ranking_weight: float = option(0.05, "Weight of the loss that ranks tracks.")
    shortest: int = option(0, "Least segments from a moment's first to its last.")
    longest: int = option(95, "Most segments from a moment's first to its last.")
    moments: int = option(10, "Moments that a detection gives.")

    def __post_init__(self) -> None:
        check_sizes(self, least={"backbone_layers": 0, "frame_layers": -1, "shortest": 0})
        if not self.project_music and self.segment_dim != self.hidden_dim:
            raise ConfigError(
                f"segment_dim={self.segment_dim} is not hidden_dim={self.hidden_dim}",
                "set project_music=true",
            )
        if self.kernel % 2 == 0:
            raise ConfigError(f"kernel={self.kernel} is not odd")
        if self.longest < self.shortest:
            raise ConfigError(f"longest={self.longest} is below shortest={self.shortest}")


CONQUER_AUTHORS: MappingProxyType[str, Any] = MappingProxyType(
    {"backbone_layers": 1, "project_music": True, "longest": 23}
)
"""The authors' own configuration, as changes to :class:`ConquerConfig`'s defaults: 54.2 million
parameters, 44.0 with `similarity=disjoint`."""
