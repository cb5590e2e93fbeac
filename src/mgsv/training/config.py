"""How a model is trained: the published settings, and those for machines without a GPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, make_dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from mgsv.config import option, override
from mgsv.errors import ConfigError
from mgsv.models.configs import ABLATIONS
from mgsv.models.registry import Config, config_of
from mgsv.training.authors import AUTHORS


class Precision(StrEnum):
    """Of the network's arithmetic; weights and targets stay in 32 bits."""

    FULL = "32-true"
    TF32 = "tf32"
    """Numbers of 32 bits, whose products GPUs round to 10 bits after the point."""
    BF16 = "bf16-mixed"
    FP16 = "16-mixed"


class Schedule(StrEnum):
    """How the learning rate changes after the warm-up."""

    COSINE = "cosine"
    """A half cosine to zero."""
    STEPS = "steps"
    """Constant, but for drops to a tenth."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a run; the defaults are the paper's."""

    lr: float = option(3e-4, "Adam's learning rate after the warm-up.")
    embedding_rate: float = option(
        1.0, "Learning rate of MaDe's unimodal embedding, as share of lr."
    )
    batch_size: int = option(512, "Rows of a step, over all processes; an incomplete last is left.")
    epochs: int = option(100, "Epochs at most.")
    warmup: float = option(0.02, "Share of the steps with a linearly growing learning rate.")
    schedule: Schedule = option(Schedule.COSINE, "Learning rate after the warm-up.")
    drop_every: int = option(0, "Epochs between drops to a tenth, with schedule=steps; 0: none.")
    weight_decay: float = option(0.0, "AdamW's decoupled weight decay; with 0 it is Adam.")
    decay_vectors: bool = option(True, "Decay biases and the gains of norms too.")
    epsilon: float = option(1e-8, "Adam's addend to the root of the mean square.")
    clip: float = option(
        1.0, "Largest gradient norm, of each parameter group by itself; 0: any norm."
    )
    min_epochs: int = option(60, "Epochs before which a run never stops early.")
    patience: int = option(20, "Epochs without a better val figure after which a run stops.")
    validate_every: int = option(1, "Epochs between two looks at the val split.")
    rows: int = option(0, "The most training rows to use, drawn with the seed; 0 for all.")
    val_rows: int = option(0, "The most val rows to use, the first of the file; 0 for all.")
    seed: int = option(42, "Of weights, order of rows and dropout.")
    precision: Precision = option(Precision.FULL, "Arithmetic of the network.")
    accelerator: str = option("auto", "cpu, cuda, mps, or auto for the best there is.")
    devices: int = option(1, "Processes to start, each with a device of its own.")
    save_seconds: float = option(60.0, "Time between two stored states; a kill loses at most that.")
    prefetch: int = option(1, "Batches read ahead, each in a thread of its own.")
    pinned: bool = option(
        False, "Read batches into page-locked memory, for copies beside the work."
    )
    resident: bool = option(
        False, "Keep all features in the device's memory, and batch them there."
    )
    fused: bool = option(False, "Update all weights in one kernel.")
    compile: bool = option(False, "Compile the layers of stacks by torch.compile.")

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs", "devices", "validate_every", "prefetch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"train.{name}={getattr(self, name)} is below 1")
        for name in ("lr", "embedding_rate", "epsilon"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"train.{name}={getattr(self, name)} is not positive")
        for name in (
            *("rows", "val_rows", "seed", "min_epochs", "patience", "save_seconds"),
            *("clip", "weight_decay", "drop_every"),
        ):
            if getattr(self, name) < 0:
                raise ConfigError(f"train.{name}={getattr(self, name)} is negative")
        if self.drop_every and self.schedule is not Schedule.STEPS:
            raise ConfigError(
                f"train.drop_every={self.drop_every} is of no use with a {self.schedule}",
                "set train.schedule=steps",
            )
        if not 0 <= self.warmup < 1:
            raise ConfigError(f"train.warmup={self.warmup} is not in [0, 1)")
        if self.batch_size % self.devices:
            raise ConfigError(
                f"train.batch_size={self.batch_size} cannot be shared by {self.devices} devices",
                "choose a multiple of train.devices",
            )


_SMALL = (
    "model.hidden_dim=64",
    "model.heads=4",
    "model.feed_forward=128",
    "model.queries=1",
    "model.dropout=0",
    "model.input_dropout=0.1",
    "model.embedding_feed_forward=128",
    "model.embedding_dropout=0",
    "made.decoder_layers=2",
    "made.pool_dropout=0",
    "made.similarity_start=2",
    "made.train.embedding_rate=0.05",
    "eatr.queries=10",  # they are its events
    "train.lr=1e-3",
    "train.batch_size=64",
    "train.min_epochs=0",
    "train.val_rows=500",
    "conquer.heads=4",
    "conquer.project_music=true",  # AST's 768 values are not the width any more
    "conquer.train.batch_size=32",
    "conquer.train.lr=3e-4",
)

_WORLD = (
    *_SMALL,
    "model.tef=true",
    "model.span_norm=valid",
    "model.input_dropout=0",
    "model.mlp_hidden=128",
    "train.lr=5e-4",
    "made.train.embedding_rate=1",
    "conquer.train.lr=3e-4",
    "train.batch_size=32",
    "train.val_rows=0",
    "train.epochs=8",
    "made.train.epochs=16",
    "conquer.train.epochs=4",
)

PRESETS: MappingProxyType[str, tuple[str, ...]] = MappingProxyType(
    {
        "paper": (),
        "cpu-small": (*_SMALL, "train.epochs=4"),
        "cpu-ablation": (*_SMALL, "train.batch_size=32", "train.epochs=3", "train.rows=20000"),
        "small-world": _WORLD,
        "overnight": (*_SMALL, "model.hidden_dim=128", "model.feed_forward=256", "train.epochs=60"),
        "tiny": (
            "model.hidden_dim=16",
            "model.heads=2",
            "model.feed_forward=16",
            "model.embedding_feed_forward=16",
            "model.mlp_hidden=16",
            "made.decoder_layers=1",
            "conquer.project_music=true",
            "conquer.score_dim=8",
            "train.lr=1e-3",
            "train.batch_size=16",
            "train.epochs=2",
            "train.min_epochs=0",
        ),
    }
)
"""Changes to the paper's settings. A line `MODEL.x=…` or `MODEL.train.y=…` is for that model alone.

For machines without a GPU: `cpu-small` takes at most half an hour on two cores, `cpu-ablation`
minutes for each row of a table, `overnight` a night. Beside the smaller width and the milder
dropout, two settings make a small budget enough for MaDe. `embedding_rate`: Adam moves every weight
by about `lr`, which for a projection of 512 or 768 features adds up; at the full rate their
projections soon drown the positions added to them, and the detector can no longer tell positions
apart. `similarity_start`: see :meth:`mgsv.models.blocks.Attention.start_as_similarity`. One moment
query: a row has one moment, and which of ten or thirty queries holds it is learned far more slowly
than the moment.

`small-world` is for the planted benchmark of that name, whose features are too narrow to drown
positions: MaDe's embedding learns at the full rate there, and twice as long as the rest. The values
of the DETRs hold no positions, so segments get their place in the track (`tef`), and spans are
relative to the track, as in the settings of the DETRs' own authors.

`tiny` only shows that everything runs, in seconds on a few dozen rows."""


def configure(
    model: str, preset: str, changes: Iterable[str] = (), *, start: Config | None = None
) -> tuple[Config, TrainConfig]:
    """Settings of a run of `model`: a preset, changed by `model.x=…` and `train.y=…`.

    A preset may name a row of the ablation table after a plus sign: `cpu-small+no_sa`. With
    `start`, the settings of weights to go on from, the preset's own of the network do not count.
    Raises ConfigError naming an unknown preset, row or field.
    """
    name, plus, row = preset.partition("+")
    presets = presets_of(model)
    if name not in presets:
        raise ConfigError(f"`preset` {name}: no such preset", f"choose {_choices(presets)}")
    ablation: dict[str, Any] = {}
    if plus:
        if model != "made" or row not in ABLATIONS:
            raise ConfigError(
                f"`preset` {preset}: no such row for model {model}",
                f"rows of made are {_choices(ABLATIONS)}",
            )
        ablation = ABLATIONS[row]
    rows = [f"model.{field}={value}" for field, value in ablation.items()]
    default = config_of(model) if start is None else start
    both = make_dataclass(
        "Settings", [("model", type(default)), ("train", TrainConfig)], frozen=True
    )
    lines = [*lines_for(model, presets[name])]
    if start is not None:
        lines = [line for line in lines if line.startswith("train.")]
    settings: Any = override(both(default, TrainConfig()), lines, f"`preset` {name}")
    settings = override(settings, rows, f"`preset` {preset}")
    settings = override(settings, changes)
    return settings.model, settings.train


def presets_of(model: str) -> dict[str, tuple[str, ...]]:
    """The presets of `model`; `authors` are the settings of those who published it."""
    authors = {"authors": AUTHORS[model]} if model in AUTHORS else {}
    return {**PRESETS, **authors}


def lines_for(model: str, lines: Iterable[str]) -> Iterator[str]:
    """Of lines for several models those that concern `model`, as assignments to its settings.

    Lines for all models may name a field that some do not have.
    """
    own = {field.name for field in fields(config_of(model))}
    for line in lines:
        owner, _, rest = line.partition(".")
        if owner == "train" or (owner == "model" and rest.partition("=")[0] in own):
            yield line
        elif owner == model:
            yield rest if rest.startswith("train.") else f"model.{rest}"


def _choices(names: Iterable[str]) -> str:
    return ", ".join(names)
