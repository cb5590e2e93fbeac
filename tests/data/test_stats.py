"""The statistics table and its plots.

Tolerances: the paper's table has two or three digits.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mgsv.data.annotations import Annotations, read_annotations, write_annotations
from mgsv.data.stats import split_statistics, stats
from mgsv.errors import DataError, OutputError
from mgsv.synthesis.planted import PlantOptions, plan_rows


def test_the_real_files_give_the_published_numbers(real_csvs: Path) -> None:
    val, test, both = stats([real_csvs / "val_data.csv", real_csvs / "test_data.csv"]).splits
    assert (val.split, test.split, both.split) == ("val", "test", "all")
    for split in (val, test):  # the card, and the statistics in the task's description
        assert (split.videos, split.tracks) == (2000, 2000)
        assert split.as_long_as_video == pytest.approx(0.993, abs=0.001)
        assert split.from_start == pytest.approx(0.33, abs=0.005)
        assert split.track_seconds == pytest.approx(140, abs=1)
    assert both.videos - both.tracks == 1893  # test tracks that are also in val
    assert both.largest_use == 2


def test_a_table_worked_by_hand() -> None:
    rows = plan_rows(PlantOptions(train=3, val=1, test=1, tracks=2))["train"]
    first = replace(rows[0], music_id="a", video_end=10.0, music_start=0.0, music_end=10.0)
    first = replace(first, video_start=0.0, music_total_duration=100.0)
    other = replace(first, music_id="b", music_start=50.0, music_end=70.0)
    table = split_statistics(
        "x", Annotations((first, first, replace(other, music_total_duration=200.0)))
    )
    assert (table.videos, table.tracks, table.moments, table.largest_use) == (3, 2, 2, 2)
    assert table.video_seconds == 10.0
    assert table.track_seconds == 150.0
    assert table.moment_seconds == pytest.approx(40 / 3)
    assert table.from_start == table.as_long_as_video == pytest.approx(2 / 3)


def test_a_data_folder_and_a_single_file(planted: Path) -> None:
    table = stats(planted)
    assert [row.split for row in table.splits] == ["train", "val", "test", "all"]
    assert [row.videos for row in table.splits] == [300, 40, 40, 380]
    one = stats(planted / "dataset/MGSV-EC/val_data.csv")
    assert one.splits == table.splits[1:2]
    assert one.plots == ()


def test_no_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no annotation files in it"):
        stats(tmp_path)


@pytest.mark.slow
def test_plots_are_drawn_and_never_overwritten(planted: Path, tmp_path: Path) -> None:
    plots = stats(planted, tmp_path / "plots").plots
    assert [path.stem for path in plots] == [
        "durations",
        "track-use",
        "positions",
        "categories",
        "resolutions",
    ]
    for path in plots:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 10_000
    with pytest.raises(OutputError, match="exists already"):
        stats(planted, tmp_path / "plots")


@pytest.mark.slow
def test_plots_stand_rows_without_a_description(planted: Path, tmp_path: Path) -> None:
    rows = read_annotations(planted / "dataset/MGSV-EC/val_data.csv")
    bare = [
        replace(row, video_category="", video_width=None, video_frame_rate=None) for row in rows
    ]
    write_annotations(tmp_path / "x.csv", bare)
    assert len(stats(tmp_path / "x.csv", tmp_path / "plots").plots) == 5
