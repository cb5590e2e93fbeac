"""The loop: a killed run resumes to the very same weights, and two processes equal one.

Tolerances: PyTorch adds 1e-6 to the norm it divides by, a thousandth of the limit here, in each
group.
"""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mgsv.errors import ConfigError
from mgsv.evaluation.protocol import run_model as ask
from mgsv.training.config import Precision, Schedule, TrainConfig
from mgsv.training.logs import CsvLog
from mgsv.training.loop import Run, checkpoint_path, make_fabric, products_in, seed_step
from mgsv.training.state import TrainingProgress
from subprocesses import python
from tiny_model import TinyModel, TinyPairs
from tolerances import FEW32

CONFIG = TrainConfig(epochs=4, batch_size=8, warmup=0.2, accelerator="cpu", save_seconds=0.0)


class Interrupted(Exception):
    """Stands for a kill at a chosen step."""


def a_run(output: Path, config: TrainConfig = CONFIG, stop_at: int | None = None) -> Run:
    output.mkdir(exist_ok=True)
    torch.manual_seed(config.seed)
    model, source, val = TinyModel(), TinyPairs(), TinyPairs(rows=10, seed=1)
    if stop_at is not None:
        loss, calls = model.loss, iter(range(10**6))

        def interrupted(batch, gather):
            if next(calls) == stop_at:
                raise Interrupted
            return loss(batch, gather)

        model.loss = interrupted
    return Run(
        model=model,
        source=source,
        config=config,
        output=output,
        validate=lambda m: ask(m, val).measures(),
        save_model=lambda path, m, _: save_file(m.state_dict(), path),
        logs=lambda progress: [CsvLog(output / "log.csv", progress.epoch)],
        identity={"train": {"lr": config.lr}},
    )


def fit(run: Run) -> TrainingProgress:
    return run.fit(make_fabric(run.config))


def the_same(left: Path, right: Path) -> None:
    names = sorted(p.name for p in left.iterdir())
    assert names == sorted(p.name for p in right.iterdir())
    assert "state.safetensors" in names and "best-mIoU.safetensors" in names
    for name in names:
        if name.endswith(".safetensors"):
            a, b = load_file(left / name), load_file(right / name)
            assert a.keys() == b.keys()
            assert all(torch.equal(a[k], b[k]) for k in a), name
    assert (left / "log.csv").read_bytes() == (right / "log.csv").read_bytes()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("unbroken")
    progress = fit(a_run(output))
    assert progress.finished and progress.epoch == 4 and progress.step == 12
    return output


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [0, 2, 3, 7, 11], ids=lambda step: f"step {step}")
def test_a_killed_run_resumes_to_the_same_result(unbroken: Path, tmp_path: Path, stop_at: int):
    """3 steps an epoch: the stops lie before any state, within epochs, between them, at the end."""
    with pytest.raises(Interrupted):
        fit(a_run(tmp_path, stop_at=stop_at))
    assert fit(a_run(tmp_path)).finished
    the_same(unbroken, tmp_path)


@pytest.mark.parametrize("fused", [(True, False), (False, True)], ids=["given up", "taken up"])
def test_a_run_goes_on_with_another_kind_of_update(
    unbroken: Path, tmp_path: Path, fused: tuple[bool, bool]
):
    """Both keep the same state, so weights near 1 stay equal but for a rounding or two a step."""
    before, after = (replace(CONFIG, fused=one) for one in fused)
    with pytest.raises(Interrupted):
        fit(a_run(tmp_path, before, stop_at=7))
    fit(a_run(tmp_path, after))
    mine, theirs = (load_file(checkpoint_path(one, "last")) for one in (tmp_path, unbroken))
    for name, value in theirs.items():
        torch.testing.assert_close(mine[name], value, rtol=0, atol=10 * FEW32)


def test_killed_again_and_again(unbroken: Path, tmp_path: Path):
    for _ in range(4):
        with pytest.raises(Interrupted):
            fit(a_run(tmp_path, stop_at=2))
    assert fit(a_run(tmp_path)).finished
    the_same(unbroken, tmp_path)


KILLED = """
import os, signal, sys
from pathlib import Path
from training.test_loop import a_run, fit
run = a_run(Path(sys.argv[1]))
loss, calls = run.model.loss, iter(range(100))
def killed(batch, gather):
    if next(calls) == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return loss(batch, gather)
run.model.loss = killed
fit(run)
"""


@pytest.mark.slow
def test_a_run_killed_by_the_system_resumes_to_the_same_result(unbroken: Path, tmp_path: Path):
    assert python("-c", KILLED, str(tmp_path)).returncode == -signal.SIGKILL
    assert fit(a_run(tmp_path)).finished
    the_same(unbroken, tmp_path)


def test_a_finished_run_is_left_alone(unbroken: Path):
    before = (unbroken / "state.safetensors").stat()
    assert fit(a_run(unbroken)).step == 12
    assert (unbroken / "state.safetensors").stat() == before


@pytest.mark.slow
def test_training_learns(tmp_path: Path):
    run = a_run(tmp_path, replace(CONFIG, epochs=40, lr=0.02, warmup=0.05, save_seconds=1e9))
    fit(run)
    lines = (tmp_path / "log.csv").read_text().splitlines()
    place = lines[0].split(",").index("train loss")
    losses = [float(line.split(",")[place]) for line in lines[1:]]
    assert losses[-1] < 0.7 * losses[0]


def test_another_seed_gives_another_result(unbroken: Path, tmp_path: Path):
    fit(a_run(tmp_path, replace(CONFIG, seed=1)))
    mine, theirs = (load_file(checkpoint_path(p, "last")) for p in (tmp_path, unbroken))
    assert any(not torch.equal(mine[k], theirs[k]) for k in mine)


def test_groups_are_clipped_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = a_run(tmp_path, replace(CONFIG, clip=1e-3))
    norms: list[list[float]] = []
    step = torch.optim.AdamW.step

    def noted(self, *args, **kwargs):
        norms.append(
            [
                torch.stack([p.grad.norm() for p in group["params"]]).norm().item()
                for group in self.param_groups
            ]
        )
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    fit(run)
    # All three are cut to the limit: clipped together, their squares would add up to its square.
    assert norms[0] == pytest.approx([1e-3] * 3, rel=1e-2)


def test_the_embedding_has_a_rate_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rates, step = [], torch.optim.AdamW.step

    def noted(self, *args, **kwargs):
        rates.append({group["name"]: group["lr"] for group in self.param_groups})
        return step(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    fit(a_run(tmp_path / "run", replace(CONFIG, embedding_rate=0.25)))
    assert len(rates) == 12 and max(at["detection"] for at in rates) > 0
    for at in rates:
        assert at["embedding"] == 0.25 * at["detection"] and at["matching"] == at["detection"]


def test_going_on_with_other_settings_is_refused(tmp_path: Path):
    with pytest.raises(Interrupted):
        fit(a_run(tmp_path, stop_at=2))
    with pytest.raises(
        ConfigError, match=r"train\.lr is 0\.1 but the run was started with 0\.0003"
    ):
        fit(a_run(tmp_path, replace(CONFIG, lr=0.1)))


@pytest.mark.parametrize("damage", ["cut", "pickle", "other"])
def test_a_damaged_state_is_named(tmp_path: Path, damage: str):
    with pytest.raises(Interrupted):
        fit(a_run(tmp_path, stop_at=2))
    path = tmp_path / "state.safetensors"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif damage == "pickle":
        torch.save({"weights": torch.zeros(2)}, path)
    else:
        save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(ConfigError, match=r"state\.safetensors is not the state of a training run"):
        fit(a_run(tmp_path))


def test_a_loss_that_is_not_a_number_ends_the_run(tmp_path: Path):
    run = a_run(tmp_path)
    with torch.no_grad():
        run.model.temperature.fill_(float("nan"))
    with pytest.raises(ConfigError, match="not a number"):
        fit(run)


def test_a_training_set_smaller_than_a_batch_is_refused(tmp_path: Path):
    run = a_run(tmp_path)
    run.source.batch_size = 100
    with pytest.raises(ConfigError, match=r"train\.batch_size"):
        fit(run)


@pytest.mark.slow
@pytest.mark.parametrize("precision", [Precision.BF16, Precision.FP16, Precision.TF32])
def test_mixed_precision_trains_and_resumes(tmp_path: Path, precision: Precision):
    config = replace(CONFIG, precision=precision)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    fit(a_run(whole, config))
    with pytest.raises(Interrupted):
        fit(a_run(broken, config, stop_at=5))
    fit(a_run(broken, config))
    the_same(whole, broken)


def test_each_step_and_process_draws_its_own_numbers():
    def drawn(seed: int, step: int, rank: int) -> float:
        seed_step(seed, step, rank)
        return torch.rand(()).item()

    draws = {drawn(*key) for key in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]}
    assert len(draws) == 4
    assert drawn(0, 1, 0) == drawn(0, 1, 0)


def test_a_killed_run_with_decay_and_steps_resumes_to_the_same_result(tmp_path: Path):
    own = replace(
        CONFIG,
        schedule=Schedule.STEPS,
        drop_every=2,
        weight_decay=0.1,
        decay_vectors=False,
        epsilon=1e-6,
        clip=0.0,
    )
    fit(a_run(tmp_path / "whole", own))
    with pytest.raises(Interrupted):
        fit(a_run(tmp_path / "broken", own, stop_at=7))
    fit(a_run(tmp_path / "broken", own))
    the_same(tmp_path / "whole", tmp_path / "broken")


@pytest.mark.parametrize("precision", [Precision.TF32, Precision.FULL])
def test_how_matrices_are_multiplied_ends_with_the_run(precision: Precision):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with products_in(precision):
            inside = torch.get_float32_matmul_precision()
        after = torch.get_float32_matmul_precision()
    finally:
        torch.set_float32_matmul_precision(before)
    assert (inside, after) == ("high" if precision is Precision.TF32 else "highest", "medium")
