"""The commands of research on tiny planted data: the whole way, and bad input."""

from __future__ import annotations

import inspect
import json
import pickle
import shutil
import signal
import subprocess
import sys
import time
import typing
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import click
import pytest
import torch
from safetensors.torch import load_file

from mgsv.annotate import annotate
from mgsv.cli import app
from mgsv.data import annotations, check, download, pack, stats
from mgsv.data.folder import FEATURE_FOLDER
from mgsv.evaluation.evaluate import evaluate
from mgsv.extract import extract
from mgsv.memory.fusion import Fusion
from mgsv.models import authors
from mgsv.synthesis import composed
from mgsv.synthesis import planted as planted_data
from mgsv.training import fit, reproduce, table
from planted_small import TINY
from subprocesses import mgsv_here as mgsv

SIZE = {"train": 64, "val": 16, "test": 16, "tracks": 20}
MACHINE = ("--progress", "machine")
SET = [word for change in TINY for word in ("--set", change)]
Edit = Callable[[Path], object]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Annotations, feature files and packed stores, planted by the command."""
    folder = tmp_path_factory.mktemp("data") / "planted"
    sizes = [word for name, rows in SIZE.items() for word in (f"--{name}", str(rows))]
    done = mgsv("data", "plant", folder, "--files", *sizes)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    done = mgsv("train", "made", "--data", data, "--output", folder, *SET, "--json", *MACHINE)
    assert done.returncode == 0, done.stderr
    steps = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    document = json.loads(done.stdout)
    assert (document["schema"], document["epochs"]) == ("mgsv.training/1", 2)
    assert [step["done"] for step in steps] == [*range(1, document["steps"] + 1)]
    assert {(step["event"], step["total"]) for step in steps} == {("train", document["steps"])}
    assert steps[0]["what"] == "epoch 1" and steps[-1]["what"].startswith("epoch 2, mIoU 0.")
    assert document["checkpoints"]["last"] == str(folder / "last.safetensors")
    return folder


@pytest.fixture
def copy(data: Path, tmp_path: Path) -> Path:
    shutil.copytree(data, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.parametrize(
    ("command", "function"),
    [
        ("annotate", annotate),
        ("data download", download.download),
        ("data plant", planted_data.plant),
        ("data compose", composed.compose),
        ("data check", check.check_folder),
        ("data pack", pack.pack),
        ("data stats", stats.stats),
        ("extract", extract),
        ("train", fit.train),
        ("evaluate", evaluate),
        ("reproduce ablations", reproduce.reproduce_ablations),
        ("reproduce data-size", reproduce.reproduce_data_size),
        ("reproduce table", table.reproduce_table),
        ("import", authors.import_checkpoint),
    ],
)
def test_the_command_is_the_function(command: str, function: Callable[..., object]) -> None:
    parsed = found(command)
    needed = [p for p in parsed.params if p.required]
    words = [w for p in needed for w in (*p.opts[: isinstance(p, click.Option)], "x")]
    offered = parsed.make_context(command, words).params
    for name, default in flattened(function):
        assert name in offered, name
        if default is inspect.Parameter.empty or (name, offered[name]) in (
            ("rows", ()),
            ("models", ()),
        ):
            continue  # none is all of them
        assert offered[name] == default, name


def flattened(function: Callable[..., object]) -> Iterator[tuple[str, object]]:
    """(name, default) of the parameters of `function`, and of the fields of its options."""
    for name, parameter in inspect.signature(function).parameters.items():
        if name in ("progress", "system", "executor"):
            continue  # how progress looks is the command's own; the others are other flags
        kind = typing.get_type_hints(function)[name]
        (kind, *_) = [k for k in typing.get_args(kind) if k is not type(None)] or [kind]
        if is_dataclass(kind):
            for field in inspect.signature(kind).parameters.values():  # type: ignore[arg-type]
                if field.name != "executor":
                    yield field.name, field.default
        else:
            yield name, parameter.default


@pytest.mark.parametrize(
    ("name", "recipe", "words"),
    [
        ("plant", planted_data.PlantOptions(), ["x"]),
        ("compose", composed.ComposeOptions(), ["x", "--music", "m", "--pictures", "p"]),
    ],
)
def test_a_command_offers_every_option_of_its_recipe(
    name: str, recipe: planted_data.PlantOptions | composed.ComposeOptions, words: list[str]
) -> None:
    offered = found(f"data {name}").make_context(name, words).params
    for field in fields(recipe):
        assert offered[field.name] == getattr(recipe, field.name)


def found(command: str) -> click.Command:
    group: click.Command = app
    for word in command.split():
        assert isinstance(group, click.Group)
        group = group.commands[word]
    return group


def test_a_planted_folder_is_sound_and_described(data: Path) -> None:
    done = mgsv("data", "check", data, "--json")
    assert done.returncode == 0, done.stdout
    document = json.loads(done.stdout)
    assert document["problems"] == []
    assert (document["rows"], document["files"], document["stores"]) == (96, 116, 2)
    done = mgsv("data", "stats", data, "--json")
    rows = {row["split"]: row["videos"] for row in json.loads(done.stdout)["splits"]}
    assert rows == {"train": 64, "val": 16, "test": 16, "all": 96}


def test_packing_again_makes_what_planting_packed(copy: Path) -> None:
    before = {path.name: path.read_bytes() for path in (copy / "packed/frames").iterdir()}
    shutil.move(copy / "packed", copy / "first")
    done = mgsv("data", "pack", copy, "--progress", "machine")
    assert done.returncode == 0, done.stderr
    steps = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [step["done"] for step in steps if step["what"] == "frames"] == [*range(1, 97)]
    store = copy / "packed/frames"
    assert store.joinpath("features.f32").stat().st_size == len(before["features.f32"])
    again = mgsv("data", "pack", copy)
    assert again.returncode == 0


@pytest.mark.slow
def test_a_checkpoint_is_measured_and_reported(data: Path, run: Path, tmp_path: Path) -> None:
    arguments = ("evaluate", run / "best-mIoU.safetensors", "--data", data)
    done = mgsv(*arguments, "--json", "--report", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == "mgsv.evaluation/1"
    assert (document["split"], document["queries"]) == ("test", 16)
    assert (tmp_path / "report" / "index.html").exists()
    table = mgsv(*arguments, "--single-music")
    assert f"{document['measures']['mIoU']:.3f}" in table.stdout and "MRR" not in table.stdout
    refused = mgsv(*arguments, "--report", tmp_path / "report")
    assert_refused(refused, "--report", "is not empty")


@pytest.mark.slow
def test_a_checkpoint_is_measured_beside_and_fused_with_past_uses(
    data: Path, run: Path, tmp_path: Path
) -> None:
    (uses,) = data.rglob("train_data.csv")
    arguments = ("evaluate", run / "best-mIoU.safetensors", "--data", data, "--uses", uses)
    done = mgsv(*arguments, "--fusion", tmp_path / "fusion.json", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    whole, *parts = document["memory"]["parts"]
    assert whole["methods"]["model"]["measures"]["mIoU"] == document["measures"]["mIoU"]
    assert [*whole["methods"]] == ["memory", "model", "fused"]
    assert sum(part["queries"] for part in parts) == 16
    assert Fusion.load(tmp_path / "fusion.json").rows == 16
    assert_refused(mgsv(*arguments, "--split", "val"), "--split val", "fitted on val")


def test_the_settings_of_a_preset_are_listed() -> None:
    done = mgsv("train", "--settings", "--preset", "paper", "--set", "train.lr=0.5")
    assert done.returncode == 0, done.stderr
    values = dict(line.split()[0].split("=", 1) for line in done.stdout.splitlines())
    assert values["train.lr"] == "0.5" and values["model.hidden_dim"] == "256"


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on_and_the_end_is_that_of_an_unbroken_run(
    data: Path, tmp_path: Path
) -> None:
    more = [*SET, "--set", "train.epochs=10"]
    whole = mgsv("train", "--data", data, "--output", tmp_path / "whole", *more)
    assert whole.returncode == 0, whole.stderr
    command = [sys.executable, "-m", "mgsv", "train", "--data", str(data), *more]
    command += ["--output", str(tmp_path / "broken"), "--set", "train.save_seconds=0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    last = tmp_path / "broken" / "last.safetensors"
    until = time.monotonic() + 60
    while not last.exists() and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "--resume" in errors and "Traceback" not in errors
    again = mgsv("train", "--data", data, "--output", tmp_path / "broken", *more, "--resume")
    assert again.returncode == 0, again.stderr
    ours, theirs = load_file(last), load_file(tmp_path / "whole" / "last.safetensors")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.slow
def test_the_papers_lists_are_made(data: Path, tmp_path: Path) -> None:
    common = ("--data", data, "--output", tmp_path, *SET, "--json")
    done = mgsv("reproduce", "ablations", *common, "--rows", "full", "--rows", "query_zero")
    assert done.returncode == 0, done.stderr
    assert [row["name"] for row in json.loads(done.stdout)["rows"]] == ["full", "query_zero"]
    done = mgsv("reproduce", "data-size", *common, "--shares", "0.5", "--shares", "1")
    assert done.returncode == 0, done.stderr
    assert [row["rows"] for row in json.loads(done.stdout)["rows"]] == [32, 64]


# Bad input


def test_everything_wrong_with_a_folder_is_named_at_once(copy: Path) -> None:
    features = copy / FEATURE_FOLDER / "vit_feature1" / "vit_feature"
    names = sorted(path.name for path in features.iterdir())
    spoiled = torch.load(features / names[3], weights_only=True)
    spoiled[0, 0] = torch.nan
    torch.save(torch.zeros(50, 511), features / names[0])
    torch.save(torch.zeros(50, 512, dtype=torch.float64), features / names[1])
    (features / names[2]).unlink()
    torch.save(spoiled, features / names[3])
    (features / names[4]).write_bytes((features / names[4]).read_bytes()[:1000])
    edit_row(copy, "train", 0, music_end="0")
    edit_row(copy, "train", 1, video_id="../x")
    edit_row(copy, "train", 2, music_end="999")
    (copy / "dataset/MGSV-EC/val_data.csv").write_bytes(b"")
    (copy / "dataset/MGSV-EC/test_data.csv").write_bytes("vidéo".encode("latin-1"))
    done = mgsv("data", "check", copy)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    lines = done.stdout.splitlines()
    for file, text in (
        (names[0], "shape [50, 511], expected [50, 512]"),
        (names[1], "dtype torch.float64"),
        (names[2], "missing"),
        (names[3], "NaN or infinite value in row 0"),
        (names[4], "truncated or damaged"),
        ("train_data.csv", "line 2, music_end: 0.0 is not after"),
        ("train_data.csv", "line 3, video_id"),
        ("train_data.csv", "line 4, music_end: 999.0 is past the track's"),
        ("val_data.csv", "the file is empty"),
        ("test_data.csv", "line 1: not UTF-8 text (byte 0xe9)"),
    ):
        assert any(file in line and text in line for line in lines), (file, text)
    assert len(lines) == 10
    shutil.rmtree(copy / "packed")
    assert_refused(mgsv("data", "pack", copy), names[0], "shape [50, 511]")
    assert not list((copy / "packed").iterdir())


def test_bad_rows_stop_a_run_before_it_starts(copy: Path, tmp_path: Path) -> None:
    path = copy / "dataset/MGSV-EC/train_data.csv"
    path.write_text(path.read_text() + path.read_text().splitlines()[1] + "\n")
    output = tmp_path / "out"
    done = mgsv("train", "--data", copy, "--output", output, *SET)
    assert_refused(done, "train_data.csv", "line 66, video_id", "already stands in line 2")
    assert not output.exists()


def test_missing_and_changed_stores_stop_a_run_before_it_starts(copy: Path, tmp_path: Path) -> None:
    arguments = ("train", "--data", copy, "--output", tmp_path / "out", *SET)
    store = copy / "packed" / "frames" / "features.f32"
    store.write_bytes(store.read_bytes()[:-4])
    assert_refused(mgsv(*arguments), "features.f32", "mgsv data pack")
    shutil.rmtree(copy / "packed")
    assert_refused(mgsv(*arguments), "frames", "mgsv data pack")
    assert not (tmp_path / "out").exists()


def test_nothing_of_an_earlier_run_is_overwritten(data: Path, run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    done = mgsv("train", "--data", data, "--output", run, *SET)
    assert_refused(done, "--output", "--resume")
    planted_again = mgsv("data", "plant", data, "--train", "1", "--val", "1", "--test", "1")
    assert_refused(planted_again, "exists already")
    imported = mgsv("import", run / "last.safetensors", run / "best-R1.safetensors")
    assert imported.returncode == 1
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


class Code:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.marker,)


def test_bad_checkpoints_are_named(data: Path, run: Path, tmp_path: Path) -> None:
    whole = (run / "last.safetensors").read_bytes()
    broken, evil = tmp_path / "broken.safetensors", tmp_path / "evil.bin"
    broken.write_bytes(whole[: len(whole) // 2])
    evil.write_bytes(pickle.dumps(Code(tmp_path / "ran")))
    for path, text in ((broken, "truncated"), (evil, "not a checkpoint"), (data, "checkpoint")):
        assert_refused(mgsv("evaluate", path, "--data", data), path.name, text)
    refused = mgsv("import", evil, tmp_path / "ours.safetensors")
    assert_refused(refused, "evil.bin", "not a checkpoint of plain tensors")
    assert not (tmp_path / "ran").exists() and not (tmp_path / "ours.safetensors").exists()


def test_features_of_another_encoder_are_refused(copy: Path, run: Path) -> None:
    (copy / "planted.json").unlink()  # what is left claims to be CLIP's and AST's
    done = mgsv("evaluate", run / "last.safetensors", "--data", copy)
    assert_refused(done, "planted-frames", "clip-vit-b32")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["train", "made"], 1, "--data is missing"),
        (["train", "nade", "--data", "x", "--output", "y"], 1, "made"),
        (["train", "--settings", "--preset", "fast"], 1, "cpu-small"),
        (["train", "--settings", "--set", "model.hiden_dim=8"], 1, "did you mean hidden_dim"),
        (["evaluate", "x.safetensors"], 2, "--data"),
        (["evaluate", "x.safetensors", "--data", "nowhere"], 1, "nowhere"),
        (["data", "check", "nowhere"], 1, "nowhere"),
        (["data", "plant", "x", "--hot", "2"], 1, "--hot"),
        (["extract", "nowhere.mp4"], 2, "--output"),
    ],
)
def test_wrong_use_is_one_clear_line(
    arguments: list[str],
    status: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """In this process, for speed: `main` is all that a process would run."""
    from mgsv.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(arguments) == status
    out, errors = capfd.readouterr()
    assert out == "" and words in errors and "unexpected" not in errors
    assert not list(tmp_path.iterdir())


def edit_row(folder: Path, split: str, row: int, **cells: str) -> None:
    path = folder / "dataset/MGSV-EC" / f"{split}_data.csv"
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    values = dict(zip(annotations.COLUMNS, lines[row].split(","), strict=True)) | cells
    lines[row] = ",".join(values.values())
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1, done.stderr
    assert done.stdout == "", done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("mgsv: ") and all(word in line for word in words), line
