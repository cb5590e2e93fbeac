"""Draw the learning curves of all systems of a table, and print the table as Markdown.

    mgsv reproduce table --data small --output table --preset small-world
    python recipes/curves.py table --output docs/images/curves.png

Reads what `mgsv reproduce table` keeps of each row: its log, and what was measured on test.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mgsv.drawing import BLUE, GREY, ORANGE, encoded, styled
from mgsv.evaluation.evaluate import best_blind
from mgsv.files import write_file
from mgsv.models.registry import about, systems

COLUMNS = 4


@dataclass(frozen=True)
class Made:
    """A row of the table that was made."""

    title: str
    document: Mapping[str, Any]
    """What was measured on test."""
    log: tuple[Mapping[str, str], ...] = ()
    """The figures of each epoch; none of a composite."""

    def curve(self, figure: str) -> tuple[list[int], list[float]]:
        """Steps, and the val figure after each; empty where the system has none."""
        lines = [line for line in self.log if line.get(f"val {figure}")]
        return [int(line["step"]) for line in lines], [
            float(line[f"val {figure}"]) for line in lines
        ]

    @property
    def rise(self) -> float | None:
        """How much of the last val figure came in the last quarter of the steps, in per cent."""
        name = "mIoU" if "mIoU" in self.document["measures"] else "R1"
        steps, values = self.curve(name)
        if not values:
            return None
        earlier = [v for step, v in zip(steps, values, strict=True) if step <= 0.75 * steps[-1]]
        return 100 * (values[-1] - earlier[-1]) / values[-1] if earlier else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path, help="folder that `mgsv reproduce table` wrote")
    parser.add_argument("--output", type=Path, required=True, help="the picture, a PNG")
    options = parser.parse_args()
    rows = list(made_rows(options.table))
    if not rows:
        parser.error(f"no measured row in {options.table}")
    print("\n".join(markdown(rows)))
    write_file(options.output, picture(rows), overwrite=True)


def made_rows(table: Path) -> Iterator[Made]:
    """The rows of the table that are measured, in the systems' order."""
    for name in systems():
        measured, log = table / name / "evaluation.json", table / name / "run" / "log.csv"
        if not measured.exists():
            continue
        document = json.loads(measured.read_text(encoding="utf-8"))
        lines = csv.DictReader(log.read_text(encoding="utf-8").splitlines()) if log.exists() else ()
        yield Made(about(name).title, document, tuple(lines))


def markdown(rows: list[Made]) -> Iterator[str]:
    """The systems by their mIoU and then by R1, then what is had without a model."""
    head = "mIoU | its videos shuffled | R1 | R10 | MoR1 (0.7) | steps | min | last quarter"
    yield f"| | {head} |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|"

    def rank(row: Made) -> tuple[float, float]:
        measures = row.document["measures"]
        return -measures.get("mIoU", 0.0), -measures.get("R1", 0.0)

    for row in sorted(rows, key=rank):
        measures, intervals = row.document["measures"], row.document["intervals"]
        cells = [row.title, "", "", *(_per_cent(measures, n) for n in ("R1", "R10", "MoR1@0.7"))]
        if "mIoU" in measures:
            low, high = intervals["mIoU"]
            cells[1] = f"{measures['mIoU']:.3f} [{low:.3f}, {high:.3f}]"
            cells[2] = f"{row.document['shuffled']['mIoU']:.3f}"
        steps = row.curve("mIoU")[0] or row.curve("R1")[0]
        cells.append(f"{steps[-1]:,}" if steps else "")
        cells.append(f"{row.document['seconds'] / 60:.1f}" if steps else "")
        cells.append("" if row.rise is None else f"{row.rise:+.1f} %")
        yield f"| {' | '.join(cells)} |"
    for name, figures in rows[0].document["baselines"].items():
        yield f"| {name} | {figures['mIoU']:.3f} |{' |' * 7}"


def _per_cent(measures: Mapping[str, float], name: str) -> str:
    return f"{measures[name]:.1f}" if name in measures else ""


def picture(rows: list[Made]) -> bytes:
    """A panel for each system that was trained, as a PNG."""
    rows = [row for row in rows if row.log]
    blind, oracle = best_blind(rows[0].document), rows[0].document["baselines"].get("oracle")
    longest = max(int(row.log[-1]["step"]) for row in rows)
    with styled({"font.size": 8}):
        lines = -(-len(rows) // COLUMNS)
        figure = Figure(figsize=(2.2 * COLUMNS, 1.7 * lines), layout="constrained")
        panels = figure.subplots(lines, COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
        for axes in panels[len(rows) :]:
            axes.set_axis_off()
        for axes, row in zip(panels, rows, strict=False):
            if "mIoU" in row.document["measures"]:
                axes.axhline(blind, color=GREY, linewidth=1, linestyle="--")
                if oracle is not None:
                    axes.axhline(oracle["mIoU"], color=GREY, linewidth=1)
            axes.plot(*row.curve("mIoU"), color=BLUE, label="mIoU")
            steps, recall = row.curve("R10")
            axes.plot(steps, [value / 100 for value in recall], color=ORANGE, label="R10")
            axes.set(title=row.title, xlim=(0, longest), ylim=(0, 1))
        figure.supxlabel("steps; val split. Blue: mIoU. Orange: R10. Grey: oracle, best blind rule")
        return encoded(figure, "png")


if __name__ == "__main__":
    main()
