"""Draw how often places are right of which a probability is said, and print the scores.

    python recipes/reliability.py --output docs/images/reliability.png \
        "first editor=WORK/figures-first.json" "real edits=FIGURES"

Each figure file is what `recipes/default_model.py` or `benchmarks/real_edits.py --figures` wrote;
of the former, the pairs of all seeds count.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from mgsv.drawing import BLUE, GREY, ORANGE, encoded, styled
from mgsv.files import write_file

Floats = npt.NDArray[np.float64]

EDGES = (0.0, 0.25, 0.5, 0.75, 1.0)
LEAST = 3
"""Places in a bin below which its share is not drawn."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figures", nargs="+", metavar="TITLE=FILE")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    kinds: dict[str, Floats] = {}
    for one in options.figures:
        title, _, file = one.rpartition("=")
        kinds[title] = pairs_of(Path(file))
    print("| | places | said | right | Brier score | of the base rate |\n|---|--:|--:|--:|--:|--:|")
    for title, (said, right) in kinds.items():
        if len(said):
            print(
                f"| {title} | {len(said)} | {said.mean():.2f} | {right.mean():.2f} "
                f"| {((said - right) ** 2).mean():.3f} | {right.var():.3f} |"
            )
        else:
            print(f"| {title} | 0 | | | | |")
    write_file(options.output, picture(kinds), overwrite=True)


def pairs_of(file: Path) -> Floats:
    """[2, N] probabilities said, and 1 where the place is right."""
    found = json.loads(file.read_text(encoding="utf-8"))
    seeds = [found] if "pairs" in found else [one["probability"] for one in found.values()]
    pairs = [pair for seed in seeds for pair in seed["pairs"]]
    return np.array(pairs, np.float64).reshape(-1, 2).T


def picture(kinds: dict[str, Floats]) -> bytes:
    """A panel for each kind of edit, as a PNG."""
    with styled():
        figure = Figure(figsize=(2.3 * len(kinds), 2.6), layout="constrained")
        panels = figure.subplots(1, len(kinds), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (title, (said, right)) in zip(panels, kinds.items(), strict=True):
            axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
            bins = np.clip(np.searchsorted(EDGES, said, "right") - 1, 0, len(EDGES) - 2)
            for bin in range(len(EDGES) - 1):
                held = bins == bin
                if held.sum() < LEAST:
                    continue
                x, y, count = said[held].mean(), right[held].mean(), int(held.sum())
                low, high = wilson(y, count)
                axes.plot([x, x], [low, high], color=BLUE, linewidth=1)
                axes.plot(x, y, "o", color=BLUE, markersize=5)
                axes.annotate(str(count), (x, y), xytext=(5, -3), textcoords="offset points")
            axes.plot(said, np.where(right > 0, 1.04, -0.04), "|", color=ORANGE, markersize=5)
            axes.set(title=title, xlim=(0, 1), ylim=(-0.08, 1.08), aspect="equal")
            axes.set_xlabel("said")
        panels[0].set_ylabel("share right")
        return encoded(figure, "png")


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    z = 1.96
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    reach = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return float(middle - reach), float(middle + reach)


if __name__ == "__main__":
    main()
