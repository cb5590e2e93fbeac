"""What the trainings of a table will take, found out before the first of them starts.

Of each training one step is done on few rows of the data: that shows whether it runs at all, what a
row costs on this device, and how much of it is kept for the backward pass. All else is counted.
"""

from __future__ import annotations

import gc
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mgsv.data.dataset import SplitData
from mgsv.data.sampler import BucketedBatches
from mgsv.evaluation.protocol import pick_device
from mgsv.evaluation.sources import part_of
from mgsv.models import registry
from mgsv.models.registry import about
from mgsv.training.config import TrainConfig, configure
from mgsv.training.fit import sizes_of, within_rows
from mgsv.training.loop import Loss, products_in
from mgsv.training.optimizer import make_optimizer
from mgsv.training.runs import text_table
from mgsv.training.state import KEPT

SCHEMA = "mgsv.plan/1"
MEASURED_ROWS = 4
"""Of a step that is done to find out what one costs; a GPU does whole ones."""
VALUE = 4
"""Bytes of a weight, its gradient, or one of Adam's two means."""
GIGABYTE = 1e9


@dataclass(frozen=True)
class PlannedRun:
    """One training. seconds: of all its steps, without the looks at val between them. memory, disk:
    bytes that it takes at most, beside the program and its libraries.
    """

    name: str
    title: str
    parameters: int
    batch_size: int
    steps: int
    """Of an epoch."""
    epochs: int
    """At most; it may stop early."""
    seconds: float
    memory: float
    disk: float


@dataclass(frozen=True)
class TablePlan:
    """The trainings of a table, one after the other, and why they could not be done here."""

    preset: str
    device: str
    runs: tuple[PlannedRun, ...]
    free_memory: float | None
    """None where the system does not say."""
    free_disk: float
    problems: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """JSON-ready; times in seconds, sizes in bytes."""
        runs = [asdict(run) for run in self.runs]
        return {"schema": SCHEMA, **asdict(self), "runs": runs, "problems": [*self.problems]}

    def text(self) -> str:
        """A line per training, their sum, and what is wrong."""
        head = ("", "M", "batch", "steps", "epochs", "hours", "GB memory", "GB disk")
        lines = [
            [
                run.title,
                f"{run.parameters / 1e6:.2f}",
                f"{run.batch_size}",
                f"{run.steps:,}",
                f"{run.epochs}",
                f"{run.seconds / 3600:.2f}",
                f"{run.memory / GIGABYTE:.2f}",
                f"{run.disk / GIGABYTE:.2f}",
            ]
            for run in self.runs
        ]
        hours = sum(run.seconds for run in self.runs) / 3600
        memory = max((run.memory for run in self.runs), default=0.0) / GIGABYTE
        disk = sum(run.disk for run in self.runs) / GIGABYTE
        lines.append(["all", *[""] * 4, f"{hours:.2f}", f"{memory:.2f}", f"{disk:.2f}"])
        free = [
            f"{name} {size / GIGABYTE:.1f} GB"
            for name, size in (("memory", self.free_memory), ("disk", self.free_disk))
            if size is not None
        ]
        note = f"Preset {self.preset} on {self.device}; free: {', '.join(free)}.\n" + (
            "Hours of steps alone, up to the last epoch; looks at val are not in them."
        )
        return "\n".join([text_table(head, lines), "", note, *self.problems])


def plan_runs(
    names: Iterable[str],
    *,
    data: str | os.PathLike[str],
    output: str | os.PathLike[str],
    preset: str,
    changes: dict[str, tuple[str, ...]],
) -> TablePlan:
    """The plan for training the systems `names` on the data folder `data`.

    changes: to the settings, by system. Nothing is written to `output`, whose disk is looked at.
    Raises ConfigError or DataError for settings or data that no training could start with.
    """
    whole = SplitData.open(data, "train")
    problems, runs, device = [], [], "cpu"
    free_memory: float | None = None
    for name in names:
        architecture, config = configure(name, preset, (*sizes_of(whole), *changes[name]))
        rows = part_of(whole, config.rows, config.seed)
        config = within_rows(config, len(rows))
        place = pick_device(config.accelerator)
        device, free_memory = str(place), _free_memory(place)
        try:
            with products_in(config.precision):
                run = _planned(name, architecture, config, rows, place)
        except torch.OutOfMemoryError:
            problems.append(
                f"{name}: a step does not fit the memory of {device}: lower {name}.train.batch_size"
            )
            continue
        if free_memory is not None and run.memory > free_memory:
            problems.append(
                f"{name}: a step needs {run.memory / GIGABYTE:.1f} GB of memory, "
                f"{free_memory / GIGABYTE:.1f} GB are free: lower {name}.train.batch_size"
            )
        runs.append(run)
    free_disk = float(shutil.disk_usage(_existing(Path(output))).free)
    needed = sum(run.disk for run in runs)
    if needed > free_disk:
        problems.append(
            f"`output`: {needed / GIGABYTE:.1f} GB are needed, {free_disk / GIGABYTE:.1f} GB are "
            "free there: make room, or name a folder on another disk"
        )
    return TablePlan(preset, device, tuple(runs), free_memory, free_disk, tuple(problems))


def _planned(
    name: str,
    architecture: registry.Config,
    config: TrainConfig,
    rows: SplitData,
    device: torch.device,
) -> PlannedRun:
    sampler = rows.sampler(config.batch_size, seed=config.seed)
    count = config.batch_size if device.type == "cuda" else min(config.batch_size, MEASURED_ROWS)
    scale, plan = config.batch_size / count, sampler.plan(0)
    network: Any = registry.build(name, architecture).to(device).train()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    loss = Loss(network, config.precision)
    optimizer = make_optimizer(network.parameter_groups(), config)
    seconds, kept = 0.0, 0
    # The longest batch shows the memory and readies all kernels, one of usual length the time.
    by_length = sorted(plan, key=lambda chosen: _length(sampler, chosen))
    for chosen in (by_length[-1], by_length[len(plan) // 2]):
        batch = rows.batch(chosen[:count]).to(device)
        _wait(device)
        began = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with _Kept(network) as saved:
            total = torch.stack(list(loss(batch).values())).sum()
        total.backward()  # type: ignore[no-untyped-call]
        _wait(device)
        half = time.perf_counter()
        optimizer.step()
        _wait(device)
        # The optimizer takes as long whatever the number of rows.
        seconds = (half - began) * scale + time.perf_counter() - half
        kept = max(kept, saved.bytes)
    checkpoints = (len(KEPT) + 1) * VALUE * parameters
    del network, loss, optimizer
    gc.collect()
    return PlannedRun(
        name,
        about(name).title,
        parameters,
        config.batch_size,
        len(plan),
        config.epochs,
        seconds * len(plan) * config.epochs,
        4 * VALUE * parameters + kept * scale,
        checkpoints + 3 * VALUE * parameters,
    )


def _length(sampler: BucketedBatches, chosen: npt.NDArray[np.int64]) -> int:
    """Frames and segments of a batch's rows, padded."""
    lengths = sampler.video_lengths[chosen], sampler.track_lengths[chosen]
    return int(sum(one.max() for one in lengths))


class _Kept:
    """Counts the bytes that a forward pass keeps for the backward pass, beside the weights."""

    def __init__(self, network: nn.Module) -> None:
        self._weights = {weight.untyped_storage().data_ptr() for weight in network.parameters()}
        self._sizes: dict[int, int] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._note, lambda tensor: tensor)

    @property
    def bytes(self) -> int:
        return sum(self._sizes.values())

    def __enter__(self) -> _Kept:
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)

    def _note(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._weights:
            self._sizes[storage.data_ptr()] = storage.nbytes()
        return tensor


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _free_memory(device: torch.device) -> float | None:
    """Bytes free on a GPU, or in the machine without swapping; None if that is unknown."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return float(free)
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _existing(path: Path) -> Path:
    """The nearest folder on the way to `path` that exists."""
    path = path.absolute()
    return next((one for one in (path, *path.parents) if one.is_dir()), Path.cwd())
