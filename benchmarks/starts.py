"""How often music is used from its start, by the lengths of clip and track, in MGSV-EC.

    .venv/bin/python benchmarks/starts.py FOLDER    # of val_data.csv and test_data.csv

Fits the prior of `methods.origin` (`FROM_START`) on val and prints what it is worth on test, beside
simpler ones: the mean squared error of the probability (Brier score), and the log-loss.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mgsv.data.annotations import read_annotations
from mgsv.methods.origin import FROM_START, TWO_MINUTES

Floats = npt.NDArray[np.float64]

AT_START = 0.5
"""Seconds."""
STEPS = 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    val, test = (read(folder / f"{split}_data.csv") for split in ("val", "test"))
    print(f"{'prior':34}{'log-odds':>24}{'Brier':>8}{'log-loss':>10}")
    for name, columns in (
        ("one share", [0]),
        ("by track length per clip", [0, 1]),
        ("by track length", [0, 2]),
        ("by both", [0, 1, 2]),
    ):
        weights = fitted(val[0][:, columns], val[1])
        show(name, weights, test[0][:, columns], test[1])
    show("as in mgsv", np.array(FROM_START), *test)


def read(path: Path) -> tuple[Floats, Floats]:
    """[V, 3] one, log of the track's length per clip, log of it per two minutes; [V] at start."""
    rows = read_annotations(path)
    clips = np.array([row.video_end - row.video_start for row in rows])
    tracks = np.array([row.music_total_duration for row in rows])
    per_clip = np.log(np.maximum(tracks / clips, 1.0))
    table = np.stack([np.ones(len(rows)), per_clip, np.log(tracks / TWO_MINUTES)], axis=1)
    return table, np.array([row.music_start < AT_START for row in rows], np.float64)


def fitted(table: Floats, at_start: Floats) -> Floats:
    """Logistic regression, by Newton's method."""
    weights = np.zeros(table.shape[1])
    for _ in range(STEPS):
        p = chances(table, weights)
        curvature = (table * (p * (1 - p))[:, None]).T @ table
        weights += np.linalg.solve(curvature, table.T @ (at_start - p))
    return weights


def chances(table: Floats, weights: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-table @ weights)))


def show(name: str, weights: Floats, table: Floats, at_start: Floats) -> None:
    p = chances(table, weights)
    loss = -np.mean(at_start * np.log(p) + (1 - at_start) * np.log(1 - p))
    shown = " ".join(f"{weight:.3f}" for weight in weights)
    print(f"{name:34}{shown:>24}{np.mean((at_start - p) ** 2):8.4f}{loss:10.4f}")


if __name__ == "__main__":
    main()
