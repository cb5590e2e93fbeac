"""Rows of several seeds in one table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seeds import spread, table


def kept(folder: Path, rows: dict[str, float]) -> Path:
    """What `mgsv reproduce` keeps of each row, with these mIoU."""
    for name, value in rows.items():
        document = {
            "measures": {"mIoU": value, "R1": 20.0, "MoR1@0.7": 10.0},
            "shuffled": {"mIoU": 0.1},
        }
        (folder / name).mkdir(parents=True)
        (folder / name / "evaluation.json").write_text(json.dumps(document))
    return folder


def test_mean_and_range() -> None:
    assert spread([0.5], 3) == "0.500"
    assert spread([0.25, 0.75, 0.5], 2) == "0.50 (0.25 to 0.75)"


def test_a_row_is_averaged_over_the_seeds_that_have_it(tmp_path: Path) -> None:
    first = kept(tmp_path / "1", {"00-full": 0.5, "02-mlp": 0.25})
    second = kept(tmp_path / "2", {"00-full": 0.75})
    head, _, *rows = table([first, second]).splitlines()
    assert head == "| | seeds | mIoU | R1 | MoR1 | videos shuffled |"
    assert rows[0].startswith("| full | 2 | 0.625 (0.500 to 0.750) | 20.0 (20.0 to 20.0) |")
    assert rows[1].startswith("| SA → MLP | 1 | 0.250 | 20.0 |")


def test_systems_go_by_their_titles(tmp_path: Path) -> None:
    text = table([kept(tmp_path / "table", {"moment_detr": 0.5})])
    assert text.splitlines()[-1].startswith("| Moment-DETR | 1 | 0.500 |")


def test_a_folder_without_a_row_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no row"):
        table([tmp_path])
