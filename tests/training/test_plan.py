"""What a table of trainings will take: counted, measured, and held against trainings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from mgsv.models.registry import systems
from mgsv.training import plan as planning
from mgsv.training.fit import train
from mgsv.training.table import plan_table
from planted_small import planted
from subprocesses import mgsv_here


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted(tmp_path_factory.mktemp("data") / "planted")


@pytest.mark.slow
def test_every_system_is_planned_and_nothing_written(data: Path, tmp_path: Path) -> None:
    plan = plan_table(data=data, output=tmp_path / "a" / "out", preset="tiny")
    composite = 1
    assert len(plan.runs) == len([*systems()]) - composite
    assert all(run.seconds > 0 and run.memory > run.disk / 10 for run in plan.runs)
    assert not plan.problems and not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_it_is_what_a_training_does(data: Path, tmp_path: Path) -> None:
    settings = ("train.epochs=2", "train.min_epochs=0")
    done = train("moment_detr", data=data, output=tmp_path / "run", preset="tiny", set=settings)
    (run,) = plan_table(
        data=data, output=tmp_path, preset="tiny", models=["moment_detr"], set=settings
    ).runs
    assert run.steps * run.epochs == done.steps
    written = sum(path.stat().st_size for path in (tmp_path / "run").glob("*.safetensors"))
    # Names and records are 10 kB a file beside the weights of so small a network.
    assert written / 2 < run.disk + 6 * 10_000 and run.disk < 2 * written


def test_what_is_kept_is_counted_once_and_without_weights() -> None:
    network = nn.Linear(8, 4, bias=False)
    values = torch.rand(16, 8, requires_grad=True)
    with planning._Kept(network) as saved:
        (network(values).square() + network(values)).sum()
    # The input, shared by both products, and the square's own operand.
    assert saved.bytes == 4 * (16 * 8 + 16 * 4)


@pytest.mark.slow
def test_what_is_missing_is_said(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "_free_memory", lambda _: 1000.0)
    words = ("reproduce", "table", "--data", data, "--output", tmp_path / "out", "--dry-run")
    words += ("--preset", "tiny", "--models", "mvpt,made", "--set", "made.train.batch_size=9999")
    done = mgsv_here(*words)
    assert done.returncode == 1 and "Moment" not in done.stdout
    assert "mvpt: a step needs 0.0 GB of memory" in done.stdout
    document = json.loads(mgsv_here(*words, "--json").stdout)
    assert document["schema"] == planning.SCHEMA and len(document["problems"]) == 2
    assert {run["name"]: run["batch_size"] for run in document["runs"]} == {"mvpt": 16, "made": 40}
    assert not (tmp_path / "out").exists()
