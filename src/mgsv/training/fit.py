"""`train`: a registered model fitted to a data folder, in one call."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from mgsv.config import to_dict
from mgsv.data.batch import Batch
from mgsv.data.dataset import SplitData
from mgsv.data.folder import DataFolder
from mgsv.data.sampler import BucketedBatches
from mgsv.errors import ConfigError, shown
from mgsv.evaluation import protocol
from mgsv.evaluation.sources import encoders_of, licence_of, part_of
from mgsv.files import remove_leftovers, write_file
from mgsv.jobs import Listener
from mgsv.methods.survey import RECORD
from mgsv.models import checkpoint, registry
from mgsv.models.checkpoint import Checkpoint
from mgsv.models.weights import checkpoint_named
from mgsv.training.config import TrainConfig, configure
from mgsv.training.logs import CsvLog, Log, TensorBoardLog
from mgsv.training.loop import Rows, Run, checkpoint_path, make_fabric, refuse_change
from mgsv.training.state import KEPT, TrainingProgress

if TYPE_CHECKING:
    from lightning_fabric import Fabric

MAY_CHANGE = {
    *("accelerator", "devices", "save_seconds"),
    *("prefetch", "pinned", "resident", "fused", "compile"),
}
"""Settings that a resumed run may choose anew: they say where and how it runs, not what it
computes. The last two round otherwise, and with `compile` dropout drops other values."""


@dataclass(frozen=True)
class TrainResult:
    """What a run came to."""

    output: Path
    epochs: int
    steps: int
    seconds: float
    """Time spent training and validating, over all sittings."""
    best: Mapping[str, float]
    """Best value of each watched val figure."""
    checkpoints: Mapping[str, Path]
    """`last`, and the best by each of R1, mIoU, MoR1@0.5 and MoR1@0.7 that the model has."""
    notes: tuple[str, ...] = ()
    """Settings that ask for more than the data has."""


@dataclass(frozen=True)
class TrainingRows:
    """The training split in the order of its sampler."""

    split: SplitData
    sampler: BucketedBatches
    pinned: bool = False

    @classmethod
    def of(cls, split: SplitData, config: TrainConfig, device: torch.device) -> TrainingRows:
        """The rows of `split` for training on `device`."""
        there = split.resident(device) if config.resident else split
        sampler = split.sampler(config.batch_size, seed=config.seed)
        # Only a GPU copies from page-locked memory by itself, and only such a machine has it.
        pinned = config.pinned and not config.resident and device.type == "cuda"
        return cls(there, sampler, pinned)

    def plan(self, epoch: int) -> Sequence[Rows]:
        return self.sampler.plan(epoch)

    def batch(self, rows: Rows) -> Batch:
        batch = self.split.batch(rows)
        return batch.pinned() if self.pinned else batch


def train(
    model: str = "made",
    *,
    data: str | os.PathLike[str],
    output: str | os.PathLike[str],
    preset: str = "cpu-small",
    set: Iterable[str] = (),
    init: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Listener | None = None,
) -> TrainResult:
    """Fit `model` to the data folder `data` and keep the best checkpoints in the folder `output`.

    `preset` names settings (`paper`, `cpu-small`, `overnight`; `cpu-small+no_sa` for a row of the
    ablation table), `set` changes them (`model.hidden_dim=64`, `train.lr=1e-4`); the model takes
    features as wide as the data's. `init` names a checkpoint whose weights and network the run
    starts from, or `default`, the shipped one; its features must come from the same encoders as the
    data's. An `output` that holds anything is refused, unless `resume` is given: then the run in it
    resumes from its stored state, with the same result as an unbroken one. `progress` is
    called after each step. Raises ConfigError or DataError before any training starts.
    """
    start = None if init is None else _start(model, init)
    settings, changes = None if start is None else start.settings, (*set,)
    configure(model, preset, changes, start=settings)  # refuse wrong names before reading data
    folder = Path(output)
    source = DataFolder.open(data)
    whole = SplitData.from_folder(source, "train")
    sizes = sizes_of(whole) if start is None else widths_of(whole)
    architecture, wanted = configure(model, preset, (*sizes, *changes), start=settings)
    rows, val = _rows(source, whole, wanted)
    config = within_rows(wanted, len(rows))
    _refuse_widths(architecture, whole)
    encoders = encoders_of(source, whole)
    identity = _identity(model, architecture, config, rows, val)
    if start is not None:
        start.require(encoders)
        identity["init"] = {"weights": start.fingerprint}
    fabric = make_fabric(config)
    if fabric.is_global_zero:
        _prepare(folder, identity, resume)
    _require_same(fabric, identity, folder)
    torch.manual_seed(config.seed)
    network = registry.build(model, architecture)
    if start is not None:
        _go_on_from(start, network)
    licences = [licence_of(source)]
    if start is not None:
        licences = [*dict.fromkeys([start.licence, *licences])]

    looked_at = val.resident(fabric.device) if config.resident else val

    def save_model(path: Path, network: nn.Module, progress: TrainingProgress) -> None:
        record = {
            "train": to_dict(config),
            "rows": len(rows),
            "data": identity["data"],
            "epoch": progress.epoch,
            "step": progress.step,
            "val": progress.best.value,
            **_survey_of(start),
        }
        checkpoint.save(
            path,
            model,
            network,
            encoders,
            record=record,
            licence=" and ".join(licences),
            overwrite=True,
        )

    def logs(progress: TrainingProgress) -> list[Log]:
        return [
            CsvLog(folder / "log.csv", progress.epoch),
            TensorBoardLog(folder / "tensorboard", progress.step),
        ]

    run = Run(
        model=network,
        source=TrainingRows.of(rows, config, fabric.device),
        config=config,
        output=folder,
        validate=lambda network: protocol.run_model(network, looked_at).measures(),
        save_model=save_model,
        logs=logs,
        identity=identity,
        listener=progress,
    )
    ended = run.fit(fabric)
    paths = {name: checkpoint_path(folder, name) for name in (*KEPT, "last")}
    return TrainResult(
        output=folder,
        epochs=ended.epoch,
        steps=ended.step,
        seconds=ended.seconds,
        best=ended.best.value,
        checkpoints={name: path for name, path in paths.items() if path.exists()},
        notes=_notes(wanted, rows, val),
    )


def refuse_other_run(
    folder: Path,
    model: str,
    *,
    data: str | os.PathLike[str],
    preset: str,
    set: Iterable[str],
) -> None:
    """ConfigError naming what differs, where `train` with these arguments is not the run kept in
    `folder`.
    """
    source = DataFolder.open(data)
    whole = SplitData.from_folder(source, "train")
    architecture, config = configure(model, preset, (*sizes_of(whole), *set))
    rows, val = _rows(source, whole, config)
    config = within_rows(config, len(rows))
    try:
        then = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{shown(folder)} does not say which run it holds ({error})", "move it away"
        ) from error
    refuse_change(then, _identity(model, architecture, config, rows, val))


def _rows(source: DataFolder, whole: SplitData, config: TrainConfig) -> tuple[SplitData, SplitData]:
    """The rows of the training and of the val split that a run uses."""
    val = part_of(SplitData.from_folder(source, "val"), config.val_rows)
    return part_of(whole, config.rows, config.seed), val


def within_rows(config: TrainConfig, rows: int) -> TrainConfig:
    """`config` with a batch that so many training rows can fill, shared by its devices."""
    most = rows - rows % config.devices
    return replace(config, batch_size=most) if 0 < most < config.batch_size else config


def _notes(config: TrainConfig, rows: SplitData, val: SplitData) -> tuple[str, ...]:
    wanted = {
        "train.rows": (config.rows, "train", rows),
        "train.val_rows": (config.val_rows, "val", val),
        "train.batch_size": (config.batch_size, "train", rows),
    }
    return tuple(
        f"`{name}` {most}: the {split} split has {len(there)} rows, and all of them are used"
        for name, (most, split, there) in wanted.items()
        if most > len(there)
    )


def _survey_of(start: Checkpoint | None) -> dict[str, Any]:
    """The part of a record that says how the network is weighed against cuts and motion: fitted to
    the weights that a run starts from, it is the best guess for those it ends with."""
    kept = {} if start is None else start.record
    return {RECORD: kept[RECORD]} if RECORD in kept else {}


def _start(model: str, init: str | os.PathLike[str]) -> Checkpoint:
    """The checkpoint that a run of `model` starts from."""
    path = checkpoint_named(init)
    start = checkpoint.load(path)
    if start.name != model:
        raise ConfigError(
            f"`init` {shown(path)}: holds a model {start.name}, not {model}",
            f"train {start.name}, or give another checkpoint",
        )
    return start


def _go_on_from(start: Checkpoint, network: nn.Module) -> None:
    """Put the weights of `start` into `network`."""
    weights = start.model.state_dict()
    try:
        checkpoint.require_weights(network, weights)
    except ConfigError as error:
        raise ConfigError(
            f"`init`: {error.problem}", "with `init` the network's shape stays: leave out `set`"
        ) from None
    network.load_state_dict(weights)


def _identity(
    model: str,
    architecture: registry.Config,
    config: TrainConfig,
    rows: SplitData,
    val: SplitData,
) -> dict[str, dict[str, Any]]:
    """What makes a run the run it is, as JSON."""
    return {
        "model": {"name": model, **to_dict(architecture)},
        "train": {k: v for k, v in to_dict(config).items() if k not in MAY_CHANGE},
        "data": {"train": _digest(rows), "val": _digest(val)},
    }


def _prepare(folder: Path, identity: Mapping[str, Any], resume: bool) -> None:
    """Make the output folder, and refuse to disturb an earlier run in it."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"`output` {shown(folder)}: is a file", "name a folder")
    if folder.exists() and any(folder.iterdir()) and not resume:
        raise ConfigError(
            f"`output` {shown(folder)}: is not empty",
            "give `resume` to go on with the run in it, or name another folder",
        )
    remove_leftovers(folder)
    if not (folder / "config.json").exists():
        text = json.dumps(identity, indent=2, ensure_ascii=False)
        write_file(folder / "config.json", text + "\n", parents=True)


def _require_same(fabric: Fabric, identity: Mapping[str, Any], folder: Path) -> None:
    """Wait for the first process; raise ConfigError where another one has not what it has."""
    if fabric.broadcast(identity) != identity:
        raise ConfigError(
            f"`data`: other data or settings on {platform.node()} than in the first process",
            "start all processes by the same command, with the same files",
        )
    if not (folder / "config.json").exists():
        raise ConfigError(
            f"`output` {shown(folder)}: what the first process wrote is not seen on "
            f"{platform.node()}",
            "name a folder that every machine sees",
        )


def sizes_of(split: SplitData) -> tuple[str, ...]:
    """The settings by which a new model takes features as wide as those of `split`, and as many."""
    return (
        *widths_of(split),
        f"model.max_frames={split.frames.slots}",
        f"model.max_segments={split.segments.slots}",
        f"model.canvas_seconds={split.canvas_seconds}",
    )


def widths_of(split: SplitData) -> tuple[str, str]:
    """The settings by which a model takes features as wide as those of `split`."""
    return (f"model.frame_dim={split.frames.dim}", f"model.segment_dim={split.segments.dim}")


def _refuse_widths(architecture: registry.Config, split: SplitData) -> None:
    """Raise ConfigError where the model's inputs are not as wide and long as the features."""
    for field, value, most in (
        ("frame_dim", split.frames.dim, False),
        ("segment_dim", split.segments.dim, False),
        ("max_frames", split.frames.slots, True),
        ("max_segments", split.segments.slots, True),
        ("canvas_seconds", split.canvas_seconds, False),
    ):
        own = getattr(architecture, field)
        if own < value or (own != value and not most):
            raise ConfigError(
                f"model.{field}={own} but the features have {value}", f"`set` model.{field}={value}"
            )


def _digest(split: SplitData) -> str:
    """Changes with the rows and with the features."""
    digest = hashlib.sha256(json.dumps([split.frames.sha256, split.segments.sha256]).encode())
    for row in split.rows:
        digest.update(repr((row.video_id, row.music_id, row.music_start, row.music_end)).encode())
    return digest.hexdigest()
