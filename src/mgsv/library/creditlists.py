"""`licences.csv` beside the music: credits of files that do not say themselves whose they are.

A table with a line of names on top. The column `file` names a file below the list's folder, or
several with a pattern, as in `jamendo/*`; the others are fields of `Credits`, and what stands there
counts more than the file's own tags. A list nearer to the file counts more than one further up, and
a name more than a pattern.
"""

from __future__ import annotations

import csv
import fnmatch
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from mgsv.errors import shown
from mgsv.library.credits import Credits

NAME = "licences.csv"
LARGEST = 20_000_000
"""Bytes of a list that are read; one of 100,000 tracks has less."""
_SPELLINGS = {"license": "licence", "path": "file", "name": "file", "filename": "file"}
_NAMED = 3


@dataclass(frozen=True)
class CreditList:
    """One list as it was read."""

    path: Path
    named: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Path below the folder, with slashes → fields."""
    patterns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    problem: str = ""

    def of(self, below: str) -> Mapping[str, str]:
        """What it says of the file at the path `below` its folder."""
        said = next((row for p, row in self.patterns.items() if fnmatch.fnmatchcase(below, p)), {})
        return {**said, **self.named.get(below, {})}


class CreditLists:
    """The lists beside music, each read once."""

    def __init__(self) -> None:
        self._lists: dict[str, CreditList | None] = {}

    def credits(self, path: bytes, own: Credits) -> Credits:
        """`own`, what the file at `path` says of itself, with what the lists say of it."""
        whole = os.fsdecode(path)
        found = []
        folder = os.path.dirname(whole)  # noqa: PTH120 (many, as text)
        while True:
            if (one := self._in(folder)) is not None:
                below = os.path.relpath(whole, folder).replace(os.sep, "/")
                found.append(one.of(below))
            above = os.path.dirname(folder)  # noqa: PTH120
            if above == folder:
                break
            folder = above
        for said in reversed(found):
            own = own.with_more(said)
        return own

    def problems(self) -> list[str]:
        """A line for each list so far that cannot be read, or names files that are not there."""
        return [line for one in self._lists.values() if one is not None for line in _problems(one)]

    def _in(self, folder: str) -> CreditList | None:
        if folder not in self._lists:
            path = Path(folder) / NAME
            self._lists[folder] = read_credit_list(path) if path.is_file() else None
        return self._lists[folder]


def read_credit_list(path: Path) -> CreditList:
    """The list at `path`; one that cannot be used has a `problem` and says nothing."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        return CreditList(path, problem=f"it cannot be read ({error.strerror})")
    if len(data) > LARGEST:
        return CreditList(path, problem=f"it has more than {LARGEST // 1_000_000} MB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")  # what spreadsheets write where UTF-8 is not chosen
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    try:
        table = list(csv.reader(text.splitlines(), delimiter=delimiter))
    except csv.Error as error:
        return CreditList(path, problem=f"it is no table ({error})")
    names = [_column(name) for name in table[0]] if table else []
    known = {one.name for one in fields(Credits)}
    if "file" not in names or not known.intersection(names):
        columns = ", ".join(["file", *sorted(known)])
        return CreditList(path, problem=f"its first line must name columns of {columns}")
    rows = (dict(zip(names, map(str.strip, row), strict=False)) for row in table[1:])
    return _list_of(path, rows)


def _list_of(path: Path, rows: Iterable[dict[str, str]]) -> CreditList:
    named: dict[str, Mapping[str, str]] = {}
    patterns: dict[str, Mapping[str, str]] = {}
    for row in rows:
        row = {column: text for column, text in row.items() if text}
        file = row.pop("file", "").replace("\\", "/").removeprefix("./")
        if file:
            (patterns if set(file) & set("*?") else named)[file] = row
    return CreditList(path, named, patterns)


def _column(name: str) -> str:
    plain = name.strip().casefold()
    return _SPELLINGS.get(plain, plain)


def _problems(one: CreditList) -> Iterable[str]:
    if one.problem:
        yield f"{shown(one.path)}: {one.problem}; it was left out"
        return
    gone = [name for name in one.named if not (one.path.parent / name).exists()]
    if gone:
        more = f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else ""
        which = "file that is" if len(gone) == 1 else "files that are"
        names = ", ".join(shown(name) for name in gone[:_NAMED])
        yield f"{shown(one.path)}: it names {len(gone)} {which} not there: {names}{more}"
