"""Annotation files: every row checked, every bad one named, the layout written back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mgsv.data.annotations import (
    COLUMNS,
    Row,
    check_annotations,
    read_annotations,
    write_annotations,
)
from mgsv.errors import DataError


def row(**changes: object) -> Row:
    values: dict[str, object] = {
        "video_id": "104",
        "music_id": "a+b",
        "video_start": 0.0,
        "video_end": 20.5,
        "music_start": 30.25,
        "music_end": 50.75,
        "music_total_duration": 120.0,
        "video_segment_duration": 20.5,
        "music_segment_duration": 20.5,
        "music_path": "/music/a+b+夜曲, “live” №5.mp3",
        "video_total_duration": 20.6,
        "video_width": 1080,
        "video_height": 1920,
        "video_total_frames": 618,
        "video_frame_rate": 30.0,
        "video_category": "Food",
    }
    return Row(**{**values, **changes})  # type: ignore[arg-type]


def with_cells(path: Path, *changes: dict[str, str]) -> Path:
    """A file with one row per argument, each a good row with some cells replaced by raw text."""
    lines = [",".join(COLUMNS)]
    for number, change in enumerate(changes):
        good = {
            **dict.fromkeys(COLUMNS, "1"),
            "video_id": str(1000 + number),
            "music_id": "m",
            "video_start": "0.0",
            "video_end": "10.0",
            "music_start": "5.0",
            "music_end": "15.0",
            "music_total_duration": "60.0",
        }
        lines.append(",".join({**good, **change}[name] for name in COLUMNS))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_file_written_is_read_back_the_same(tmp_path: Path) -> None:
    rows = (
        row(),
        row(video_id="007", music_id="ｆｕｌｌ+幅", video_frame_rate=29.97),
        row(video_id="5", video_width=None, video_category="", music_path='a "b", c'),
    )
    write_annotations(tmp_path / "x.csv", rows)
    assert read_annotations(tmp_path / "x.csv").rows == rows
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.csv"]


@pytest.mark.parametrize("split", ["val", "test"])
def test_the_real_files_are_sound_and_written_back_byte_for_byte(
    real_csvs: Path, tmp_path: Path, split: str
) -> None:
    real = real_csvs / f"{split}_data.csv"
    annotations = read_annotations(real)
    assert len(annotations) == 2000
    assert len(set(annotations.music_ids)) == 2000  # the card: one row per track in val and test
    write_annotations(tmp_path / "again.csv", annotations)
    assert (tmp_path / "again.csv").read_bytes() == real.read_bytes()


def test_columns_as_arrays(tmp_path: Path) -> None:
    long = row(video_id="2", music_start=225.0, music_end=245.0, music_total_duration=250.0)
    write_annotations(tmp_path / "x.csv", [row(), long])
    annotations = read_annotations(tmp_path / "x.csv")
    assert annotations.video_ids == ("104", "2")
    np.testing.assert_array_equal(annotations.moments, [[30.25, 50.75], [225, 245]])
    # centre and width by hand; the second moment's end is clamped to the 240 s canvas
    np.testing.assert_allclose(
        annotations.spans, [[40.5 / 240, 20.5 / 240], [232.5 / 240, 15 / 240]], rtol=1e-6
    )
    np.testing.assert_array_equal(annotations.track_seconds, [120, 250])
    np.testing.assert_array_equal(annotations.video_seconds, [20.5, 20.5])
    assert len(annotations.where(lambda r: r.music_end > 240)) == 1
    assert annotations[1:].video_ids == ("2",)


@pytest.mark.parametrize(
    ("change", "field", "word"),
    [
        ({"music_end": "4.0"}, "music_end", "not after music_start"),
        ({"music_end": "5.0"}, "music_end", "not after music_start"),
        ({"video_end": "0.0"}, "video_end", "not after video_start"),
        ({"music_end": "60.2"}, "music_end", "past the track's 60.0 s"),
        ({"music_start": "-0.5"}, "music_start", "negative"),
        ({"music_start": "nan"}, "music_start", "not finite"),
        ({"video_end": "inf"}, "video_end", "not finite"),
        ({"music_total_duration": ""}, "music_total_duration", "not a number"),
        ({"video_width": "1080.5"}, "video_width", "whole number"),
        ({"video_id": ""}, "video_id", "cannot name a feature file"),
        ({"music_id": "../../etc/passwd"}, "music_id", "cannot name a feature file"),
        ({"video_category": "a,b"}, "row", "17 fields where the header has 16"),
    ],
)
def test_each_bad_row_is_named_with_line_and_field(
    tmp_path: Path, change: dict[str, str], field: str, word: str
) -> None:
    path = with_cells(tmp_path / "x.csv", {}, change, {})
    good, problems = check_annotations(path)
    assert good.video_ids == ("1000", "1002")
    assert [(p.line, p.field) for p in problems] == [(3, field)]
    assert word in problems[0].text
    with pytest.raises(DataError, match=rf"x\.csv: 1 problem: line 3, {field}: "):
        read_annotations(path)


def test_a_duplicate_id_names_both_lines(tmp_path: Path) -> None:
    path = with_cells(tmp_path / "x.csv", {"video_id": "9"}, {}, {"video_id": "9"})
    assert [str(p) for p in check_annotations(path)[1]] == [
        "line 4, video_id: 9 already stands in line 2"
    ]


def test_many_problems_are_counted_and_the_first_listed(tmp_path: Path) -> None:
    path = with_cells(tmp_path / "x.csv", *[{"music_end": "1.0"}] * 40)
    with pytest.raises(DataError) as caught:
        read_annotations(path)
    text = str(caught.value)
    assert "40 problems: line 2, music_end" in text
    assert "and 35 more" in text
    assert "\n" not in text


def test_line_numbers_survive_quoted_line_breaks_and_blank_lines(tmp_path: Path) -> None:
    path = with_cells(tmp_path / "x.csv", {"music_path": '"two\nlines"'}, {}, {"music_end": "2.0"})
    path.write_text(path.read_text() + "\n\n" + "short,row\n")
    assert [(p.line, p.field) for p in check_annotations(path)[1]] == [
        (5, "music_end"),
        (8, "row"),
    ]


def test_a_spreadsheets_byte_order_mark_and_line_ends_are_fine(tmp_path: Path) -> None:
    path = with_cells(tmp_path / "x.csv", {}, {})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_annotations(path).video_ids == ("1000", "1001")


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "the file is empty"),
        (b" \n\n", "the file is empty"),
        (",".join(COLUMNS).encode() + b"\n", "a header but no rows"),
        (",".join(COLUMNS[1:]).encode() + b"\n1\n", "missing column video_id"),
        ((",".join(COLUMNS) + ",video_id\n").encode(), "column video_id stands twice"),
        (",".join(COLUMNS).encode() + b"\n1,\xe6\x9f\n", "line 2: not UTF-8"),
        ("夜曲\n".encode("utf-16"), "line 1: not UTF-8"),
    ],
)
def test_a_file_that_is_no_annotation_file(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.csv") as caught:
        read_annotations(path)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: No such file"):
        read_annotations(tmp_path / "none.csv")
    with pytest.raises(DataError, match="directory"):
        read_annotations(tmp_path)
