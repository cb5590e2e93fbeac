"""Running a model over a split: each query's moment on its true track, and that track's rank.

Nothing but the model interface is used (`embed_videos`, `embed_tracks`, `pair_scores`, `detect`),
so a new system is measured by the lines that measured the last one. Inputs are streamed: what is
held is the embeddings and the scores of one block of queries, and one batch of tracks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from mgsv.data.annotations import Annotations
from mgsv.data.batch import Batch
from mgsv.evaluation.measures import ranks
from mgsv.evaluation.results import Results
from mgsv.models.matching import Embedded
from mgsv.models.registry import Detects, Matches
from mgsv.moment import CANVAS_SECONDS, spans_to_moments

IntArray = npt.NDArray[np.int64]
Progress = Callable[[int, int], None]
"""Called with (rows done, rows in all)."""

QUERIES_AT_ONCE = 2048
"""Queries whose embeddings and scores are held together: 0.3 GB for the published MaDe and a test
split. More blocks embed the tracks more often."""


class Pairs(Protocol):
    """A split: annotated (video, track) pairs and their features."""

    @property
    def rows(self) -> Annotations: ...

    def batch(self, rows: IntArray) -> Batch:
        """The pairs with these row numbers, padded to the longest of them."""
        ...


def run(
    model: Any,
    pairs: Pairs,
    *,
    music_set: bool = True,
    batch_size: int = 128,
    queries_at_once: int = QUERIES_AT_ONCE,
    progress: Progress | None = None,
) -> Results:
    """Ask `model` for every pair's moment and, with `music_set`, for the true track's rank.

    The model is put into eval mode and back, and used on the device its parameters are on. Tracks
    that several rows share count once. A model that only matches leaves the moments as NaN, which
    score 0; one that only detects leaves the ranks out.
    """
    rows = pairs.rows
    results = Results(
        videos=rows.video_ids,
        tracks=rows.music_ids,
        categories=tuple(row.video_category for row in rows),
        video_seconds=rows.video_seconds,
        track_seconds=rows.track_seconds,
        true=rows.moments,
        predicted=np.full((len(rows), 2), np.nan),
        confidence=np.full(len(rows), np.nan),
    )
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            if music_set and isinstance(model, Matches):
                return _music_set(model, pairs, results, batch_size, queries_at_once, progress)
            if isinstance(model, Detects):
                for at, batch in _batches(model, pairs, _by_length(results), batch_size, progress):
                    _note_moments(results, at, model.detect(batch))
    finally:
        model.train(was_training)
    return results


def _music_set(
    model: Any,
    pairs: Pairs,
    results: Results,
    batch_size: int,
    queries_at_once: int,
    progress: Progress | None,
) -> Results:
    """Moments and ranks, block by block of queries.

    All scores of a query come from the same computation, so that rounding treats the true track no
    better than the others: a collapsed model cannot rank above chance. The tracks of a block's own
    rows are embedded once, for detection and for ranking.
    """
    names, first, column = np.unique(
        np.array(results.tracks, dtype=object), return_index=True, return_inverse=True
    )
    detects = isinstance(model, Detects)
    rank = np.empty(len(results), np.int64)
    best_track = np.empty(len(results), object)
    order = _by_length(results)
    for start in range(0, len(order), queries_at_once):
        block = order[start : start + queries_at_once]
        parts: list[Embedded] = []
        own: list[tuple[IntArray, Embedded]] = []
        left = np.ones(len(names), bool)
        for at, batch in _batches(model, pairs, block, batch_size, None):
            videos, tracks = model.embed_videos(batch), model.embed_tracks(batch)
            if detects:
                _note_moments(results, at, model.detect(batch, (videos, tracks)))
            parts.append(videos)
            fresh = np.unique(column[at], return_index=True)[1]
            fresh = fresh[left[column[at[fresh]]]]
            left[column[at[fresh]]] = False
            own.append((column[at[fresh]], tracks[torch.from_numpy(fresh)]))
        videos = Embedded.cat(parts)
        scores = np.empty((len(block), len(names)), np.float32)
        for places, tracks in own:
            scores[:, places] = model.pair_scores(videos, tracks).float().cpu().numpy()
        others = order[np.isin(order, first[left])]
        for at, batch in _batches(model, pairs, others, batch_size, None):
            tracks = model.embed_tracks(batch)
            scores[:, column[at]] = model.pair_scores(videos, tracks).float().cpu().numpy()
        rank[block] = ranks(scores, column[block])
        best_track[block] = names[np.argmax(scores, axis=1)]
        if progress is not None:
            progress(start + len(block), len(order))
    return results.ranked(rank, tuple(best_track))


def _note_moments(results: Results, at: IntArray, found: torch.Tensor) -> None:
    """Note the best of `found` [B, K, 3] = (centre, width, score) for the rows `at`."""
    best = found[:, 0].double().cpu().numpy()
    results.predicted[at] = spans_to_moments(best[:, :2], CANVAS_SECONDS)
    results.confidence[at] = best[:, 2]


def _by_length(results: Results) -> IntArray:
    """Row numbers, similar lengths side by side, so that padding costs little."""
    return np.lexsort((results.video_seconds, results.track_seconds))


def _batches(
    model: Any, pairs: Pairs, order: IntArray, batch_size: int, progress: Progress | None
) -> Iterator[tuple[IntArray, Batch]]:
    """The rows of `order` in batches on the model's device."""
    device = next(model.parameters()).device
    for start in range(0, len(order), batch_size):
        at = order[start : start + batch_size]
        yield at, pairs.batch(at).to(device)
        if progress is not None:
            progress(start + len(at), len(order))
