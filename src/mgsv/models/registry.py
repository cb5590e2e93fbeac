"""The learned systems by name, and what every one of them offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from mgsv.config import from_dict
from mgsv.errors import ConfigError
from mgsv.models.configs import MadeConfig

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mgsv.data.batch import Batch
    from mgsv.models.matching import Embedded

Config = MadeConfig
"""Any model's config; a union as soon as there are several."""


class Trained(Protocol):
    """Any learned system: B rows of (video, track) in, named and weighted loss terms out."""

    def loss(self, batch: Batch) -> dict[str, Tensor]: ...


@runtime_checkable
class Matches(Protocol):
    """Ranks tracks. Embeddings of videos and tracks are made once and used in every pair."""

    def embed_videos(self, batch: Batch) -> Embedded: ...

    def embed_tracks(self, batch: Batch) -> Embedded: ...

    def score_all(self, videos: Embedded, tracks: Embedded) -> Tensor:
        """Cheap scores [V, M]."""
        ...

    def pair_scores(self, videos: Embedded, tracks: Embedded) -> Tensor:
        """The scores [V, M] that rank, interaction of the pair included."""
        ...

    def rerank(self, video: Embedded, candidates: Embedded) -> Tensor:
        """`pair_scores` of one video with K candidates, [K]."""
        ...


@runtime_checkable
class Detects(Protocol):
    """Finds the moment of a track."""

    def detect(self, batch: Batch) -> Tensor:
        """[B, K, 3] = (centre, width, score), best first; relative to the canvas."""
        ...


@dataclass(frozen=True)
class _Entry:
    config: type[Config]
    module: str
    model: str


_MODELS = {"made": _Entry(MadeConfig, "mgsv.models.made", "MaDe")}


def list_models() -> list[str]:
    """Names that :func:`build` knows."""
    return sorted(_MODELS)


def config_of(name: str, values: Mapping[str, Any] | None = None) -> Config:
    """The config of model `name`: its defaults, changed by `values`."""
    return from_dict(_entry(name).config, {} if values is None else values, "model.")


def build(name: str, config: Config | Mapping[str, Any] | None = None) -> nn.Module:
    """A new model, its weights drawn from PyTorch's global generator."""
    import importlib

    entry = _entry(name)
    if not isinstance(config, entry.config):
        if config is not None and not isinstance(config, Mapping):
            raise ConfigError(f"{type(config).__name__} is not a config of model {name}")
        config = config_of(name, config)
    model: nn.Module = getattr(importlib.import_module(entry.module), entry.model)(config)
    return model


def _entry(name: str) -> _Entry:
    if name not in _MODELS:
        raise ConfigError(f"there is no model {name!r}", f"choose {' or '.join(list_models())}")
    return _MODELS[name]
