"""MVPt, CONQUER and composites by the commands: train, evaluate, ground."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import real_media
from mgsv.encoders.registry import encoder_pair
from mgsv.models.checkpoint import save
from mgsv.models.conquer import CONQUER
from mgsv.models.registry import build, systems
from mgsv.runtime.model import Encoder, Encoders
from mgsv.synthesis.planted import PlantOptions, plant
from mgsv.training.config import configure
from subprocesses import mgsv_here as mgsv

COMMON = ("hidden_dim=8", "heads=2")
CHANGES = {
    "mvpt": (*COMMON, "embedding_feed_forward=8"),
    "mvpt_plus": (*COMMON, "embedding_feed_forward=8"),
    "conquer": (*COMMON, "feed_forward=8", "score_dim=4", "project_music=true"),
}
TRAINING = ("batch_size=16", "epochs=2", "val_rows=0", "accelerator=cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = PlantOptions(train=32, val=16, test=16, tracks=16)
    return plant(tmp_path_factory.mktemp("data") / "planted", options)


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The last checkpoint of a tiny run of each model."""
    folder, checkpoints = tmp_path_factory.mktemp("runs"), {}
    for model in CHANGES:
        done = train(model, data, folder / model)
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        best = {"R1"} if model != "conquer" else {"mIoU"}
        assert best <= document["checkpoints"].keys() and len(document["checkpoints"]) == 2
        checkpoints[model] = folder / model / "last.safetensors"
    return checkpoints


def train(model: str, data: Path, output: Path, *more: str) -> subprocess.CompletedProcess[str]:
    sets = [f"model.{change}" for change in CHANGES[model]] + [f"train.{c}" for c in TRAINING]
    words = [word for change in sets for word in ("--set", change)]
    return mgsv("train", model, "--data", data, "--output", output, "--json", *words, *more)


def evaluated(*arguments: str | Path) -> dict[str, float]:
    done = mgsv("evaluate", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    measures: dict[str, float] = json.loads(done.stdout)["measures"]
    return measures


@pytest.mark.slow
def test_each_system_is_measured_by_what_it_does(
    data: Path, runs: dict[str, Path], tmp_path: Path
) -> None:
    where = ("--data", data)
    matched = evaluated(runs["mvpt"], *where, "--report", tmp_path / "report")
    assert "R1" in matched and not any("IoU" in name or "MoR" in name for name in matched)
    assert (tmp_path / "report" / "index.html").exists()
    assert "MRR" in mgsv("evaluate", runs["mvpt"], *where).stdout
    found = evaluated(runs["conquer"], *where)
    assert "mIoU" in found and "R1" not in found
    both = evaluated("--matcher", runs["mvpt"], "--detector", runs["conquer"], *where)
    assert {**matched, **found}.items() <= both.items() and "MoR1@0.7" in both
    staged = (runs["conquer"], "--first-stage", runs["mvpt_plus"], *where)
    assert "MoR1@0.7" in evaluated(*staged)
    one = evaluated(*staged, "--candidates", "1")
    first = evaluated(runs["mvpt_plus"], *where)
    assert {name: one[name] for name in first} == first, "one candidate keeps its place"


@pytest.mark.slow
def test_what_cannot_be_measured_is_one_line(data: Path, runs: dict[str, Path]) -> None:
    mvpt, conquer = runs["mvpt"], runs["conquer"]
    for arguments, words in (
        ((mvpt, "--single-music"), "finds no moments"),
        ((), "no model is named"),
        ((conquer, "--first-stage", conquer), "does not rank a whole set"),
        ((conquer, "--first-stage", mvpt, "--candidates", "0"), "--candidates 0"),
        (("--matcher", conquer, "--detector", conquer), "--first-stage"),
    ):
        done = mgsv("evaluate", *arguments, "--data", data)
        assert done.returncode == 1 and words in done.stderr, done.stderr
        assert len(done.stderr.splitlines()) == 1
    composite = mgsv("train", "composite", "--data", data, "--output", data / "no")
    assert composite.returncode == 1 and "train a matcher and a detector" in composite.stderr


@pytest.mark.slow
def test_conquer_resumes_to_the_result_of_an_unbroken_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its negatives are drawn anew at each step, from a generator that each step seeds."""
    assert train("conquer", data, tmp_path / "whole").returncode == 0
    loss, calls = CONQUER.loss, itertools.count()

    def interrupted(model: CONQUER, *arguments: Any) -> dict[str, torch.Tensor]:
        if next(calls) == 3:
            raise KeyboardInterrupt
        return loss(model, *arguments)

    monkeypatch.setattr(CONQUER, "loss", interrupted)
    broken = "conquer", data, tmp_path / "broken", "--set", "train.save_seconds=0"
    assert train(*broken).returncode == 130
    done = train(*broken, "--resume")
    assert done.returncode == 0, done.stderr
    assert next(calls) == 5, "one step was left of four"
    ours, theirs = (load_file(tmp_path / n / "last.safetensors") for n in ("broken", "whole"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_presets_of_every_model() -> None:
    for model in CHANGES:
        for preset in ("paper", "cpu-small", "cpu-ablation", "overnight"):
            assert configure(model, preset)
    architecture, training = configure("conquer", "authors")
    assert (training.batch_size, training.lr, training.clip) == (16, 1e-4, 0)
    assert vars(architecture)["backbone_layers"] == 1
    assert "authors" in mgsv("train", "conquer", "--settings", "--preset", "x").stderr


@pytest.fixture
def checkpoints(tmp_path: Path) -> dict[str, Path]:
    """Random models for the default encoders' features."""
    pair = encoder_pair()
    sides = (Encoder(side.name, side.dim, side.fingerprint) for side in (pair.video, pair.music))
    encoders = Encoders(*sides)
    sizes = {"frame_dim": pair.video.dim, "segment_dim": pair.music.dim}
    sizes |= {"hidden_dim": 16, "heads": 2}
    paths = {}
    for name, changes in (("mvpt", {}), ("conquer", {"project_music": True, "feed_forward": 16})):
        torch.manual_seed(0)
        path = tmp_path / f"{name}.safetensors"
        model = build(name, sizes | changes)
        paths[name] = save(path, name, model, encoders, record={}, licence="CC0")
    return paths


@pytest.mark.slow
def test_the_command_grounds_by_every_kind(
    checkpoints: dict[str, Path], bundled_folder: Path, tmp_path: Path
) -> None:
    tracks = [word for track in real_media.bgm_tracks()[:3] for word in ("--music", track)]
    common = (real_media.bikes(), *tracks, "--library", bundled_folder, "--no-render", "--json")
    mvpt, conquer = checkpoints["mvpt"], checkpoints["conquer"]
    meanings = []
    for method, files in (
        ("mvpt", ("--model", mvpt)),
        ("conquer", ("--model", conquer)),
        ("conquer", ("--model", conquer, "--first-stage", mvpt)),
        ("composite", ("--matcher", mvpt, "--detector", conquer)),
    ):
        done = mgsv("ground", *common, "--method", method, *files)
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert len(document["moments"]) == 3 and document["model"]["method"] == method
        meanings.append(document["score_meaning"])
    assert "sync finds the moment" in meanings[0] and "sync ranks" in meanings[1]
    assert meanings[2].startswith("how well") and "logarithm" in meanings[2]
    assert len({*meanings}) == 4
    assert [path.name for path in tmp_path.iterdir()] == ["mvpt.safetensors", "conquer.safetensors"]


def test_the_systems_are_listed() -> None:
    done = mgsv("models", "--json")
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)["models"]
    assert len(listed) == 13
    for entry in listed:
        assert entry["parameters"] == pytest.approx(entry["paper_parameters"], rel=0.01), entry
    conquer = next(entry for entry in listed if entry["name"] == "conquer")
    assert conquer["abilities"] == ["re-rank", "detect"] and "Hou" in conquer["paper"]


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 120])
def test_the_list_fits_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that does not fit would be folded: then a name does not begin it."""
    from rich.console import Console

    monkeypatch.setattr("mgsv.cli.show.wide_console", lambda: Console(width=columns))
    lines = [line.rstrip() for line in mgsv("models").stdout.splitlines()]
    assert max(map(len, lines)) <= columns
    entries = [line for line in lines if line.strip() and "─" not in line]
    assert len(entries) == 2 * (13 + 1)
    assert all(line.split()[0] in ("name", *systems()) for line in entries)
