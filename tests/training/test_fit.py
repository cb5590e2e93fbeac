"""`train` and the lists of runs, from a planted data folder to checkpoints, tables and pages.

Tolerances: two processes add the same gradients in another order, and X-Pool's folded products
differ with the rows at hand: 1e-3 of a running mean, or 1e-7, which is rounding of gradients near
1.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mgsv.config import to_dict
from mgsv.errors import ConfigError, EncoderMismatch
from mgsv.evaluation.evaluate import evaluate
from mgsv.jobs import Cancelled, Job, Progress
from mgsv.models import checkpoint
from mgsv.models.configs import ABLATIONS, MadeConfig
from mgsv.training import fit
from mgsv.training.config import PRESETS, TrainConfig, configure
from mgsv.training.loop import Loss, make_fabric
from mgsv.training.reproduce import PAPER, reproduce_ablations, reproduce_data_size
from planted_small import TINY, planted
from subprocesses import python


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted(tmp_path_factory.mktemp("data") / "planted")


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> fit.TrainResult:
    return fit.train(data=data, output=tmp_path_factory.mktemp("run") / "out", set=TINY)


@pytest.mark.slow
def test_a_run_leaves_checkpoints_logs_and_its_settings(trained: fit.TrainResult):
    assert trained.epochs == 2 and trained.steps == 4
    assert set(trained.checkpoints) == {"R1", "mIoU", "MoR1@0.5", "MoR1@0.7", "last"} & {
        *trained.checkpoints
    }
    assert {"mIoU", "R1", "last"} <= set(trained.checkpoints)
    settings = json.loads((trained.output / "config.json").read_text())
    assert settings["model"]["hidden_dim"] == 8 and settings["train"]["epochs"] == 2
    assert len((trained.output / "log.csv").read_text().splitlines()) == 3
    assert list((trained.output / "tensorboard").iterdir())


def test_a_small_split_is_used_whole_and_that_is_said(data: Path, tmp_path: Path):
    """As `cpu-small` asks for 500 val rows of a data set of a person's own."""
    more = ("train.val_rows=500", "train.rows=1000", "train.batch_size=64", "train.epochs=1")
    done = fit.train(data=data, output=tmp_path / "out", set=(*TINY, *more))
    assert [note.split(":")[0] for note in done.notes] == [
        "`train.rows` 1000",
        "`train.val_rows` 500",
        "`train.batch_size` 64",
    ]
    assert "the train split has 40 rows" in done.notes[0]
    assert (done.epochs, done.steps) == (1, 1)
    again = fit.train(data=data, output=tmp_path / "out", set=(*TINY, *more), resume=True)
    assert again == done


@pytest.mark.parametrize(
    ("rows", "devices", "batch"), [(100, 1, 64), (64, 1, 64), (50, 1, 50), (51, 2, 50), (1, 2, 64)]
)
def test_a_batch_is_one_that_the_rows_can_fill(rows: int, devices: int, batch: int):
    """A device without a row could take no step: that is refused as before."""
    config = TrainConfig(batch_size=64, devices=devices)
    assert fit.within_rows(config, rows).batch_size == batch


def test_a_checkpoint_says_where_it_comes_from(trained: fit.TrainResult):
    loaded = checkpoint.load(trained.checkpoints["last"])
    assert loaded.record["train"]["batch_size"] == 16
    assert (loaded.record["rows"], loaded.record["epoch"]) == (40, 2)
    assert loaded.encoders.video.name == "planted-frames"
    assert loaded.licence == "Apache-2.0"
    assert str(trained.output.parent) not in json.dumps(loaded.record)


def test_an_earlier_run_is_never_overwritten(data: Path, trained: fit.TrainResult):
    before = {p: p.stat().st_mtime_ns for p in trained.output.rglob("*")}
    with pytest.raises(ConfigError, match=r"is not empty.*`resume`"):
        fit.train(data=data, output=trained.output, set=TINY)
    assert {p: p.stat().st_mtime_ns for p in trained.output.rglob("*")} == before


def test_resuming_a_finished_run_gives_its_result(data: Path, trained: fit.TrainResult):
    assert fit.train(data=data, output=trained.output, set=TINY, resume=True) == trained


@pytest.mark.parametrize(
    ("changes", "named"),
    [(("model.hidden_dim=16",), "model.hidden_dim"), (("train.lr=1",), "train.lr")],
)
def test_resuming_with_other_settings_is_refused(
    data: Path, trained: fit.TrainResult, changes: tuple[str, ...], named: str
):
    with pytest.raises(ConfigError, match=named.replace(".", r"\.")):
        fit.train(data=data, output=trained.output, set=(*TINY, *changes), resume=True)


def test_resuming_on_other_data_is_refused(tmp_path: Path, trained: fit.TrainResult):
    other = planted(tmp_path / "other", seed=1)
    with pytest.raises(ConfigError, match=r"data\.train"):
        fit.train(data=other, output=trained.output, set=TINY, resume=True)


class Interrupted(Exception):
    """Stands for a kill."""


@pytest.mark.slow
def test_a_real_model_killed_in_an_epoch_ends_bit_equal(
    data: Path, trained: fit.TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    often = (*TINY, "train.save_seconds=0")
    forward, calls = Loss.forward, iter(range(10**6))

    def killed(self, batch):
        if next(calls) == 3:
            raise Interrupted
        return forward(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Loss, "forward", killed)
        with pytest.raises(Interrupted):
            fit.train(data=data, output=tmp_path / "out", set=often)
    again = fit.train(data=data, output=tmp_path / "out", set=often, resume=True)
    assert again.best == trained.best
    for name, path in trained.checkpoints.items():
        mine, theirs = load_file(again.checkpoints[name]), load_file(path)
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs), name
    last = [checkpoint.load(run.checkpoints["last"]).record for run in (trained, again)]
    assert json.dumps(last[0]["val"]) == json.dumps(last[1]["val"])  # in the same order
    logs = [(run.output / "log.csv").read_text() for run in (trained, again)]
    assert logs[0] == logs[1]


@pytest.mark.parametrize(
    "how", [("prefetch=3",), ("resident=true",), ("pinned=true", "prefetch=2")], ids=" ".join
)
def test_how_batches_are_read_changes_nothing(
    data: Path, trained: fit.TrainResult, tmp_path: Path, how: tuple[str, ...]
):
    """On a processor, where page-locked memory is of no use and is not taken."""
    changes = (*TINY, *(f"train.{one}" for one in how))
    done = fit.train(data=data, output=tmp_path / "out", set=changes)
    mine, theirs = (load_file(run.checkpoints["last"]) for run in (done, trained))
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


@pytest.mark.slow
def test_a_cancelled_run_resumes_to_the_same_result(
    data: Path, trained: fit.TrainResult, tmp_path: Path
):
    steps: list[Progress] = []

    def cancel_after_three(step: Progress) -> None:
        steps.append(step)
        if len(steps) == 3:
            job.cancel()

    job = Job(cancel_after_three)
    with pytest.raises(Cancelled):
        fit.train(data=data, output=tmp_path / "out", set=TINY, progress=job.report)
    assert [(step.done, step.total) for step in steps] == [(1, 4), (2, 4), (3, 4)]
    again = fit.train(data=data, output=tmp_path / "out", set=TINY, resume=True)
    assert again.best == trained.best


def test_features_of_another_width_are_refused_before_training(data: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"model\.frame_dim=64 but the features have 512"):
        fit.train(data=data, output=tmp_path / "out", set=(*TINY, "model.frame_dim=64"))
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_refuses_features_of_another_recipe(tmp_path: Path, trained: fit.TrainResult):
    other = planted(tmp_path / "other", seed=1)
    with pytest.raises(EncoderMismatch):
        evaluate(trained.checkpoints["last"], other)


@pytest.mark.slow
def test_evaluation_reports_all_there_is(data: Path, trained: fit.TrainResult, tmp_path: Path):
    # What an evaluation leaves that is killed before its page is written.
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "results.jsonl").write_text("{}\n")
    (tmp_path / "report" / f".mgsv-{'0' * 16}.part").write_text("{")
    document = evaluate(trained.checkpoints["mIoU"], data, "val", report=tmp_path / "report")
    # What training saw on val is what evaluation sees there.
    assert document["measures"]["mIoU"] == pytest.approx(trained.best["mIoU"], abs=1e-6)
    assert set(document["baselines"]) >= {"start 0", "whole track", "position prior", "oracle"}
    assert (
        document["shuffled"].keys() == document["measures"].keys() == document["intervals"].keys()
    )
    assert json.loads((tmp_path / "report" / "evaluation.json").read_text()) == document
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        *("evaluation.json", "results.jsonl", "index.html")
    }
    page = (tmp_path / "report" / "index.html").read_text()
    assert page.count("data:image/") == 5
    assert "http://" not in page and "https://" not in page and 'src="/' not in page
    with pytest.raises(ConfigError, match="is not empty"):
        evaluate(trained.checkpoints["mIoU"], data, "val", report=tmp_path / "report")


SPREAD = """
import json, sys
from mgsv.training.fit import train
train(**json.loads(sys.argv[1]))
"""


@pytest.mark.thorough
def test_two_processes_equal_one_that_sees_the_joint_batch(data: Path, tmp_path: Path):
    """The retrieval loss couples all rows of a batch: right only if negatives are shared."""
    script = tmp_path / "spread.py"
    script.write_text(SPREAD)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    # No dropout, which every process draws for itself.
    still = [f"model.{name}dropout=0" for name in ("", "embedding_", "pool_")]
    for count in (1, 2):
        changes = [*TINY, *still, "train.epochs=1", "train.warmup=0", f"train.devices={count}"]
        arguments = {"data": str(data), "output": str(tmp_path / str(count)), "set": changes}
        done = python(*launch[: 4 * (count - 1)], str(script), json.dumps(arguments))
        assert done.returncode == 0, done.stderr[-3000:]
    one, two = (load_file(tmp_path / n / "state.safetensors") for n in ("1", "2"))
    # Adam's running means of the gradients, and not the weights: it moves a weight whose true
    # gradient is 0 (X-Pool's key bias) by the sign of its rounding error.
    gradients = [name for name in one if name.endswith("exp_avg")]
    assert len(gradients) > 50
    for name in gradients:
        torch.testing.assert_close(one[name], two[name], rtol=1e-3, atol=1e-7, msg=name)
    assert (tmp_path / "1" / "config.json").read_text() == (
        tmp_path / "2" / "config.json"
    ).read_text()


@pytest.mark.thorough
@pytest.mark.parametrize("other", ["nothing", "data", "output"])
def test_machines_train_together_or_say_what_differs(
    data: Path, tmp_path: Path, other: str
) -> None:
    """Two of torchrun's nodes. What lies below /proc/self/cwd is another folder for each."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    elsewhere = planted(tmp_path / "elsewhere", seed=1) if other == "data" else data
    started = []
    for rank, its_data in enumerate((data, elsewhere)):
        home = tmp_path / f"home{rank}"
        home.mkdir()
        output = Path("/proc/self/cwd/run") if other == "output" else tmp_path / "run"
        words = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
        words += [f"--node-rank={rank}", "--master-addr=127.0.0.1", f"--master-port={port}"]
        words += ["-m", "mgsv", "train", "made", "--data", str(its_data), "--output", str(output)]
        words += [word for change in (*TINY, "train.epochs=1") for word in ("--set", change)]
        started.append(
            subprocess.Popen(
                [sys.executable, *words],
                cwd=home,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    errors = [process.communicate(timeout=400)[1] for process in started]
    if other == "nothing":
        assert [process.returncode for process in started] == [0, 0], errors
        assert (tmp_path / "run/last.safetensors").exists()
    else:
        assert all(process.returncode for process in started)
        (line,) = [line for line in errors[1].splitlines() if line.startswith("mgsv:")]
        assert platform.node() in line
        assert ("other data or settings on" if other == "data" else "is not seen on") in line


def test_a_batch_that_processes_cannot_share(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORCHELASTIC_RUN_ID", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, {"WORLD_SIZE": "3"}.get(name, "1"))
    _, config = configure("made", "tiny", ("train.batch_size=16",))
    with pytest.raises(ConfigError, match=r"batch_size=16 cannot be shared by 3 processes"):
        make_fabric(config)


# Settings


def test_the_paper_preset_is_the_papers():
    model, config = configure("made", "paper")
    assert model == MadeConfig()
    assert (config.lr, config.batch_size, config.epochs, config.warmup) == (3e-4, 512, 100, 0.02)
    assert (config.clip, config.min_epochs, config.patience, config.seed) == (1.0, 60, 20, 42)


@pytest.mark.sampled
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("row", ABLATIONS)
def test_every_preset_has_every_row_of_the_table(preset: str, row: str):
    plain, config = configure("made", preset)
    model, same = configure("made", f"{preset}+{row}")
    changed = {f.name for f in fields(plain) if getattr(plain, f.name) != getattr(model, f.name)}
    assert changed == set(ABLATIONS[row]) and same == config


@pytest.mark.parametrize(
    ("preset", "changes", "text"),
    [
        ("fast", (), "no such preset"),
        ("paper+nothing", (), "no such row"),
        ("paper", ("train.learning_rate=1",), r"train\.learning_rate"),
        ("paper", ("train.epochs=0",), r"train\.epochs=0 is below 1"),
        ("paper", ("train.lr=fast",), r"train\.lr"),
        ("paper", ("train.devices=3",), r"train\.devices"),
    ],
)
def test_settings_that_make_no_sense_are_named(preset: str, changes: tuple[str, ...], text: str):
    with pytest.raises(ConfigError, match=text):
        configure("made", preset, changes)


def test_every_field_of_the_settings_is_explained():
    assert all(field.metadata["doc"].endswith(".") for field in fields(TrainConfig))


# Lists of runs


def test_the_papers_rows_are_the_models_rows():
    assert list(PAPER) == list(ABLATIONS)


@pytest.mark.slow
def test_the_ablation_list_is_made_row_by_row(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    arguments = {"data": data, "output": tmp_path, "set": TINY}
    first = reproduce_ablations(rows=["full", "dual_only"], **arguments)
    assert [row["number"] for row in first] == [0, 3]
    assert first[1]["paper"] == {"mIoU": 0.708, "MoR1": 7.1, "MoR10": 15.8, "MoR100": 29.1}
    trained: list[str] = []
    train = fit.train
    monkeypatch.setattr(
        "mgsv.training.runs.train", lambda *a, **k: (trained.append(k["preset"]), train(*a, **k))[1]
    )
    rows = reproduce_ablations(rows=["full", "dual_only", "no_encoder"], **arguments)
    assert trained == ["cpu-ablation+no_encoder"]  # what was measured is not made again
    assert rows[:2] == first
    assert json.loads((tmp_path / "ablations.json").read_text()) == rows
    text = (tmp_path / "ablations.txt").read_text().splitlines()
    assert text[0].split()[:2] == ["#", "setup"] and len(text) == 6
    assert "0.722" in text[1] and f"{rows[0]['ours']['mIoU']:.3f}" in text[1]
    with pytest.raises(ConfigError, match=r"train\.lr is 0\.5"):
        reproduce_ablations(data=data, output=tmp_path, set=(*TINY, "train.lr=0.5"))


@pytest.mark.slow
def test_the_data_size_curve_takes_parts_of_the_rows(data: Path, tmp_path: Path):
    rows = reproduce_data_size(data=data, output=tmp_path, shares=(0.5, 1.0), set=TINY)
    assert [(row["rows"], row["epochs"]) for row in rows] == [(20, 4), (40, 2)]
    assert (tmp_path / "data-size.html").read_text().count("data:image/svg") == 1


def test_the_first_rows_and_drawn_rows(data: Path):
    from mgsv.data.dataset import SplitData
    from mgsv.evaluation.sources import part_of

    split = SplitData.open(data, "train")
    assert part_of(split, 5).rows.video_ids == split.rows.video_ids[:5]
    drawn = part_of(split, 5, seed=1).rows.video_ids
    assert len(set(drawn)) == 5 and drawn != split.rows.video_ids[:5]
    assert drawn == part_of(split, 5, seed=1).rows.video_ids
    assert part_of(split, 41) is split and len(split) == 40, "there are no more"


def test_settings_survive_the_checkpoint(trained: fit.TrainResult):
    loaded = checkpoint.load(trained.checkpoints["last"])
    _, config = configure("made", "cpu-small", TINY)
    assert loaded.record["train"] == to_dict(config)
    assert replace(config) == config


def test_a_run_may_start_from_another_ones_weights(
    data: Path, trained: fit.TrainResult, tmp_path: Path
):
    """A rate that is all but zero leaves the weights, and the preset does not change the shape."""
    last = trained.checkpoints["last"]
    still = ("train.epochs=1", "train.lr=1e-12", "train.batch_size=16", "train.val_rows=0")
    result = fit.train(data=data, output=tmp_path / "on", preset="tiny", set=still, init=last)
    before, after = load_file(last), load_file(result.checkpoints["last"])
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    with pytest.raises(ConfigError, match="but the run was started with"):
        fit.train(data=data, output=tmp_path / "on", preset="tiny", set=still, resume=True)
    wider = (*still, "model.hidden_dim=16")
    with pytest.raises(ConfigError, match=r"`init`: .* the config says .*leave out `set`"):
        fit.train(data=data, output=tmp_path / "no", preset="tiny", set=wider, init=last)
    with pytest.raises(ConfigError, match="holds a model made, not mvpt"):
        fit.train("mvpt", data=data, output=tmp_path / "no", preset="tiny", init=last)


def test_a_run_starts_only_from_weights_of_its_own_encoders(
    trained: fit.TrainResult, tmp_path: Path
):
    other = planted(tmp_path / "other", seed=9)
    with pytest.raises(EncoderMismatch, match="the model was made for video features"):
        fit.train(
            data=other, output=tmp_path / "no", set=TINY[-5:], init=trained.checkpoints["last"]
        )
    assert not (tmp_path / "no").exists()
