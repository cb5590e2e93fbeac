"""The learning curves of a table: what is drawn and printed is what the runs kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from curves import made_rows, markdown, picture


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of a detector, a matcher and a composite, and a row that is not measured yet."""
    blind = {"start 0": {"mIoU": 0.4}, "oracle": {"mIoU": 0.9}}
    place = {"measures": {"mIoU": 0.61}, "intervals": {"mIoU": [0.5, 0.7]}}
    match = {"measures": {"R1": 20.0, "R10": 55.5}, "intervals": {}, "shuffled": {"R1": 0.5}}
    for name, document in {
        "qd_detr": {**place, "shuffled": {"mIoU": 0.1}},
        "mvpt": match,
        "composite": {**place, "shuffled": {"mIoU": 0.2}},
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        document |= {"seconds": 90.0, "baselines": blind}
        (folder / "evaluation.json").write_text(json.dumps(document))
    for name, head, lines in (
        ("qd_detr", "epoch,step,val mIoU", "1,10,0.2\n2,20,0.4\n3,30,0.5\n4,40,0.625\n"),
        ("mvpt", "epoch,step,val R1,val R10", "1,10,5,20\n2,20,10,\n"),
        ("eatr", "epoch,step", ""),
    ):
        (tmp_path / name / "run").mkdir(parents=True)
        (tmp_path / name / "run/log.csv").write_text(f"{head}\n{lines}")
    return tmp_path


def test_rows_are_printed_by_their_mean_iou(table: Path) -> None:
    rows = list(made_rows(table))
    assert [row.title for row in rows] == ["QD-DETR", "MVPt", "MVPt+ / UVCOM+"]
    assert rows[0].curve("mIoU") == ([10, 20, 30, 40], [0.2, 0.4, 0.5, 0.625])
    assert rows[1].curve("R10") == ([10], [20.0])
    head, _, *lines = "\n".join(markdown(rows)).splitlines()
    assert [line.split(" | ")[0] for line in lines] == [
        *("| QD-DETR", "| MVPt+ / UVCOM+", "| MVPt", "| start 0", "| oracle"),
    ]
    assert lines[0].startswith("| QD-DETR | 0.610 [0.500, 0.700] | 0.100 |")
    assert lines[0].endswith("| 40 | 1.5 | +20.0 % |"), "a fifth came in the last quarter"
    assert {line.count("|") for line in lines} == {head.count("|")}


def test_every_trained_system_has_a_panel(table: Path) -> None:
    assert picture(list(made_rows(table))).startswith(b"\x89PNG")
