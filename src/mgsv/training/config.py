"""How a model is trained: the published settings, and those for machines without a GPU."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, make_dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from mgsv.config import option, override
from mgsv.errors import ConfigError
from mgsv.models.configs import ABLATIONS
from mgsv.models.registry import Config, config_of
from mgsv.models.retrieval_configs import CONQUER_AUTHORS


class Precision(StrEnum):
    """Of the network's arithmetic; weights and targets stay in 32 bits."""

    FULL = "32-true"
    BF16 = "bf16-mixed"
    FP16 = "16-mixed"


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
    clip: float = option(1.0, "Largest gradient norm, of each parameter group by itself.")
    min_epochs: int = option(60, "Epochs before which a run never stops early.")
    patience: int = option(20, "Epochs without a better val figure after which a run stops.")
    validate_every: int = option(1, "Epochs between two looks at the val split.")
    rows: int = option(0, "Training rows to use, drawn with the seed; 0 for all.")
    val_rows: int = option(0, "Val rows to use, the first of the file; 0 for all.")
    seed: int = option(42, "Of weights, order of rows and dropout.")
    precision: Precision = option(Precision.FULL, "Arithmetic of the network.")
    accelerator: str = option("auto", "cpu, cuda, mps, or auto for the best there is.")
    devices: int = option(1, "Processes to start, each with a device of its own.")
    save_seconds: float = option(60.0, "Time between two stored states; a kill loses at most that.")

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs", "devices", "validate_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"train.{name}={getattr(self, name)} is below 1")
        for name in ("lr", "embedding_rate", "clip"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"train.{name}={getattr(self, name)} is not positive")
        for name in ("rows", "val_rows", "seed", "min_epochs", "patience", "save_seconds"):
            if getattr(self, name) < 0:
                raise ConfigError(f"train.{name}={getattr(self, name)} is negative")
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
    "model.dropout=0",
    "model.input_dropout=0.1",
    "model.embedding_feed_forward=128",
    "model.embedding_dropout=0",
    "made.decoder_layers=2",
    "made.pool_dropout=0",
    "made.similarity_start=2",
    "train.lr=1e-3",
    "train.embedding_rate=0.05",
    "train.batch_size=64",
    "train.min_epochs=0",
    "train.val_rows=500",
)

PRESETS: MappingProxyType[str, tuple[str, ...]] = MappingProxyType(
    {
        "paper": (),
        "cpu-small": (*_SMALL, "train.epochs=4"),
        "cpu-ablation": (*_SMALL, "train.batch_size=32", "train.epochs=3", "train.rows=20000"),
        "overnight": (*_SMALL, "model.hidden_dim=128", "model.feed_forward=256", "train.epochs=60"),
    }
)
"""Changes to the paper's settings; those under a model's own name are for that model alone.

For machines without a GPU: `cpu-small` takes at most half an hour on two cores, `cpu-ablation`
minutes for each row of a table, `overnight` a night. Beside the smaller width and the milder
dropout, two settings make a small budget enough for MaDe. `embedding_rate`: Adam moves every weight
by about `lr`, which for a projection of 512 or 768 features adds up; at the full rate their
projections soon drown the positions added to them, and the detector no longer knows where it looks.
`similarity_start`: see :meth:`mgsv.models.blocks.Attention.start_as_similarity`."""


_SMALL_CONQUER = (
    "model.heads=4",
    "model.project_music=true",  # AST's 768 values are not the width any more
    "train.batch_size=32",
    "train.lr=3e-4",
)
OWN_PRESETS: MappingProxyType[str, dict[str, tuple[str, ...]]] = MappingProxyType(
    {
        "conquer": {
            "authors": (
                *(f"model.{name}={json.dumps(value)}" for name, value in CONQUER_AUTHORS.items()),
                "train.lr=1e-4",
                "train.batch_size=16",
                "train.epochs=50",
                "train.warmup=0",
                "train.min_epochs=0",
                "train.patience=3",
            ),
            **{
                name: (*PRESETS[name], *_SMALL_CONQUER)
                for name in ("cpu-small", "cpu-ablation", "overnight")
            },
        }
    }
)
"""Presets of single models, which stand before those of all."""


def configure(model: str, preset: str, changes: Iterable[str] = ()) -> tuple[Config, TrainConfig]:
    """Settings of a run of `model`: a preset, changed by `model.x=…` and `train.y=…`.

    A preset may name a row of the ablation table after a plus sign: `cpu-small+no_sa`. Raises
    ConfigError naming an unknown preset, row or field.
    """
    name, plus, row = preset.partition("+")
    presets = {**PRESETS, **OWN_PRESETS.get(model, {})}
    if name not in presets:
        raise ConfigError(f"--preset {name}: no such preset", f"choose {_choices(presets)}")
    ablation: dict[str, Any] = {}
    if plus:
        if model != "made" or row not in ABLATIONS:
            raise ConfigError(
                f"--preset {preset}: no such row for model {model}",
                f"rows of made are {_choices(ABLATIONS)}",
            )
        ablation = ABLATIONS[row]
    rows = [f"model.{field}={value}" for field, value in ablation.items()]
    default = config_of(model)
    both = make_dataclass(
        "Settings", [("model", type(default)), ("train", TrainConfig)], frozen=True
    )
    lines = _lines_for(model, default, presets[name])
    settings: Any = override(both(default, TrainConfig()), lines, f"--preset {name}")
    settings = override(settings, rows, f"--preset {preset}")
    settings = override(settings, changes)
    return settings.model, settings.train


def _lines_for(model: str, config: Config, preset: Iterable[str]) -> Iterator[str]:
    """The lines of a preset that concern `model`, as assignments to its settings.

    Lines for all models may name a field that some do not have.
    """
    own = {field.name for field in fields(config)}
    for line in preset:
        owner, _, rest = line.partition(".")
        if owner == "train" or (owner == "model" and rest.partition("=")[0] in own):
            yield line
        elif owner == model:
            yield f"model.{rest}"


def _choices(names: Iterable[str]) -> str:
    return ", ".join(names)
