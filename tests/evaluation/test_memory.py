"""Past uses measured: the command on annotations alone, and fused with stand-ins for a model.

Tolerances: recorded figures have three or four digits; intervals are of 1,000 draws.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_support import real_annotations
from mgsv.data.annotations import write_annotations
from mgsv.errors import ConfigError
from mgsv.evaluation.memory import evaluate_fusion, evaluate_memory
from subprocesses import mgsv_here
from usage_support import hot_rows, stand_in


@pytest.fixture
def csvs(tmp_path: Path) -> tuple[Path, Path]:
    past, asked = tmp_path / "past.csv", tmp_path / "asked.csv"
    write_annotations(past, hot_rows()["train"][:400])
    write_annotations(asked, hot_rows()["test"][:60])
    return past, asked


@pytest.mark.slow
def test_the_command_prints_all_parts(csvs: tuple[Path, Path]) -> None:
    arguments = ("evaluate", "--method", "memory", "--uses", csvs[0], "--queries", csvs[1])
    done = mgsv_here(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    parts = {part["part"]: part for part in document["parts"]}
    assert parts["all"]["queries"] == 60
    assert parts["seen tracks"]["queries"] + parts["unseen tracks"]["queries"] == 60
    by_count = [part["queries"] for name, part in parts.items() if "use" in name or " to " in name]
    assert sum(by_count) == parts["seen tracks"]["queries"]
    assert sum(int(n) * t for n, t in document["uses"]["per_track"].items()) == 400
    for part in parts.values():
        for found in part["methods"].values():
            low, high = found["intervals"]["mIoU"]
            assert low <= found["measures"]["mIoU"] <= high
    table = mgsv_here(*arguments)
    assert f"{parts['all']['methods']['memory']['measures']['mIoU']:.4f}" in table.stdout
    assert "MaDe 0.722" in table.stdout and "do not compete" in table.stdout


@pytest.mark.slow
def test_the_real_figures() -> None:
    folder = real_annotations()
    document = evaluate_memory(folder / "val_data.csv", folder / "test_data.csv")
    parts = {part["part"]: part["methods"] for part in document["parts"]}
    rule = parts["all"]["last use, else start 0"]
    assert rule["measures"]["mIoU"] == pytest.approx(0.8466, abs=1e-4)
    assert rule["measures"]["IoU@0.5"] == pytest.approx(86.1, abs=0.06)
    assert rule["intervals"]["mIoU"] == pytest.approx([0.833, 0.860], abs=0.002)
    assert parts["all"]["memory"]["measures"]["mIoU"] >= 0.8466
    assert parts["unseen tracks"]["memory"]["measures"]["mIoU"] >= 0.369
    assert parts["unseen tracks"]["start 0"]["measures"]["mIoU"] == pytest.approx(0.369, abs=5e-4)


@pytest.mark.slow
def test_a_video_is_not_its_own_memory(tmp_path: Path, csvs: tuple[Path, Path]) -> None:
    both = tmp_path / "both.csv"
    write_annotations(both, [*hot_rows()["train"][:100], *hot_rows()["test"][:10]])
    uses = evaluate_memory(both, csvs[1])["uses"]
    assert (uses["rows"], uses["left_out"]) == (100, 10)
    with pytest.raises(ConfigError, match="every video in it is also a query"):
        evaluate_memory(csvs[1], csvs[1])


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--method", "memory"], 1, "--uses"),
        (["--method", "memory", "--uses", "{past}"], 1, "--queries"),
        (["x.safetensors", "--method", "memory"], 1, "annotations alone"),
        (["--method", "memory", "--uses", "none.csv", "--queries", "{past}"], 1, "none.csv"),
        ([], 2, "--data"),
        (["x.safetensors", "--data", "x", "--queries", "{past}"], 2, "--queries"),
        (["x.safetensors", "--data", "x", "--fusion", "f.json"], 1, "--uses"),
    ],
)
def test_wrong_use_is_named(
    arguments: list[str], status: int, words: str, csvs: tuple[Path, Path]
) -> None:
    done = mgsv_here("evaluate", *(a.replace("{past}", str(csvs[0])) for a in arguments))
    assert done.returncode == status and words in done.stderr and done.stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "at_start"),
    [
        pytest.param(0.2, 0.5, marks=pytest.mark.thorough),
        (0.5, 0.0),
        pytest.param(0.9, 0.0, marks=pytest.mark.thorough),
    ],
)
def test_fusion_is_no_worse_than_either(right: float, at_start: float) -> None:
    """On seen and on unseen tracks, with stand-ins for a poor, a fair and a good model."""
    rows = hot_rows()
    val = stand_in(rows["val"], right, 1, at_start=at_start)
    test = stand_in(rows["test"], right, 2, at_start=at_start)
    document, fusion = evaluate_fusion(rows["train"], val=val, test=test)
    assert fusion.rows == 500 and document["fitted_on"] == 500
    assert [part["part"] for part in document["parts"]] == ["all", "seen tracks", "unseen tracks"]
    for part in document["parts"]:
        score = {name: m["measures"]["mIoU"] for name, m in part["methods"].items()}
        assert score["fused"] >= max(score["memory"], score["model"]), part["part"]


@pytest.mark.slow
def test_fusion_never_reads_the_test_answers() -> None:
    rows = hot_rows()
    val, test = stand_in(rows["val"][:60], 0.5, 1), stand_in(rows["test"][:60], 0.5, 2)
    blank = replace(test, true=np.zeros_like(test.true))
    fusions = [evaluate_fusion(rows["train"], val=val, test=t)[1] for t in (test, blank)]
    assert fusions[0] == fusions[1]


def test_a_model_without_moments_is_refused() -> None:
    rows = hot_rows()
    val = stand_in(rows["val"][:30], 0.5, 1)
    nothing = replace(val, predicted=np.full_like(val.predicted, np.nan))
    with pytest.raises(ConfigError, match="finds no moments"):
        evaluate_fusion(rows["train"], val=nothing, test=val)
