"""Rows of several seeds in one table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seeds import spread, table


def ablations(folder: Path, rows: dict[str, float]) -> Path:
    """As `mgsv reproduce ablations` leaves them."""
    folder.mkdir()
    document = [
        {"setup": setup, "ours": {"mIoU": value, "MoR1": 10.0}, "R1": 20.0, "shuffled mIoU": 0.1}
        for setup, value in rows.items()
    ]
    (folder / "ablations.json").write_text(json.dumps(document))
    return folder


def test_mean_and_range() -> None:
    assert spread([0.5], 3) == "0.500"
    assert spread([0.25, 0.75, 0.5], 2) == "0.50 (0.25 to 0.75)"


def test_a_row_is_averaged_over_the_seeds_that_have_it(tmp_path: Path) -> None:
    first = ablations(tmp_path / "1", {"full": 0.5, "without SA": 0.25})
    second = ablations(tmp_path / "2", {"full": 0.75})
    head, _, *rows = table([first, second]).splitlines()
    assert head == "| | seeds | mIoU | R1 | MoR1 | videos shuffled |"
    assert rows[0].startswith("| full | 2 | 0.625 (0.500 to 0.750) | 20.0 (20.0 to 20.0) |")
    assert rows[1].startswith("| without SA | 1 | 0.250 | 20.0 |")


def test_a_folder_without_a_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="neither"):
        table([tmp_path])
