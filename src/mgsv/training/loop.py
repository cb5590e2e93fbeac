"""The training loop: one step, one epoch, and resuming after a kill with the very same result."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn

from mgsv.data.batch import Batch
from mgsv.errors import ConfigError, needs_extra
from mgsv.jobs import Listener, Progress
from mgsv.training.config import Precision, Schedule, TrainConfig
from mgsv.training.distributed import gather
from mgsv.training.logs import Log, brief
from mgsv.training.optimizer import make_optimizer, rate_factor, stepped_factor
from mgsv.training.state import KEPT, TrainingProgress, read_state, save_state

try:
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy
except ModuleNotFoundError as error:
    raise needs_extra("training", error) from error

Rows = npt.NDArray[np.int64]


class BatchSource(Protocol):
    """Training pairs: which rows form the batches of an epoch, and those rows' features."""

    def plan(self, epoch: int) -> Sequence[Rows]:
        """The batches of `epoch` (from 0): a function of its number and a seed alone."""
        ...

    def batch(self, rows: Rows) -> Batch: ...


Validate = Callable[[nn.Module], Mapping[str, float]]
"""Val figures of a model, under the names of `mgsv.evaluation.measures`."""
SaveModel = Callable[[Path, nn.Module, TrainingProgress], None]
"""Write a checkpoint that users load."""


def make_fabric(config: TrainConfig) -> Fabric:
    """Start the processes `config` asks for, each on its device; under `torchrun`, join those that
    it started, on however many machines.

    Raises `ConfigError` where a batch cannot be shared by them.
    """
    launched = dist.is_torchelastic_launched()
    devices = int(os.environ["LOCAL_WORLD_SIZE"]) if launched else config.devices
    nodes = int(os.environ["WORLD_SIZE"]) // devices if launched else 1
    if config.batch_size % (devices * nodes):
        raise ConfigError(
            f"train.batch_size={config.batch_size} cannot be shared by {devices * nodes} processes",
            "choose a multiple of their number",
        )
    several = devices > 1 or launched
    # Which parameters a loss reaches differs between the ablation rows.
    strategy = DDPStrategy(find_unused_parameters=True) if several else "auto"
    fabric = Fabric(
        accelerator=config.accelerator, devices=devices, num_nodes=nodes, strategy=strategy
    )
    fabric.launch()
    return fabric


class Loss(nn.Module):
    """The model's loss as a `forward`, which data-parallel wrappers hook into.

    Autocast is this module's own, as Fabric's would also round the targets in the batch: a moment's
    centre in bfloat16 is off by up to half a second.
    """

    def __init__(self, model: Any, precision: Precision) -> None:
        super().__init__()
        self.model = model
        self.dtype = {Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}.get(precision)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        with torch.autocast(
            batch.frame_feats.device.type, dtype=self.dtype, enabled=self.dtype is not None
        ):
            together = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
            terms: dict[str, Tensor] = self.model.loss(batch, gather if together else None)
        return terms


@contextmanager
def products_in(precision: Precision) -> Iterator[None]:
    """Inside the block, matrices of 32 bits are multiplied as `precision` says."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision is Precision.TF32 else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def compile_stacks(model: nn.Module) -> None:
    """Compile the layers of every stack of `model`, for batches of any size.

    What lies between them asks for lengths and ids, which a compiled graph would be bound to.
    """
    for part in [*model.modules()]:
        for layer in part if isinstance(part, nn.ModuleList) else ():
            layer.compile(dynamic=True)


@dataclass
class Run:
    """One training run: what it trains, on what, and where it writes."""

    model: Any
    source: BatchSource
    config: TrainConfig
    output: Path
    validate: Validate
    save_model: SaveModel
    logs: Callable[[TrainingProgress], Sequence[Log]]
    """Opens the logs at the place a run stands."""
    identity: Mapping[str, Any]
    """JSON that must be the same when the run resumes: config, data."""
    listener: Listener | None = None
    """Is called after each step, in the first process alone."""

    @property
    def state_path(self) -> Path:
        return self.output / "state.safetensors"

    def fit(self, fabric: Fabric) -> TrainingProgress:
        """Train to the end, from the stored state if there is one; returns where it ended."""
        if self.config.compile:
            compile_stacks(self.model)
        loss = fabric.setup_module(Loss(self.model, self.config.precision))
        optimizer = make_optimizer(self.model.parameter_groups(), self.config)
        progress = TrainingProgress()
        if self.state_path.exists():
            state = read_state(self.state_path)
            refuse_change(state.identity, self.identity)
            state.restore(self.model.state_dict(), optimizer)
            progress = state.progress
        if progress.finished:
            return progress
        logs = self.logs(progress) if fabric.is_global_zero else []
        try:
            with products_in(self.config.precision):
                _Loop(self, fabric, loss, optimizer, progress, logs).epochs()
        finally:
            for log in logs:
                log.close()
        return progress


@dataclass
class _Loop:
    """The moving parts of `Run.fit`."""

    run: Run
    fabric: Fabric
    loss: Any
    optimizer: torch.optim.Optimizer
    progress: TrainingProgress
    logs: Sequence[Log]

    def __post_init__(self) -> None:
        self.config = self.run.config
        self.groups = [list(group) for group in self.run.model.parameter_groups().values()]
        self.scaler = torch.amp.GradScaler(
            self.fabric.device.type, enabled=self.config.precision is Precision.FP16
        )
        if self.scaler.is_enabled() and self.progress.scaler:
            self.scaler.load_state_dict(self.progress.scaler)
        self.saved_at = self.ticked_at = time.monotonic()

    def epochs(self) -> None:
        progress, config = self.progress, self.config
        per_epoch = len(self.run.source.plan(0))
        if per_epoch == 0:
            raise ConfigError(
                f"the training set is smaller than one batch of {config.batch_size}",
                "lower train.batch_size",
            )
        total = per_epoch * config.epochs
        listener = self.run.listener if self.fabric.is_global_zero else None
        latest = ""
        while not progress.finished:
            what = f"epoch {progress.epoch + 1}{latest}"
            for step in self._epoch(total):
                if listener is not None:
                    listener(Progress(what, step, total))
            if figures := brief(self._end_of_epoch()):
                latest = f", {figures}"

    def _epoch(self, total: int) -> Iterator[int]:
        """Do the rest of the epoch under way; yields the step after each batch."""
        progress = self.progress
        self.run.model.train()
        left = list(self.run.source.plan(progress.epoch))[progress.batch :]
        mine = [self._mine(rows) for rows in left]
        for batch in prefetched(self.run.source, mine, self.config.prefetch):
            self._step(batch.to(self.fabric.device, non_blocking=True), total)
            progress.batch += 1
            progress.step += 1
            if time.monotonic() - self.saved_at >= self.config.save_seconds:
                self._save()
            yield progress.step

    def _mine(self, rows: Rows) -> Rows:
        """This process's share of a batch, which `TrainConfig` made divisible."""
        share = len(rows) // self.fabric.world_size
        return rows[self.fabric.global_rank * share :][:share]

    def _step(self, batch: Batch, total: int) -> None:
        config, progress = self.config, self.progress
        seed_step(config.seed, progress.step, self.fabric.global_rank)
        rate = config.lr * self._rate_factor(total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * (config.embedding_rate if group["name"] == "embedding" else 1)
        self.optimizer.zero_grad(set_to_none=True)
        terms: dict[str, Tensor] = self.loss(batch)
        values = torch.stack(list(terms.values()))
        self.fabric.backward(self.scaler.scale(values.sum()))
        self.scaler.unscale_(self.optimizer)
        for parameters in self.groups if config.clip else ():
            nn.utils.clip_grad_norm_(parameters, config.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        for name, value in zip(terms, values.tolist(), strict=True):
            progress.sums[name] = progress.sums.get(name, 0.0) + value

    def _rate_factor(self, total: int) -> float:
        config, progress = self.config, self.progress
        if config.schedule is Schedule.COSINE:
            return rate_factor(progress.step, total, config.warmup)
        return stepped_factor(
            progress.step, total, config.warmup, progress.epoch, config.drop_every
        )

    def _end_of_epoch(self) -> dict[str, float]:
        """Validate, log, keep the best, decide whether to go on, save the state."""
        progress, config = self.progress, self.config
        figures = {f"train {k}": v / progress.batch for k, v in progress.sums.items()}
        figures["train loss"] = sum(figures.values())
        if not np.isfinite(figures["train loss"]):
            raise ConfigError(
                f"the loss of epoch {progress.epoch + 1} is not a number", "lower train.lr"
            )
        progress.epoch += 1
        progress.batch, progress.sums = 0, {}
        last = progress.epoch >= config.epochs
        val: dict[str, float] = {}
        if last or progress.epoch % config.validate_every == 0:
            val = self._validate()
        improved = progress.best.update(progress.epoch, val)
        progress.finished = last or progress.best.exhausted(
            progress.epoch, min_epochs=config.min_epochs, patience=config.patience
        )
        figures |= {f"val {name}": value for name, value in val.items()}
        for log in self.logs:
            log.write(progress.epoch, progress.step, figures)
        if self.fabric.is_global_zero:
            for name in (*(n for n in KEPT if n in improved), "last"):
                self.run.save_model(
                    checkpoint_path(self.run.output, name), self.run.model, progress
                )
        self._save()
        return figures

    def _validate(self) -> dict[str, float]:
        """Val figures, measured by one process and sent to the others."""
        mine = dict(self.run.validate(self.run.model)) if self.fabric.is_global_zero else {}
        figures: dict[str, float] = self.fabric.broadcast(mine)
        return figures

    def _save(self) -> None:
        now = time.monotonic()
        self.progress.seconds += now - self.ticked_at
        self.saved_at = self.ticked_at = now
        self.progress.scaler = self.scaler.state_dict()
        if self.fabric.is_global_zero:
            weights, identity = self.run.model.state_dict(), self.run.identity
            save_state(self.run.state_path, self.progress, weights, self.optimizer, identity)


def checkpoint_path(output: Path, name: str) -> Path:
    """Where a run keeps the checkpoint that was best by figure `name`, or its `last`."""
    return output / (f"{name}.safetensors" if name == "last" else f"best-{name}.safetensors")


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed all generators for one step, so that a resumed run draws what an unbroken one draws."""
    mixed = np.random.SeedSequence([seed, step, rank]).generate_state(2, np.uint32)
    torch.manual_seed(int(mixed[0]) << 32 | int(mixed[1]))


def prefetched(source: BatchSource, order: Sequence[Rows], ahead: int) -> Iterator[Batch]:
    """The batches of `order`, the next `ahead` of them being read while one is used."""
    with ThreadPoolExecutor(ahead, "batches") as pool:
        coming = deque(pool.submit(source.batch, rows) for rows in order[:ahead])
        for place in range(len(order)):
            batch = coming.popleft().result()
            if place + ahead < len(order):
                coming.append(pool.submit(source.batch, order[place + ahead]))
            yield batch


def refuse_change(then: Mapping[str, Any], now: Mapping[str, Any], where: str = "") -> None:
    """Raise ConfigError naming the first setting that differs from the run to resume."""
    for name in {**then, **now}:
        before, after = then.get(name), now.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            refuse_change(before, after, f"{where}{name}.")
        elif before != after:
            raise ConfigError(
                f"{where}{name} is {after!r} but the run was started with {before!r}",
                "resume with the same settings, or give another `output`",
            )
