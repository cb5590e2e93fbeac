"""A run's state on disk: everything needed to go on after a kill as if nothing had happened.

One safetensors file holds the tensors (weights, optimizer moments); the JSON in its metadata holds
the rest (position in the data, best figures, sums for the log). One file can be neither half
written nor out of step with itself, and nothing is ever unpickled.

No state of a random generator is stored: every step seeds its own from (seed, step, rank), see
`loop.seed_step`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mgsv.errors import ConfigError, shown
from mgsv.files import write_file

WATCHED = ("R1", "R5", "mIoU", "MoR1@0.5", "MoR1@0.7")
"""Val figures whose improvement keeps a run going (spec of the published training)."""
KEPT = ("R1", "mIoU", "MoR1@0.5", "MoR1@0.7")
"""Val figures by which a best checkpoint is kept."""


@dataclass
class Best:
    """The best value so far of each watched figure and the epoch (from 1) that reached it."""

    value: dict[str, float] = field(default_factory=dict)
    epoch: dict[str, int] = field(default_factory=dict)

    def update(self, epoch: int, figures: Mapping[str, float]) -> tuple[str, ...]:
        """Take in an epoch's val figures; returns the names that improved.

        Only a strictly better value improves. Figures a model does not have (a detector has no R1)
        are passed over.
        """
        improved = tuple(
            name
            for name in WATCHED
            if name in figures and figures[name] > self.value.get(name, float("-inf"))
        )
        for name in improved:
            self.value[name] = figures[name]
            self.epoch[name] = epoch
        return improved

    def exhausted(self, epoch: int, *, min_epochs: int, patience: int) -> bool:
        """Whether, with `epoch` done, nothing watched has improved for `patience` epochs."""
        latest = max(self.epoch.values(), default=0)
        return epoch >= min_epochs and epoch - latest >= patience


KEY = "mgsv.training_state"
FORMAT = 1


@dataclass
class TrainingProgress:
    """Where a run stands: what a fresh run starts with, and what a state file holds as JSON."""

    epoch: int = 0
    """Epochs done."""
    batch: int = 0
    """Batches done of the epoch under way."""
    step: int = 0
    """Batches done in all."""
    best: Best = field(default_factory=Best)
    sums: dict[str, float] = field(default_factory=dict)
    """Loss terms summed over the batches of the epoch under way, for its line in the log."""
    scaler: dict[str, float] = field(default_factory=dict)
    """State of the gradient scaler of 16-bit training; empty otherwise."""
    seconds: float = 0.0
    """Time spent training, over all sittings."""
    finished: bool = False

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrainingProgress:
        names = {f.name for f in fields(cls)}
        if set(values) != names:
            raise ValueError(f"expected the fields {', '.join(sorted(names))}")
        return cls(**(values | {"best": Best(**values["best"])}))


def save_state(
    path: Path,
    progress: TrainingProgress,
    weights: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    identity: Mapping[str, Any],
) -> None:
    """Write the state of a run. `identity` is JSON that says which run it is."""
    tensors = {f"weights.{name}": value.detach().cpu() for name, value in weights.items()}
    for parameter, slots in optimizer.state_dict()["state"].items():
        for slot, value in slots.items():
            tensors[f"optimizer.{parameter}.{slot}"] = value.detach().cpu()
    # In the order in which things are: figures are summed, listed and written in it.
    document = json.dumps(
        {"format": FORMAT, "progress": asdict(progress), "identity": dict(identity)}
    )
    # A tensor that shares memory with another (tied weights) is refused unless cloned.
    data = save({k: v.clone() for k, v in tensors.items()}, {KEY: document})
    write_file(path, data, overwrite=True)


@dataclass(frozen=True)
class State:
    """A state file, read but not yet taken up."""

    path: Path
    progress: TrainingProgress
    identity: dict[str, Any]
    tensors: dict[str, Tensor]

    def restore(self, weights: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
        """Fill `weights` and `optimizer`; ConfigError, and nothing filled, for another model's."""
        start = "weights."
        stored = {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)}
        if {k: v.shape for k, v in stored.items()} != {k: v.shape for k, v in weights.items()}:
            raise ConfigError(
                f"{shown(self.path)} belongs to a model of another shape",
                "resume with the settings the run was started with, or give another `output`",
            )
        for name, value in weights.items():
            value.detach().copy_(stored[name])
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in self.tensors.items():
            if name.startswith("optimizer."):
                _, parameter, slot = name.split(".")
                slots.setdefault(int(parameter), {})[slot] = value
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": slots, "param_groups": groups})


def read_state(path: Path) -> State:
    """The state in the file `path`; ConfigError when it is not the state of a run."""
    try:
        with safe_open(path, framework="pt") as file:
            document = json.loads((file.metadata() or {})[KEY])
            if document["format"] != FORMAT:
                raise ValueError(f"format {document['format']}, this version reads {FORMAT}")
            progress = TrainingProgress.from_json(document["progress"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return State(path, progress, document["identity"], tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{shown(path)} is not the state of a training run ({error})",
            "give another `output`, or delete the file to start this run anew",
        ) from error
