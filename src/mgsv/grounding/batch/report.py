"""What became of the clips of a batch."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mgsv.errors import ConfigError, shown
from mgsv.files import check_output, new_text, write_file
from mgsv.grounding.output import CREDITS_FORMATS

SCHEMA = "mgsv.batch/1"
FORMATS = (".csv", ".json")
State = Literal["written", "found", "done before", "failed", "failed before"]


@dataclass(frozen=True)
class BatchItem:
    """One clip: what was chosen for it, or why there is nothing."""

    clip: Path
    state: State
    """"found": chosen, and not to be rendered. "done before": its result was there already.
    "failed before": left out by a watch, since its file has not changed since then."""
    output: Path | None = None
    choice: dict[str, Any] | None = None
    """The chosen moment as in the document of `mgsv ground --json`, with the `chance` of its clip,
    and whether it is `better_than_chance`; None where nothing is known."""
    problem: str = ""
    notes: tuple[str, ...] = ()
    may_pass: bool = False
    """It failed for a reason outside the clip that may be gone at the next try."""

    @property
    def confidence(self) -> str:
        """How far the choice of the track can be trusted, in words."""
        if self.choice is None:
            return ""
        if self.choice["chance"] is None:
            return "no level of chance"
        return "above chance" if self.choice["better_than_chance"] else "a guess"

    def as_dict(self) -> dict[str, Any]:
        return {
            "clip": os.fspath(self.clip),
            "state": self.state,
            "output": None if self.output is None else os.fspath(self.output),
            "choice": self.choice,
            "confidence": self.confidence,
            "problem": self.problem,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class BatchReport(Sequence[BatchItem]):
    """All clips, in the order in which they were given."""

    items: tuple[BatchItem, ...]
    notes: tuple[str, ...] = ()

    def __getitem__(self, index: Any) -> Any:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    @property
    def failed(self) -> tuple[BatchItem, ...]:
        return tuple(item for item in self.items if item.state == "failed")

    @property
    def summary(self) -> str:
        """As in "3 clips: 2 written, 1 failed"."""
        counts = Counter(item.state for item in self.items)
        parts = ", ".join(f"{count} {state}" for state, count in counts.items())
        return f"{len(self.items)} clip{'s' * (len(self.items) != 1)}: {parts}"

    def as_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "clips": [item.as_dict() for item in self.items],
            "notes": list(self.notes),
        }

    def write(self, path: Path, *, overwrite: bool = False) -> None:
        """Write the report as .json or .csv; raises `OutputError` where that cannot be done."""
        check_report(path, overwrite=overwrite)
        if path.suffix.lower() == ".json":
            write_file(path, json.dumps(self.as_dict(), indent=2), overwrite=overwrite)
            return
        with new_text(path, overwrite=overwrite, errors="surrogateescape") as file:
            table = csv.writer(file)
            table.writerow(COLUMNS)
            table.writerows(_row(item) for item in self.items)

    def write_credits(self, path: Path, *, overwrite: bool = False) -> None:
        """Write a .txt file with a line per clip: its name, and the credits of its music.

        Clips of one name stand with their paths. Raises `OutputError` as `write` does.
        """
        check_output(path, CREDITS_FORMATS, overwrite=overwrite, inputs=())
        counts = Counter(item.clip.name for item in self.items)
        lines = [
            f"{shown(item.clip.name if counts[item.clip.name] == 1 else item.clip)}: {_line(item)}"
            for item in self.items
        ]
        write_file(path, "".join(f"{line}\n" for line in lines), overwrite=overwrite)


COLUMNS = (
    *("clip", "state", "track", "start", "end", "score", "chance", "confidence"),
    *("why", "credits", "output", "problem"),
)


def check_report(path: Path, *, overwrite: bool) -> None:
    """Raises `ConfigError` or `OutputError` where no report can be written to `path`."""
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"`report` {shown(path)}: unknown", "end its name in .csv or .json")
    check_output(path, FORMATS, overwrite=overwrite, inputs=())


def _line(item: BatchItem) -> str:
    if item.state == "failed":
        return "none, since it failed"
    return "unknown" if item.choice is None else str(item.choice["credits"]["line"])


def _row(item: BatchItem) -> list[Any]:
    own = item.choice or {}
    values = {
        **{name: own.get(name) for name in ("track", "start", "end", "score", "chance", "why")},
        "clip": os.fspath(item.clip),
        "state": item.state,
        "confidence": item.confidence,
        "credits": own.get("credits", {}).get("line"),
        "output": item.output,
        "problem": item.problem,
    }
    return ["" if values[name] is None else values[name] for name in COLUMNS]
