"""MGSV-EC's annotation files: which moment of which track each video uses.

One CSV per split, one row per video, times in seconds (dataset card of `xxayt/MGSV-EC`). Every
row is checked before anything is trained on it: a moment outside its track or an id that stands
twice does not fail loudly later, it spoils the figures quietly.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TextIO, overload

import numpy as np
import numpy.typing as npt

from mgsv.errors import DataError, shown
from mgsv.files import new_text
from mgsv.moment import CANVAS_SECONDS, moments_to_spans

SPLITS = ("train", "val", "test")

TOLERANCE = 0.1
"""Seconds a moment may reach past its track: two decoders seldom agree on an mp3's last frame."""

SHOWN_PROBLEMS = 5
"""Problems an error names before it only counts them."""


@dataclass(frozen=True, slots=True)
class Row:
    """One video and the moment it uses. Field names and order are the file's columns.

    Ids are strings everywhere (`video_id` is all digits, `music_id` may hold `+` or any Unicode).
    The fields from `music_path` on only describe: they may be blank in a file, and are None then.
    """

    video_id: str
    music_id: str
    video_start: float
    video_end: float
    music_start: float
    music_end: float
    music_total_duration: float
    video_segment_duration: float
    music_segment_duration: float
    music_path: str
    video_total_duration: float | None
    video_width: int | None
    video_height: int | None
    video_total_frames: int | None
    video_frame_rate: float | None
    video_category: str

    @property
    def video_seconds(self) -> float:
        """Length of the video segment that carries the music."""
        return self.video_end - self.video_start


COLUMNS = tuple(field.name for field in fields(Row))


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an annotation file; `line` counts from 1, the header being line 1."""

    line: int
    field: str
    text: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.field}: {self.text}"


@dataclass(frozen=True)
class Annotations:
    """The rows of one file in file order, and the columns a model needs as arrays."""

    rows: tuple[Row, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Annotations: ...
    def __getitem__(self, index: int | slice) -> Row | Annotations:
        return Annotations(self.rows[index]) if isinstance(index, slice) else self.rows[index]

    def where(self, keep: Callable[[Row], bool]) -> Annotations:
        return Annotations(tuple(row for row in self.rows if keep(row)))

    @cached_property
    def moments(self) -> npt.NDArray[np.float64]:
        """[N, 2] true (start, end) on the track in seconds, as annotated (not clamped)."""
        return np.array([(r.music_start, r.music_end) for r in self.rows]).reshape(-1, 2)

    @cached_property
    def video_seconds(self) -> npt.NDArray[np.float64]:
        """[N] length of the video segment in seconds."""
        return np.array([r.video_seconds for r in self.rows])

    @cached_property
    def track_seconds(self) -> npt.NDArray[np.float64]:
        """[N] length of the whole track in seconds."""
        return np.array([r.music_total_duration for r in self.rows])

    @cached_property
    def video_ids(self) -> tuple[str, ...]:
        return tuple(r.video_id for r in self.rows)

    @cached_property
    def music_ids(self) -> tuple[str, ...]:
        return tuple(r.music_id for r in self.rows)

    @cached_property
    def spans(self) -> npt.NDArray[np.float32]:
        """[N, 2] (centre, width) relative to the 240 s canvas, the end clamped to it."""
        return self.spans_on(CANVAS_SECONDS)

    def spans_on(self, canvas: float) -> npt.NDArray[np.float32]:
        """[N, 2] (centre, width) relative to `canvas` seconds, the end clamped to them."""
        clamped = np.minimum(self.moments, canvas)
        return moments_to_spans(clamped, canvas).astype(np.float32)


def read_annotations(path: str | os.PathLike[str]) -> Annotations:
    """The rows of the annotation file `path`, every one of them checked.

    Raises DataError naming the file, the first bad lines with their fields, and how many there are.
    """
    annotations, problems = check_annotations(path)
    if problems:
        listed = "; ".join(str(problem) for problem in problems[:SHOWN_PROBLEMS])
        more = len(problems) - SHOWN_PROBLEMS
        raise DataError(
            path,
            f"{len(problems)} problem{'s' * (len(problems) > 1)}: {listed}"
            + (f"; and {more} more" if more > 0 else ""),
            "correct or remove these rows",
        )
    return annotations


def check_annotations(path: str | os.PathLike[str]) -> tuple[Annotations, list[Problem]]:
    """The good rows of `path`, and every problem of the others.

    Raises DataError only where no row can be read from the file: it cannot be read, is empty, is
    not UTF-8, or its header lacks a column.
    """
    reader = csv.reader(io.StringIO(_read_text(path), newline=""))
    rows: list[Row] = []
    problems: list[Problem] = []
    header = read_header(path, reader)
    first_line: dict[str, int] = {}
    line = reader.line_num + 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            problems.append(Problem(line, "row", str(error)))
            line = reader.line_num + 1
            continue
        if cells:  # the csv module gives [] for a blank line
            found = parse_row(cells, header, line)
            if isinstance(found, Row):
                before = first_line.setdefault(found.video_id, line)
                if before == line:
                    rows.append(found)
                else:
                    text = f"{shown(found.video_id)} already stands in line {before}"
                    problems.append(Problem(line, "video_id", text))
            else:
                problems += found
        line = reader.line_num + 1
    if not rows and not problems:
        raise DataError(path, "holds a header but no rows", "download the file again")
    return Annotations(tuple(rows)), problems


def write_annotations(path: str | os.PathLike[str], rows: Iterable[Row]) -> None:
    """Write `rows` to the new file `path` in MGSV-EC's layout."""
    with new_text(path) as stream:
        write_rows(stream, rows)


def write_rows(
    stream: TextIO, rows: Iterable[Row], confidence: Sequence[float] | None = None
) -> None:
    """Write header and `rows`, with a last column `confidence` where there is one for each row."""
    writer = csv.writer(stream, lineterminator="\n")
    if confidence is None:
        writer.writerow(COLUMNS)
        writer.writerows(_cells(row) for row in rows)
    else:
        writer.writerow([*COLUMNS, "confidence"])
        writer.writerows([*_cells(r), c] for r, c in zip(rows, confidence, strict=True))


def usable_as_file_name(name: str) -> bool:
    """Whether `name` can name a feature file: ids become file names inside a folder."""
    return bool(name) and name not in (".", "..") and not any(c in name for c in "/\\\0")


def _read_text(path: str | os.PathLike[str]) -> str:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(path, error.strerror or "cannot be read", "check the path") from error
    if not data.strip():
        raise DataError(path, "the file is empty", "download it again")
    try:
        return data.decode("utf-8-sig")  # spreadsheets add a byte-order mark on saving
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            path,
            f"line {line}: not UTF-8 text (byte 0x{data[error.start]:02x})",
            "save it as UTF-8",
        ) from error


def read_header(path: str | os.PathLike[str], reader: Iterator[list[str]]) -> dict[str, int]:
    """Column name → place. Extra columns are allowed, their order is free.

    Raises DataError where one of MGSV-EC's columns is missing or any stands twice.
    """
    try:
        names = next(reader)
    except csv.Error as error:
        raise DataError(path, f"line 1: {error}", "is it a CSV file?") from error
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise DataError(
            path, f"line 1: missing column {', '.join(missing)}", "use MGSV-EC's header"
        )
    twice = [shown(name) for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(path, f"line 1: column {', '.join(twice)} stands twice", "remove one")
    return {name: place for place, name in enumerate(names)}


def parse_row(cells: list[str], header: dict[str, int], line: int) -> Row | list[Problem]:
    """The row that a line's `cells` hold, or everything wrong with it."""
    if len(cells) != len(header):
        return [Problem(line, "row", f"{len(cells)} fields where the header has {len(header)}")]
    values: dict[str, object] = {}
    problems: list[Problem] = []
    for name in COLUMNS:
        try:
            values[name] = _PARSERS[name](cells[header[name]])
        except ValueError as error:
            problems.append(Problem(line, name, str(error)))
    if problems:
        return problems
    row = Row(**values)  # type: ignore[arg-type]
    return [Problem(line, field, text) for field, text in _contradictions(row)] or row


def _contradictions(row: Row) -> Iterator[tuple[str, str]]:
    """(field, what is wrong) where single values are fine but do not fit together."""
    for start, end in (("video_start", "video_end"), ("music_start", "music_end")):
        if getattr(row, end) <= getattr(row, start):
            yield end, f"{getattr(row, end)} is not after {start} {getattr(row, start)}"
    if row.music_end > row.music_total_duration + TOLERANCE:
        yield "music_end", f"{row.music_end} is past the track's {row.music_total_duration} s"


def _parse_id(cell: str) -> str:
    if not usable_as_file_name(cell):
        raise ValueError(f"{shown(cell)!r} cannot name a feature file")
    return cell


def parse_seconds(cell: str) -> float:
    """A finite number >= 0; ValueError says what it is instead."""
    try:
        value = float(cell)
    except ValueError:
        raise ValueError(f"{shown(cell)!r} is not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{cell} is not finite")
    if value < 0:
        raise ValueError(f"{cell} is negative")
    return value


def _parse_optional(cell: str) -> float | None:
    return parse_seconds(cell) if cell.strip() else None


def _parse_count(cell: str) -> int | None:
    value = _parse_optional(cell)
    if value is not None and not value.is_integer():
        raise ValueError(f"{cell} is not a whole number")
    return None if value is None else int(value)


_PARSERS: dict[str, Callable[[str], object]] = {
    "video_id": _parse_id,
    "music_id": _parse_id,
    "music_path": str,
    "video_category": str,
    **dict.fromkeys(
        [name for name in COLUMNS if name.endswith(("_start", "_end"))]
        + ["music_total_duration", "video_segment_duration", "music_segment_duration"],
        parse_seconds,
    ),
    **dict.fromkeys(["video_total_duration", "video_frame_rate"], _parse_optional),
    **dict.fromkeys(["video_width", "video_height", "video_total_frames"], _parse_count),
}


def _cells(row: Row) -> list[object]:
    """Frame rates are whole numbers in the files, all other floats carry a decimal point."""
    rate = row.video_frame_rate
    whole = {"video_frame_rate": int(rate)} if rate is not None and rate.is_integer() else {}
    return [whole.get(name, getattr(row, name)) for name in COLUMNS]
