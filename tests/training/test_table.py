"""The paper's comparison of systems: every row is there, is made once, and may fail alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mgsv.errors import ConfigError, DataError
from mgsv.models.made import MaDe
from mgsv.models.registry import PAPERS_COMPOSITE, systems
from mgsv.training import runs
from mgsv.training.table import PAPER, reproduce_table
from planted_small import planted
from subprocesses import mgsv_here


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted(tmp_path_factory.mktemp("data") / "planted")


def test_every_system_has_a_row() -> None:
    assert {*PAPER} == {*systems()} and len(PAPER) == 13


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"models": ["mvpt", "nade"]}, "'nade'"),
        ({"models": ["mvpt"], "preset": "fast"}, "fast"),
        ({"models": ["mvpt"], "set": ["model.queries=3"]}, "model.queries=3: no such setting"),
        ({"models": ["mvpt"], "set": ["made.queries=3"]}, "made.queries=3: no such setting"),
        ({"models": ["mvpt"], "set": ["train.epoch=3"]}, "did you mean epochs"),
        ({"models": ["mvpt"], "set": ["mvpt.train.epochs=0"]}, "below 1"),
    ],
)
def test_what_no_row_could_run_with_is_refused_first(
    data: Path, tmp_path: Path, arguments: dict[str, object], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        reproduce_table(data=data, output=tmp_path / "out", **{"preset": "tiny", **arguments})
    with pytest.raises(DataError):
        reproduce_table(data=tmp_path, output=tmp_path / "out", preset="tiny", models=["mvpt"])
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_rows_are_kept_and_a_row_fails_alone(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("reproduce", "table", "--data", data, "--output", tmp_path, "--preset", "tiny")
    words += ("--models", "conquer,made,mvpt", "--set", "train.epochs=1")
    words += ("--set", "conquer.train.epochs=2", "--set", "model.queries=2")

    def spoiled(*_: object) -> None:
        raise RuntimeError("spoiled\nhere")

    with monkeypatch.context() as patch:
        patch.setattr(MaDe, "loss", spoiled)
        done = mgsv_here(*words, "--json")
    assert done.returncode == 1 and not done.stderr
    conquer, made, mvpt = json.loads(done.stdout)["rows"]
    assert made["failed"] == "RuntimeError: spoiled" and made["ours"] == {}
    assert conquer["failed"] is None and conquer["paper"]["MoR100"] == 18.4
    assert conquer["ours"].keys() == conquer["paper"].keys(), "its first stage gives it ranks"
    assert mvpt["ours"].keys() == mvpt["paper"].keys() == mvpt["shuffled"].keys()
    assert "RuntimeError: spoiled" in (tmp_path / "table.txt").read_text()

    trained: list[str] = []
    train = runs.train
    monkeypatch.setattr(runs, "train", lambda m, **k: (trained.append(m), train(m, **k))[1])
    done = mgsv_here(*words)
    assert done.returncode == 0, done.stderr
    assert trained == ["made"], "what was measured is not made again"
    document = json.loads((tmp_path / "table.json").read_text())
    assert document["rows"][0] == conquer and document["rows"][2] == mvpt
    assert (document["queries"], document["tracks"]) == (12, 12)
    assert {"start 0", "oracle"} <= document["baselines"].keys()
    assert done.stdout == (tmp_path / "table.txt").read_text()
    figures = done.stdout.partition("\n\n")[0]
    assert max(map(len, figures.splitlines())) <= 80
    lines = {line.split("  ")[0]: line.split() for line in figures.splitlines()}
    assert f"{document['rows'][1]['ours']['mIoU']:.3f}" in lines["MaDe"]
    assert (tmp_path / "table.html").read_text().count("data:image/svg") == 2
    settings = json.loads((tmp_path / "conquer" / "run" / "config.json").read_text())
    assert settings["train"]["epochs"] == 2

    done = mgsv_here(*words, "--set", "mvpt.train.lr=0.5")
    assert done.returncode == 1 and done.stdout.count("train.lr is 0.5") == 2


@pytest.mark.slow
def test_a_composite_rests_on_the_rows_of_its_parts(data: Path, tmp_path: Path) -> None:
    arguments = {"data": data, "output": tmp_path, "preset": "tiny", "set": ["train.epochs=1"]}
    (row,) = reproduce_table(models=["composite"], **arguments)["rows"]
    assert row["failed"] is None and row["ours"].keys() == row["paper"].keys()
    parts = reproduce_table(models=PAPERS_COMPOSITE, **arguments)["rows"]
    for part in parts:
        assert part["ours"].items() <= row["ours"].items()
    assert row["parameters"] == sum(part["parameters"] for part in parts)
    kept = tmp_path / "composite" / "evaluation.json"
    before = kept.read_bytes()
    document = json.loads(before)
    document["files"]["matcher"] = "of another file"
    kept.write_text(json.dumps(document))
    reproduce_table(models=["composite"], **arguments)
    assert json.loads(kept.read_text()) == json.loads(before), "measured anew"
