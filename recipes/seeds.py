"""One table of several: the same rows trained with several seeds, as mean and range.

    mgsv reproduce ablations --data small --output ablations-1 --set train.seed=1
    mgsv reproduce ablations --data small --output ablations-2 --set train.seed=2
    python recipes/seeds.py ablations-1 ablations-2

Takes the folders of `mgsv reproduce ablations` or `table`, prints a table in Markdown. A row that
some folders lack is averaged over the others, and says over how many.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from mgsv.models.registry import about
from mgsv.training.reproduce import PAPER
from mgsv.training.runs import measure_name

FIGURES = {"mIoU": "mIoU", "R1": "R1", "R10": "R10", "MoR1": measure_name("MoR1")}
"""Columns of the table, and what they are called where they were measured."""

Figures = Mapping[str, float]


def rows_of(folder: Path) -> dict[str, Figures]:
    """The figures on test of every row kept in `folder`, by the row's title."""
    found = {}
    for path in sorted(folder.glob("*/evaluation.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        measures, shuffled = document["measures"], document["shuffled"]
        figures = {name: measures[of] for name, of in FIGURES.items() if of in measures}
        if "mIoU" in shuffled:
            figures["videos shuffled"] = shuffled["mIoU"]
        number, _, ablation = path.parent.name.partition("-")
        title = PAPER[ablation].setup if number.isdigit() else about(path.parent.name).title
        found[title] = figures
    if not found:
        raise SystemExit(f"{folder}: holds no row that was measured")
    return found


def spread(values: Sequence[float], digits: int) -> str:
    """Mean, and the least and greatest where there are several: `0.751 (0.730 to 0.768)`."""
    mean = f"{statistics.fmean(values):.{digits}f}"
    if len(values) == 1:
        return mean
    return f"{mean} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def table(folders: Sequence[Path]) -> str:
    """The rows of all `folders` in Markdown, in the order of the first that has them."""
    found = [rows_of(folder) for folder in folders]
    titles = dict.fromkeys(title for rows in found for title in rows)
    names = [
        name
        for name in (*FIGURES, "videos shuffled")
        if any(name in row for rows in found for row in rows.values())
    ]
    lines = [f"| | seeds | {' | '.join(names)} |", f"|---|--:|{'--:|' * len(names)}"]
    for title in titles:
        there = [rows[title] for rows in found if title in rows]
        cells = []
        for name in names:
            values = [row[name] for row in there if name in row]
            digits = 3 if name in ("mIoU", "videos shuffled") else 1
            cells.append(spread(values, digits) if values else "")
        lines.append(f"| {title} | {len(there)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="one folder per seed")
    print(table(parser.parse_args().folders))


if __name__ == "__main__":
    main()
