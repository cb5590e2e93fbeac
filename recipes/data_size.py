"""Draw what data is worth: a run's figures against its training rows, for one or more seeds.

    mgsv reproduce data-size --data small --output data-size --preset small-world
    python recipes/data_size.py data-size --output docs/images/data-size.png

Reads what `mgsv reproduce data-size` keeps, a folder per seed, and prints the table as Markdown.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from matplotlib.figure import Figure

from mgsv.drawing import BLUE, GREY, ORANGE, encoded, styled
from mgsv.files import write_file
from seeds import spread

LINES = {"mIoU": BLUE, "shuffled mIoU": ORANGE}

Sizes = dict[int, dict[str, list[float]]]
"""Of each number of rows the figures of every seed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, help="one folder per seed")
    parser.add_argument("--output", type=Path, required=True, help="the picture, a PNG")
    options = parser.parse_args()
    sizes = read(options.folders)
    print(markdown(sizes))
    write_file(options.output, picture(sizes), overwrite=True)


def read(folders: Sequence[Path]) -> Sizes:
    """What the folders hold, by the number of rows, the fewest first."""
    found: Sizes = {}
    for folder in folders:
        for run in json.loads((folder / "data-size.json").read_text(encoding="utf-8")):
            size = found.setdefault(run["rows"], {})
            for name in ("epochs", *LINES, "best blind mIoU"):
                size.setdefault(name, []).append(run[name])
    return dict(sorted(found.items()))


def markdown(sizes: Sizes) -> str:
    """A column for each number of rows; ranges where there are several seeds."""
    lines = [f"| training rows | {' | '.join(f'{rows:,}' for rows in sizes)} |"]
    lines.append(f"|---|{'--:|' * len(sizes)}")
    lines.append(f"| epochs | {' | '.join(str(size['epochs'][0]) for size in sizes.values())} |")
    for title, name in (("mIoU", "mIoU"), ("its videos shuffled", "shuffled mIoU")):
        cells = (spread(size[name], 3) for size in sizes.values())
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def picture(sizes: Sizes) -> bytes:
    """Means over the seeds, and a dot for each, as a PNG."""
    with styled():
        figure = Figure(figsize=(5, 3), layout="constrained")
        axes = figure.subplots()
        for name, colour in LINES.items():
            axes.plot([*sizes], [fmean(size[name]) for size in sizes.values()], color=colour)
            for rows, size in sizes.items():
                axes.plot([rows] * len(size[name]), size[name], "o", color=colour, markersize=4)
        blind = next(iter(sizes.values()))["best blind mIoU"][0]
        axes.axhline(blind, color=GREY, linewidth=1, linestyle="--")
        axes.set_xscale("log")
        axes.set_xticks([*sizes], [f"{rows:,}" for rows in sizes])
        axes.minorticks_off()
        axes.set(xlabel="training rows", ylabel="mIoU on test", ylim=(0, 1))
        figure.supxlabel(
            "Blue: MaDe. Orange: its videos shuffled. Grey: best blind rule", fontsize=8
        )
        return encoded(figure, "png")


if __name__ == "__main__":
    main()
