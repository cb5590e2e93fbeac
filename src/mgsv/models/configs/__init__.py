"""The published systems' configurations; free of torch, so that help texts start quickly."""

from mgsv.models.configs.detectors import (
    CrossConfig,
    DetectorConfig,
    EatrConfig,
    MomentDetrConfig,
    QdDetrConfig,
    SpanNorm,
    TrDetrConfig,
    UvcomConfig,
)
from mgsv.models.configs.made import (
    ABLATIONS,
    Embedding,
    MadeConfig,
    Matching,
    MomentQuery,
    SequenceFusion,
)
from mgsv.models.configs.rankers import CONQUER_AUTHORS, ConquerConfig, MvptConfig, Similarity
from mgsv.models.configs.shared import InputConfig, LayerSize, check_sizes

__all__ = [
    "ABLATIONS",
    "CONQUER_AUTHORS",
    "ConquerConfig",
    "CrossConfig",
    "DetectorConfig",
    "EatrConfig",
    "Embedding",
    "InputConfig",
    "LayerSize",
    "MadeConfig",
    "Matching",
    "MomentDetrConfig",
    "MomentQuery",
    "MvptConfig",
    "QdDetrConfig",
    "SequenceFusion",
    "Similarity",
    "SpanNorm",
    "TrDetrConfig",
    "UvcomConfig",
    "check_sizes",
]
