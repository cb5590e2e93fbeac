"""The learned systems by name, and what every one of them offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from mgsv.config import from_dict
from mgsv.errors import ConfigError
from mgsv.models.configs import (
    ConquerConfig,
    DetectorConfig,
    EatrConfig,
    InputConfig,
    MadeConfig,
    MomentDetrConfig,
    MvptConfig,
    QdDetrConfig,
    TrDetrConfig,
    UvcomConfig,
)
from mgsv.plugins import find, names

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mgsv.data.batch import Batch
    from mgsv.models.matching import Embedded

Config = MadeConfig | DetectorConfig | MvptConfig | ConquerConfig
"""Any model's config."""


class Trained(Protocol):
    """Any learned system: B rows of (video, track) in, named and weighted loss terms out."""

    def loss(self, batch: Batch) -> dict[str, Tensor]: ...


@runtime_checkable
class Reranks(Protocol):
    """Ranks few tracks: what it computes anew for each pair is too much for a whole set.

    A model that `Matches` goes first, and this one puts the best candidates into its own order.
    """

    def embed_videos(self, batch: Batch) -> Embedded: ...

    def embed_tracks(self, batch: Batch) -> Embedded: ...

    def scores_of(self, videos: Embedded, tracks: Embedded, pairs: Tensor) -> Tensor:
        """The scores [P] that rank, of `pairs` [P, 2] = (row of videos, row of tracks)."""
        ...

    def rerank(self, video: Embedded, candidates: Embedded) -> Tensor:
        """The same of one video with K candidates, [K]."""
        ...


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
class About:
    """What people should know of a system; the elements are the paper's comparison of systems."""

    title: str
    paper: str
    """Authors, venue and year."""
    parameters: float
    """Millions of parameters that the MGSV paper counts; 0 for a system that is not in it."""
    abilities: frozenset[str]
    """Of `match`, `rerank` (another's candidates) and `detect`."""
    enhancement: str = "-"
    """How features are enhanced before the modalities meet."""
    fusion: str = "-"
    """How the modalities meet."""
    content: str = "-"
    """Content of the decoder's moment queries."""
    decoder: str = "-"


@dataclass(frozen=True)
class ModelEntry:
    """A system as it is registered, here or by an entry point of the group `mgsv.systems`.

    Configs are free of torch, and the module is imported when a model is built.
    """

    config: type[InputConfig]
    """A frozen dataclass; its fields are the `model.` settings of training."""
    module: str
    """Where the network is, as in `their_package.network`."""
    model: str
    """Its class there: a `Trained` one that `Matches`, `Reranks` or `Detects`, made of a config,
    which it keeps as `config`."""
    about: About
    values: Mapping[str, Any] = field(default_factory=dict)
    """What differs from the config's defaults."""


_DETECTS, _BOTH = frozenset({"detect"}), frozenset({"match", "detect"})
_MOMENT_DETR = About(
    "Moment-DETR",
    "Lei et al., NeurIPS 2021",
    4.3,
    _DETECTS,
    fusion="SA×2",
    content="zero",
    decoder="CA×2",
)
_QD_DETR = replace(
    _MOMENT_DETR,
    title="QD-DETR",
    paper="Moon et al., CVPR 2023",
    parameters=6.9,
    fusion="CA×2, SA×2",
)
_TR_DETR = replace(
    _QD_DETR, title="TR-DETR", paper="Sun et al., AAAI 2024", parameters=7.8, enhancement="VFR"
)
_EATR = replace(
    _MOMENT_DETR,
    title="EaTR",
    paper="Jang et al., ICCV 2023",
    parameters=8.5,
    fusion="SA×3",
    content="event slots",
    decoder="GF, CA×3",
)
_UVCOM = replace(
    _MOMENT_DETR,
    title="UVCOM",
    paper="Xiao et al., CVPR 2024",
    parameters=14.5,
    enhancement="DBIA, LRP",
    fusion="dual CA×3, SA×3",
    content="video slot",
    decoder="CA×3",
)
_PLUS = {"cross": False}
_MVPT = About("MVPt", "Suris et al., CVPR 2022", 3.6, frozenset({"match"}), enhancement="SA×2")

_MODELS = {
    "made": ModelEntry(
        MadeConfig,
        "mgsv.models.made",
        "MaDe",
        About(
            "MaDe",
            "Xin et al., ICCV 2025",
            10.5,
            _BOTH,
            enhancement="SA",
            fusion="SA×2",
            content="video",
            decoder="CA×6",
        ),
    ),
    "moment_detr": ModelEntry(
        MomentDetrConfig, "mgsv.models.moment_detr", "MomentDETR", _MOMENT_DETR
    ),
    "qd_detr": ModelEntry(QdDetrConfig, "mgsv.models.qd_detr", "QDDETR", _QD_DETR),
    "qd_detr_plus": ModelEntry(
        QdDetrConfig,
        "mgsv.models.qd_detr",
        "QDDETR",
        replace(_QD_DETR, title="QD-DETR+", parameters=5.4, fusion="SA×2"),
        _PLUS,
    ),
    "tr_detr": ModelEntry(TrDetrConfig, "mgsv.models.tr_detr", "TRDETR", _TR_DETR),
    "tr_detr_plus": ModelEntry(
        TrDetrConfig,
        "mgsv.models.tr_detr",
        "TRDETR",
        replace(_TR_DETR, title="TR-DETR+", parameters=6.2, fusion="SA×2"),
        _PLUS,
    ),
    "eatr": ModelEntry(EatrConfig, "mgsv.models.eatr", "EaTR", _EATR),
    "uvcom": ModelEntry(UvcomConfig, "mgsv.models.uvcom", "UVCOM", _UVCOM),
    "uvcom_plus": ModelEntry(
        UvcomConfig,
        "mgsv.models.uvcom",
        "UVCOM",
        replace(_UVCOM, title="UVCOM+", parameters=12.9, fusion="SA×3"),
        {**_PLUS, "similarity": True},
    ),
    "mvpt": ModelEntry(
        MvptConfig,
        "mgsv.models.mvpt",
        "MVPt",
        _MVPT,
    ),
    "mvpt_plus": ModelEntry(
        MvptConfig,
        "mgsv.models.mvpt",
        "MVPt",
        replace(_MVPT, title="MVPt+"),
        {"mask_same_track": True},
    ),
    "conquer": ModelEntry(
        ConquerConfig,
        "mgsv.models.conquer",
        "CONQUER",
        About(
            "CONQUER",
            "Hou et al., ACM MM 2021",
            39.4,
            frozenset({"rerank", "detect"}),
            fusion="BiDAF, SA",
        ),
    ),
}

COMPOSITE = "composite"
"""Name of two models behind one interface, see `mgsv.models.composite`; made of checkpoints."""
PAPERS_COMPOSITE = ("mvpt_plus", "uvcom_plus")
"""The matcher and the detector that MGSV (ICCV 2025) puts together; any others will do."""


def list_models(ability: str | None = None) -> list[str]:
    """Names that :func:`build` takes; of those systems with that ability, if given."""
    brought = [name for name in names("system") if name not in {*_MODELS, COMPOSITE}]
    return sorted(
        name
        for name in (*_MODELS, *brought)
        if ability is None or ability in _entry(name).about.abilities
    )


def systems() -> list[str]:
    """All of the paper's that can be measured, the composite last; similar ones side by side."""
    return [*_MODELS, COMPOSITE]


def about(name: str) -> About:
    """What the model or composite `name` is."""
    if name != COMPOSITE:
        return _entry(name).about
    matcher, detector = (about(part) for part in PAPERS_COMPOSITE)
    return replace(
        detector,
        title=f"{matcher.title} / {detector.title}",
        paper="Xin et al., ICCV 2025",
        parameters=16.5,
        abilities=_BOTH,
        enhancement=f"{matcher.enhancement} / {detector.enhancement}",
    )


def count_parameters(name: str, config: Config | Mapping[str, Any] | None = None) -> int:
    """Parameters of the model or composite `name`; no memory is taken for their values."""
    import torch

    if name == COMPOSITE:
        return sum(count_parameters(part) for part in PAPERS_COMPOSITE)
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build(name, config).parameters())


def config_of(name: str, values: Mapping[str, Any] | None = None) -> Config:
    """The config of model `name`: its defaults, changed by `values`."""
    entry = _entry(name)
    values = {} if values is None else values
    if isinstance(values, Mapping):
        values = {**entry.values, **values}
    return cast(Config, from_dict(entry.config, values, "model."))


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


def _entry(name: str) -> ModelEntry:
    if name == COMPOSITE:
        raise ConfigError(
            f"{COMPOSITE} has no weights of its own", "train a matcher and a detector"
        )
    if name in _MODELS:
        return _MODELS[name]
    plugin = find("system", name)
    if plugin is None:
        raise ConfigError(f"there is no model {name!r}", f"choose {' or '.join(list_models())}")
    entry = plugin.load()
    if not isinstance(entry, ModelEntry):
        raise plugin.broken(f"is a {type(entry).__name__}, no ModelEntry")
    return entry
