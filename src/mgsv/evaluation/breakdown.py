"""The measures for parts of the queries: per category, per length of video and of track."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from mgsv.evaluation.results import Results

VIDEO_EDGES = (10.0, 20.0, 30.0)
"""Seconds. MGSV-EC's videos average 24 s; these cut them into parts of a useful size."""
TRACK_EDGES = (60.0, 120.0, 180.0, 240.0)
"""Seconds. The last part lies beyond the canvas, where moments cannot be told any more."""


@dataclass(frozen=True)
class Part:
    """The measures of the `queries` for which `by` is `label`."""

    by: str
    label: str
    queries: int
    measures: dict[str, float]


def breakdown(results: Results) -> list[Part]:
    """Measures per category, per video length and per track length; empty parts are left out."""
    categories = np.array(results.categories)
    return [
        *(
            Part("category", str(name), int(at.sum()), results.where(at).measures())
            for name in np.unique(categories)
            if (at := categories == name).any()
        ),
        *by_length("video length", results, results.video_seconds, VIDEO_EDGES),
        *by_length("track length", results, results.track_seconds, TRACK_EDGES),
    ]


def by_length(
    by: str, results: Results, seconds: npt.NDArray[np.float64], edges: Sequence[float]
) -> list[Part]:
    """Measures per interval [low, high) of `seconds` [V] between ascending `edges`."""
    place = np.digitize(seconds, edges)
    bounds = ["0", *(f"{edge:g}" for edge in edges)]
    labels = [f"{low} to {high} s" for low, high in pairwise(bounds)]
    labels.append(f"{bounds[-1]} s and more")
    return [
        Part(by, label, int(at.sum()), results.where(at).measures())
        for i, label in enumerate(labels)
        if (at := place == i).any()
    ]
