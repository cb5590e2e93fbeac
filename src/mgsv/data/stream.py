"""Annotation files of any size, line by line, each broken line reported by itself."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

from mgsv.data.annotations import Problem, Row, parse_row, parse_seconds, read_header
from mgsv.errors import DataError

MOST_LINES = 4
"""Lines a row may stretch over: a file name may hold line breaks."""

LONGEST_LINE = 100_000
"""Characters; what is longer is cut off, and is no row then."""


class Line(NamedTuple):
    """What a line of an annotation file holds: a row, or the first thing wrong with it."""

    number: int
    """From 1, the header being line 1."""
    row: Row | None
    problem: Problem | None = None
    confidence: float = 1.0
    """The column `confidence`, which `mgsv annotate` adds; 1 where there is none."""
    cuts: tuple[float, ...] = ()
    """The column `cuts`: seconds of the video, apart by spaces; empty where there is none."""


def stream_annotations(path: str | os.PathLike[str]) -> Iterator[Line]:
    """The lines of an annotation file of any size, a few at a time in memory.

    Unlike `check_annotations` it takes bytes that are not UTF-8 for a problem of their line, does
    not look for videos that stand twice, and lets a stray quote spoil no line but its own. Raises
    DataError for a file that cannot be read or whose header lacks a column.
    """
    try:
        stream = Path(path).open(encoding="utf-8-sig", errors="surrogateescape", newline="")  # noqa: SIM115
    except OSError as error:
        raise DataError(path, error.strerror or "cannot be read", "check the path") from error
    with stream:
        lines = _Lookahead(stream)
        first = lines.take(1)
        if first is None:
            raise DataError(path, "the file is empty", "name another file")
        header = read_header(path, csv.reader([first]))
        while (number := lines.number + 1) and (text := lines.take(1)) is not None:
            cells = _cells_of(text)
            # A file name may hold line breaks: then a quote is open at the line's end.
            more = 1
            while cells is None and more < MOST_LINES and (longer := lines.peek(more)):
                cells = _cells_of(text + longer)
                if cells is not None:
                    lines.take(more)
                more += 1
            if cells != []:
                yield _line(number, text, cells, header)


class _Lookahead:
    """The lines of a file, some of which can be looked at before they are taken."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._ahead: list[str] = []
        self.number = 0
        """Lines taken so far."""

    def peek(self, count: int) -> str | None:
        """The next `count` lines as one text; None where there are fewer."""
        while len(self._ahead) < count and (line := self._stream.readline(LONGEST_LINE)):
            self._ahead.append(line)
            while not line.endswith("\n") and (line := self._stream.readline(LONGEST_LINE)):
                pass
        return "".join(self._ahead[:count]) if len(self._ahead) >= count else None

    def take(self, count: int) -> str | None:
        """Like `peek`, and go on behind them."""
        text = self.peek(count)
        if text is not None:
            self.number += count
            del self._ahead[:count]
        return text


def _cells_of(text: str) -> list[str] | None:
    """The cells of one row, [] of a blank line; None where the text is not one whole row."""
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error:
        return None
    return rows[0] if rows else []


def _line(number: int, text: str, cells: list[str] | None, header: dict[str, int]) -> Line:
    if any("\udc80" <= c <= "\udcff" for c in text):
        return Line(number, None, Problem(number, "row", "not UTF-8 text"))
    if cells is None:
        return Line(number, None, Problem(number, "row", "a quote that is not closed"))
    found = parse_row(cells, header, number)
    if not isinstance(found, Row):
        return Line(number, None, found[0])
    confidence, cuts = 1.0, tuple[float, ...]()
    if "confidence" in header and (cell := cells[header["confidence"]].strip()):
        try:
            confidence = parse_seconds(cell)
        except ValueError as error:
            return Line(number, None, Problem(number, "confidence", str(error)))
        if confidence > 1:
            return Line(number, None, Problem(number, "confidence", f"{cell} is above 1"))
    if "cuts" in header:
        try:
            cuts = tuple(map(parse_seconds, cells[header["cuts"]].split()))
        except ValueError as error:
            return Line(number, None, Problem(number, "cuts", str(error)))
    return Line(number, found, confidence=confidence, cuts=cuts)
