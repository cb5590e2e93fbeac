"""Draw recall and time by library size, and print the tables.

    python benchmarks/scale_picture.py --quality SCALE.json... --times QUERIES.json... \\
        --output docs/images/scale.png

The files are what `scale.py` and `scale_queries.py` saved.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mgsv.drawing import BLUE, GREY, ORANGE, encoded, styled
from mgsv.files import write_file

Table = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quality", type=Path, nargs="+", required=True)
    parser.add_argument("--times", type=Path, nargs="+", required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    quality = rows_of(options.quality)
    times = rows_of(options.times)
    print(
        "| tracks (of the corpus) | clips | best in 50, 100, 200 | ten best in 50, 100, 200 | "
        "R1, R10 of 50 | R1, R10 of all |\n|--:|--:|---|---|---|---|"
    )
    for one in quality:
        shares = [
            ", ".join(f"{one[f'{what}_in_{most}']:.3f}" for most in (50, 100, 200))
            for what in ("best", "ten")
        ]
        ends = [", ".join(f"{one[f'R{k}_{of}']:.3f}" for k in (1, 10)) for of in KINDS]
        cells = [f"{one['tracks']:,} ({one['corpus_tracks']})", str(one["clips"]), *shares, *ends]
        print(f"| {' | '.join(cells)} |")
    print("\n| tracks | prepared | warm: median, most | cold |\n|--:|--:|---|--:|")
    for one in times:
        print(
            f"| {one['tracks']:,} | {one['prepared']:.0f} s | {one['warm']:.2f} s, "
            f"{one['warm_most']:.2f} s | {one['cold']:.2f} s |"
        )
    write_file(options.output, picture(quality, times), overwrite=True)


KINDS = "of_50", "exhaustive"


def rows_of(files: Sequence[Path]) -> list[Table]:
    """Of all files, by size; a later file's row replaces an earlier one's."""
    found: dict[int, Table] = {}
    for file in files:
        for one in json.loads(file.read_text(encoding="utf-8"))["sizes"]:
            found[one["tracks"]] = one
    return [found[size] for size in sorted(found)]


def picture(quality: Sequence[Table], times: Sequence[Table]) -> bytes:
    """Shares on the left, seconds on the right, as a PNG."""
    with styled():
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        sizes = [one["tracks"] for one in quality]
        lines = (
            ("best_in_50", "the best of all is in the shortlist", BLUE, "-"),
            ("ten_in_50", "the ten best of all are", BLUE, "--"),
            ("R10_of_50", "right track among ten, by the shortlist", ORANGE, "-"),
            ("R10_exhaustive", "likewise, all ranked", GREY, "--"),
        )
        for name, label, colour, style in lines:
            shares = [one[name] for one in quality]
            left.plot(sizes, shares, style, color=colour, label=label, marker="o", markersize=3)
        left.set(xlabel="tracks", ylabel="share", ylim=(0, 1.03))
        for axes, known in ((left, sizes), (right, [one["tracks"] for one in times])):
            axes.set_xscale("log")
            axes.set_xticks(known, [f"{size:,}" for size in known])
            axes.minorticks_off()
        left.legend(loc="lower left", fontsize="small")
        for name, label, colour in (("warm", "warm", BLUE), ("cold", "cold", ORANGE)):
            right.plot(
                [one["tracks"] for one in times],
                [one[name] for one in times],
                color=colour,
                label=label,
                marker="o",
            )
        right.set(xlabel="tracks", ylabel="seconds a query", ylim=(0, None))
        right.legend(loc="upper left", fontsize="small")
        return encoded(figure, "png")


if __name__ == "__main__":
    main()
