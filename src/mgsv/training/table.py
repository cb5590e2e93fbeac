"""The paper's comparison of systems made again: all of them trained and measured on one folder.

Every row has a folder of its own under the output. What is done is kept: a killed table
resumes where it stopped, even within a run. A row that fails is reported, the others are made.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from mgsv.data.dataset import SplitData
from mgsv.errors import ConfigError, MgsvError, shown
from mgsv.evaluation.evaluate import best_blind
from mgsv.jobs import Listener
from mgsv.models.registry import COMPOSITE, PAPERS_COMPOSITE, about, count_parameters
from mgsv.models.system import System
from mgsv.training.config import configure, lines_for
from mgsv.training.fit import sizes_of
from mgsv.training.plan import TablePlan, plan_runs
from mgsv.training.runs import (
    THETA,
    best_checkpoint,
    evaluated,
    measure_name,
    measured,
    text_table,
    write,
)

SCHEMA = "mgsv.table/1"

MEASURES = ("mIoU", "R1", "R5", "R10", "MoR1", "MoR10", "MoR100")

PAPER: Mapping[str, Mapping[str, float]] = {
    "tr_detr": {"mIoU": 0.393},
    "qd_detr": {"mIoU": 0.423},
    "eatr": {"mIoU": 0.588},
    "moment_detr": {"mIoU": 0.630},
    "tr_detr_plus": {"mIoU": 0.630},
    "qd_detr_plus": {"mIoU": 0.634},
    "uvcom": {"mIoU": 0.652},
    "uvcom_plus": {"mIoU": 0.661},
    "mvpt": {"R1": 2.4, "R5": 6.8, "R10": 9.4},
    "mvpt_plus": {"R1": 6.7, "R5": 11.9, "R10": 14.9},
    COMPOSITE: dict(zip(MEASURES, (0.661, 6.7, 11.9, 14.9, 5.4, 11.8, 23.0), strict=True)),
    "conquer": dict(zip(MEASURES, (0.572, 5.8, 11.0, 13.5, 4.4, 9.6, 18.4), strict=True)),
    "made": dict(zip(MEASURES, (0.722, 8.8, 16.3, 19.8, 8.3, 17.6, 30.7), strict=True)),
}
"""MGSV (ICCV 2025), the comparison on MGSV-EC's test split, by our names in the paper's order.

mIoU is a fraction, all else per cent."""

FIRST_STAGE = {"conquer": "mvpt"}
"""Who ranks whole sets for a system that only re-ranks."""


def reproduce_table(
    *,
    data: str | os.PathLike[str],
    output: str | os.PathLike[str],
    preset: str = "cpu-ablation",
    models: Iterable[str] = tuple(PAPER),
    set: Iterable[str] = (),
    progress: Listener | None = None,
) -> dict[str, Any]:
    """Train and measure the systems `models` of the paper's table on the data folder `data`.

    Returns the table as a JSON-ready document, and writes it to `output` after every row:
    `table.json`, `.txt`, and `.html`. Systems that a row is made of are trained too. `set` changes
    the settings of all systems that have them (`model.heads=2`), or of one (`uvcom.queries=10`,
    `conquer.train.epochs=5`). What is measured on test is each run's best checkpoint by mIoU on
    val, or by R1 of a system that finds no moments. Call again with the same arguments to go on
    after a kill.

    A row that fails holds the reason as `failed`. Raises DataError where the data cannot be opened,
    ConfigError for an unknown system, preset or setting.
    """
    folder, names = Path(output), [*models]
    runs = _Runs(folder, data, preset, tuple(set), progress)
    runs.check(names)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "preset": preset,
        "set": [*runs.changes],
        "split": "test",
        "theta": float(THETA),
    }
    made: list[dict[str, Any]] = []
    for name in names:
        row, measured = runs.row(name)
        made.append(row)
        for field in ("queries", "tracks", "baselines"):
            if measured is not None:
                document.setdefault(field, measured[field])
        document["rows"] = made
        _write_table(folder, document)
    return document


def plan_table(
    *,
    data: str | os.PathLike[str],
    output: str | os.PathLike[str],
    preset: str = "cpu-ablation",
    models: Iterable[str] = tuple(PAPER),
    set: Iterable[str] = (),
) -> TablePlan:
    """What `reproduce_table` with the same arguments would train, how long it would take on this
    machine, and what it lacks here. Nothing is written. Raises what `reproduce_table` does.
    """
    names = [*models]
    runs = _Runs(Path(output), data, preset, tuple(set), None)
    changes = {name: tuple(lines_for(name, runs.changes)) for name in runs.check(names)}
    return plan_runs(changes, data=data, output=output, preset=preset, changes=changes)


class _Runs:
    """The runs of one table."""

    def __init__(
        self,
        folder: Path,
        data: str | os.PathLike[str],
        preset: str,
        changes: tuple[str, ...],
        progress: Listener | None,
    ) -> None:
        self.folder, self.data, self.preset, self.changes = folder, data, preset, changes
        self.progress = progress
        self._done: dict[str, dict[str, Any]] = {}
        self._failed: dict[str, str] = {}

    def check(self, names: Sequence[str]) -> tuple[str, ...]:
        """Refuse before any training what no row could run with; the systems that are trained."""
        for name in names:
            if name not in PAPER:
                raise ConfigError(f"no system {name!r} in the table", f"choose {', '.join(PAPER)}")
        needed = dict.fromkeys(part for name in names for part in _trained_for(name))
        for change in self.changes:
            if not any([*lines_for(name, [change])] for name in needed):
                raise ConfigError(
                    f"`set` {change}: no such setting in {', '.join(needed)}",
                    "list the settings of one with `mgsv train NAME --settings`",
                )
        for name in needed:
            configure(name, self.preset, self._set(name))
        for split in ("train", "val", "test"):
            SplitData.open(self.data, split)
        if self.folder.exists() and not self.folder.is_dir():
            raise ConfigError(f"`output` {shown(self.folder)}: is a file", "name a folder")
        return tuple(needed)

    def row(self, name: str) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """The row of the system `name`, and the document of its evaluation unless it failed."""
        parts = PAPERS_COMPOSITE if name == COMPOSITE else (name,)
        sizes = sizes_of(SplitData.open(self.data, "train"))
        settings = [configure(part, self.preset, (*sizes, *self._set(part))) for part in parts]
        counts = map(count_parameters, parts, [architecture for architecture, _ in settings])
        row: dict[str, Any] = {
            "name": name,
            "title": about(name).title,
            "parameters": sum(counts),
            "paper parameters": about(name).parameters * 1e6,
            "paper": dict(PAPER[name]),
            "ours": {},
            "shuffled": {},
            "seed": settings[0][1].seed,
            "seconds": None,
            "failed": None,
        }
        try:
            document = self._document(name)
        except Exception as error:  # one system's fault is no reason to give up the others
            row["failed"] = _reason(error)
            return row, None
        for ours, kind in (("ours", "measures"), ("shuffled", "shuffled")):
            figures = document[kind]
            row[ours] = {
                m: figures[measure_name(m)] for m in MEASURES if measure_name(m) in figures
            }
        # A composite takes no time of its own: its parts' rows have it.
        row["seconds"] = None if name == COMPOSITE else document["seconds"]
        return row, document

    def _document(self, name: str) -> dict[str, Any]:
        """What was measured of `name`; of one that failed in this call, that error again."""
        if name in self._failed:
            raise ConfigError(f"{about(name).title} failed", self._failed[name])
        try:
            if name not in self._done:
                self._done[name] = self._make(name)
        except Exception as error:
            self._failed[name] = _reason(error)
            raise
        return self._done[name]

    def _make(self, name: str) -> dict[str, Any]:
        if name == COMPOSITE:
            matcher, detector = (self._checkpoint(part) for part in PAPERS_COMPOSITE)
            system = System(matcher=matcher, detector=detector)
            return evaluated(self.folder / name, self.data, system, 0.0)
        first = FIRST_STAGE.get(name)
        return measured(
            self.folder / name,
            name,
            data=self.data,
            preset=self.preset,
            set=self._set(name),
            progress=self.progress,
            first_stage=None if first is None else self._checkpoint(first),
        )

    def _checkpoint(self, name: str) -> Path:
        """The best checkpoint of another row, which is made first."""
        self._document(name)
        return best_checkpoint(self.folder / name, name)

    def _set(self, name: str) -> tuple[str, ...]:
        return tuple(lines_for(name, self.changes))


def _trained_for(name: str) -> tuple[str, ...]:
    """The models that the row `name` takes."""
    if name == COMPOSITE:
        return PAPERS_COMPOSITE
    return (name, FIRST_STAGE[name]) if name in FIRST_STAGE else (name,)


def _reason(error: Exception) -> str:
    """One line; of an error that was not foreseen, with its kind."""
    text = (str(error).splitlines() or [""])[0]
    return text if isinstance(error, MgsvError) else f"{type(error).__name__}: {text}"


# The table as people read it


def _write_table(folder: Path, document: Mapping[str, Any]) -> None:
    """`document` as JSON, plain text and HTML."""
    from mgsv.evaluation.report import result_table, write_page

    title = "Systems for music grounding by short video"
    head = ("", "M", *MEASURES, "min")
    lines = _lines(document)
    note = _note(document)
    write(folder / "table.json", json.dumps(document, indent=2, ensure_ascii=False))
    write(folder / "table.txt", f"{text_table(head, lines)}\n\n{note}")
    body = [f"<h1>{title}</h1>", *(f"<p>{escape(line)}</p>" for line in note.splitlines())]
    body += [
        *_charts(document),
        result_table(head, [[escape(cell) for cell in line] for line in lines]),
    ]
    write_page(folder / "table.html", title, body)


def _lines(document: Mapping[str, Any]) -> list[list[str]]:
    """Lines of the table: each system's here, with its videos shuffled and in the paper; then what
    is reached without a model.
    """
    lines = []
    for row in document["rows"]:
        millions = [_millions(row[whose]) for whose in ("parameters", "paper parameters")]
        minutes = "" if row["seconds"] is None else f"{row['seconds'] / 60:.1f}"
        title = f"{row['title']} failed" if row["failed"] else row["title"]
        lines.append([title, millions[0], *_cells(row["ours"]), minutes])
        if not row["failed"]:
            lines.append(["  videos shuffled", "", *_cells(row["shuffled"]), ""])
        lines.append(["  paper", millions[1], *_cells(row["paper"]), ""])
    for name, figures in document.get("baselines", {}).items():
        lines.append([name, "", *_cells(figures), ""])
    return lines


def _millions(count: float) -> str:
    return f"{count / 1e6:.1f}" if count >= 1e6 else f"{count / 1e6:.3f}"


def _cells(figures: Mapping[str, float]) -> list[str]:
    from mgsv.evaluation.report import formatted as figure

    return [figure(m, figures[m]) if m in figures else "" for m in MEASURES]


def _note(document: Mapping[str, Any]) -> str:
    """What a reader must know, and why rows failed."""
    seeds = sorted({row["seed"] for row in document["rows"]})
    settings = [f"preset {document['preset']}", *document["set"]]
    settings.append(f"seed {', '.join(map(str, seeds))}")
    size = ""
    if "queries" in document:
        size = f", {document['queries']:,} queries and {document['tracks']:,} tracks"
    lines = [
        f"Here: test split of the given data{size}; {'; '.join(settings)}.",
        f"MoR at IoU > {THETA}; the paper, on MGSV-EC, names no threshold.",
        "M: millions of parameters, as trained. min: minutes of training.",
    ]
    lines += [f"{row['title']}: {row['failed']}" for row in document["rows"] if row["failed"]]
    return "\n".join(lines)


def _charts(document: Mapping[str, Any]) -> list[str]:
    """A bar chart of the moments and one of the ranks, where there are any."""
    from mgsv.evaluation import plots

    charts = []
    for measure, label in (("mIoU", "mIoU"), ("R10", "R10 in %")):
        rows = [row for row in document["rows"] if measure in row["ours"]]
        if not rows:
            continue
        bars = {
            label: [row[key].get(measure) for row in rows]
            for label, key in (
                ("here", "ours"),
                ("videos shuffled", "shuffled"),
                ("paper, on MGSV-EC", "paper"),
            )
        }
        levels = {}
        if measure == "mIoU":
            levels["best without the video"] = best_blind(document)
            oracle = document["baselines"].get("oracle")
            levels |= {"oracle": oracle["mIoU"]} if oracle else {}
        charts.append(plots.bars([row["title"] for row in rows], bars, label, levels))
    return charts
