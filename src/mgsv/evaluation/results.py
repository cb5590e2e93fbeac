"""What a method answered to each query: the table all measures, breakdowns and reports read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mgsv.data.annotations import Annotations
from mgsv.errors import ConfigError, shown
from mgsv.evaluation.measures import all_measures, moment_iou
from mgsv.files import new_text
from mgsv.moment import CANVAS_SECONDS


@dataclass(frozen=True, eq=False)
class Results:
    """Answers to V queries. Arrays have V rows; times are seconds."""

    videos: tuple[str, ...]
    tracks: tuple[str, ...]
    """The true track of each query."""
    categories: tuple[str, ...]
    video_seconds: npt.NDArray[np.float64]
    """Length of the video."""
    track_seconds: npt.NDArray[np.float64]
    """Length of the true track."""
    true: npt.NDArray[np.float64]
    """[V, 2] start and end on the true track."""
    predicted: npt.NDArray[np.float64]
    """[V, 2] as the method gave it on the true track, not yet clamped."""
    confidence: npt.NDArray[np.float64]
    """The method's own score of its moment, on its own scale."""
    rank: npt.NDArray[np.int64] | None = None
    """Of the true track, 1 is best; None where only the single-music mode was run."""
    best_track: tuple[str, ...] | None = None
    """The track the method ranked first; None like `rank`."""
    canvas: float = CANVAS_SECONDS
    places: bool = True
    """Whether the method finds moments; else `predicted` is not a number, and ranks alone count."""

    @classmethod
    def of(
        cls,
        rows: Annotations,
        predicted: npt.NDArray[np.float64] | None = None,
        confidence: npt.NDArray[np.float64] | None = None,
        *,
        places: bool = True,
    ) -> Results:
        """Answers to `rows`, single-music mode; what is not given yet is not a number."""
        return cls(
            videos=rows.video_ids,
            tracks=rows.music_ids,
            categories=tuple(row.video_category for row in rows),
            video_seconds=rows.video_seconds,
            track_seconds=rows.track_seconds,
            true=rows.moments,
            predicted=np.full((len(rows), 2), np.nan) if predicted is None else predicted,
            confidence=np.full(len(rows), np.nan) if confidence is None else confidence,
            places=places,
        )

    def __len__(self) -> int:
        return len(self.videos)

    @cached_property
    def iou(self) -> npt.NDArray[np.float64]:
        """[V], by the rules of `measures.moment_iou`."""
        return moment_iou(self.predicted, self.true, self.track_seconds, self.canvas)

    def measures(self) -> dict[str, float]:
        return all_measures(self.iou if self.places else None, self.rank)

    def ranked(self, rank: npt.NDArray[np.int64], best_track: tuple[str, ...]) -> Results:
        """The same answers with the music-set mode's."""
        return replace(self, rank=rank, best_track=best_track)

    def where(self, keep: npt.NDArray[np.bool_]) -> Results:
        """Only the queries for which `keep` [V] holds. Ranks stay those among all tracks."""
        at = np.flatnonzero(keep)

        def pick(values: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(values[i] for i in at)

        return replace(
            self,
            videos=pick(self.videos),
            tracks=pick(self.tracks),
            categories=pick(self.categories),
            video_seconds=self.video_seconds[at],
            track_seconds=self.track_seconds[at],
            true=self.true[at],
            predicted=self.predicted[at],
            confidence=self.confidence[at],
            rank=None if self.rank is None else self.rank[at],
            best_track=None if self.best_track is None else pick(self.best_track),
        )

    def records(self) -> Iterator[dict[str, Any]]:
        """One flat, JSON-ready record per query."""
        for i in range(len(self)):
            record: dict[str, Any] = {
                "video": self.videos[i],
                "track": self.tracks[i],
                "category": self.categories[i],
                "video_seconds": float(self.video_seconds[i]),
                "track_seconds": float(self.track_seconds[i]),
                "true": self.true[i].tolist(),
            }
            if self.places:
                record |= {
                    "predicted": self.predicted[i].tolist(),
                    "confidence": float(self.confidence[i]),
                    "iou": float(self.iou[i]),
                }
            if self.rank is not None and self.best_track is not None:
                record |= {"rank": int(self.rank[i]), "best_track": self.best_track[i]}
            yield record

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one JSON record per line."""
        with new_text(path, overwrite=True) as lines:
            for record in self.records():
                lines.write(json.dumps(record, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str], canvas: float = CANVAS_SECONDS) -> Results:
        """Read what `save` wrote. Raises ConfigError naming the line that is not such a record."""
        rows: list[dict[str, Any]] = []
        with Path(path).open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    row = json.loads(line)
                    _ = row["video"], row["track"], row["true"][1]
                    _ = row["predicted"][1] if "predicted" in row else row["rank"]
                except (ValueError, TypeError, LookupError) as error:
                    raise ConfigError(
                        f"{shown(path)}, line {number} is not a result of a query",
                        "give a file written by `mgsv evaluate`",
                    ) from error
                rows.append(row)
        ranked = bool(rows) and all("rank" in row for row in rows)
        places = all("predicted" in row for row in rows)
        nothing: dict[str, Any] = {"predicted": [np.nan, np.nan], "confidence": np.nan}

        def numbers(field: str) -> npt.NDArray[np.float64]:
            absent = {} if places else nothing
            values = [absent[field] if field in absent else row[field] for row in rows]
            return np.array(values, np.float64)

        return cls(
            videos=tuple(row["video"] for row in rows),
            tracks=tuple(row["track"] for row in rows),
            categories=tuple(row["category"] for row in rows),
            video_seconds=numbers("video_seconds"),
            track_seconds=numbers("track_seconds"),
            true=numbers("true").reshape(-1, 2),
            predicted=numbers("predicted").reshape(-1, 2),
            confidence=numbers("confidence"),
            rank=np.array([row["rank"] for row in rows], np.int64) if ranked else None,
            best_track=tuple(row["best_track"] for row in rows) if ranked else None,
            canvas=canvas,
            places=places,
        )


VIDEO_EDGES = (10.0, 20.0, 30.0)
"""Seconds. MGSV-EC's videos average 24 s; these cut them into parts of a useful size."""
TRACK_EDGES = (60.0, 120.0, 180.0, 240.0)
"""Seconds. The last part lies beyond the canvas, which models cannot see."""


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
