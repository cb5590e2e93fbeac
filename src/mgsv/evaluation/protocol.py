"""Running a model over a split: each query's moment on its true track, and that track's rank.

Nothing but the model interface is used (`embed_videos`, `embed_tracks`, `pair_scores`, `detect`,
and `scores_of` of a model that only re-ranks), so a new system is measured by the lines that
measured the last one. Inputs are streamed: what is held is the embeddings and the scores of one
block of queries, and one batch of tracks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from mgsv.data.annotations import Annotations
from mgsv.data.batch import Batch
from mgsv.evaluation.measures import ranks
from mgsv.evaluation.results import Results
from mgsv.jobs import Listener, Progress
from mgsv.models.composite import SystemParts, parts_of
from mgsv.models.matching import Embedded
from mgsv.moment import CANVAS_SECONDS, spans_to_moments

IntArray = npt.NDArray[np.int64]

QUERIES_AT_ONCE = 2048
"""Queries whose embeddings and scores are held together: 0.3 GB for the published MaDe and a test
split. More blocks embed the tracks more often."""

CANDIDATES = 100
"""Tracks of each query that a re-ranking model puts in order: the measures' largest depth."""


class Pairs(Protocol):
    """A split: annotated (video, track) pairs and their features."""

    @property
    def rows(self) -> Annotations: ...

    def batch(self, rows: IntArray) -> Batch:
        """The pairs with these row numbers, padded to the longest of them."""
        ...


def run_model(
    model: Any,
    pairs: Pairs,
    *,
    music_set: bool = True,
    batch_size: int = 128,
    queries_at_once: int = QUERIES_AT_ONCE,
    candidates: int = CANDIDATES,
    progress: Listener | None = None,
) -> Results:
    """`model`'s moment for every pair and, with `music_set`, the rank of the true track.

    The model is put into eval mode and back, and used on the device its parameters are on. Tracks
    that several rows share count once. A model that only matches leaves the moments out, one that
    only detects the ranks. Each part of a composite does its own task; with a re-ranking part,
    the matcher's best `candidates` take its order, and all others keep theirs behind them.
    """
    parts = parts_of(model)
    results = Results.of(pairs.rows, places=parts.detector is not None)
    ranked = music_set and parts.matcher is not None
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            read = _Reader(pairs, next(model.parameters()).device, batch_size)
            if parts.detector is not None and not ranked:
                for at, batch in read.batches(_by_length(results), progress):
                    _note_moments(results, at, parts.detector.detect(batch))
            elif ranked:
                results = _music_set(parts, read, results, queries_at_once, candidates, progress)
    finally:
        model.train(was_training)
    return results


@dataclass(frozen=True)
class _Reader:
    """The pairs in batches on the model's device."""

    pairs: Pairs
    device: torch.device
    size: int

    def batches(
        self, order: IntArray, progress: Listener | None = None
    ) -> Iterator[tuple[IntArray, Batch]]:
        """The rows of `order`, with their numbers."""
        for start in range(0, len(order), self.size):
            at = order[start : start + self.size]
            yield at, self.pairs.batch(at).to(self.device)
            if progress is not None:
                progress(Progress("queries", start + len(at), len(order)))


def _music_set(
    parts: SystemParts,
    read: _Reader,
    results: Results,
    queries_at_once: int,
    candidates: int,
    progress: Listener | None,
) -> Results:
    """Moments and ranks, block by block of queries.

    All scores of a query come from the same computation, so that rounding treats the true track no
    better than the others: a collapsed model cannot rank above chance. The tracks of a block's own
    rows are embedded once, for detection and for ranking.
    """
    names, first, column = np.unique(
        np.array(results.tracks, dtype=object), return_index=True, return_inverse=True
    )
    matcher, detector = parts.matcher, parts.detector
    rank = np.empty(len(results), np.int64)
    best_track = np.empty(len(results), object)
    order = _by_length(results)
    for start in range(0, len(order), queries_at_once):
        block = order[start : start + queries_at_once]
        embedded: list[Embedded] = []
        own: list[tuple[IntArray, Embedded]] = []
        left = np.ones(len(names), bool)
        for at, batch in read.batches(block):
            videos, tracks = matcher.embed_videos(batch), matcher.embed_tracks(batch)
            if detector is matcher:
                _note_moments(results, at, detector.detect(batch, (videos, tracks)))
            elif detector is not None:
                _note_moments(results, at, detector.detect(batch))
            embedded.append(videos)
            fresh = np.unique(column[at], return_index=True)[1]
            fresh = fresh[left[column[at[fresh]]]]
            left[column[at[fresh]]] = False
            own.append((column[at[fresh]], tracks[torch.from_numpy(fresh)]))
        videos = Embedded.cat(embedded)
        scores: npt.NDArray[np.floating] = np.empty((len(block), len(names)), np.float32)
        for places, tracks in own:
            scores[:, places] = matcher.pair_scores(videos, tracks).float().cpu().numpy()
        others = order[np.isin(order, first[left])]
        for at, batch in read.batches(others):
            tracks = matcher.embed_tracks(batch)
            scores[:, column[at]] = matcher.pair_scores(videos, tracks).float().cpu().numpy()
        if parts.reranker is not None:
            scores = _reranked(parts.reranker, read, block, first, scores, candidates)
        rank[block] = ranks(scores, column[block])
        best_track[block] = names[np.argmax(scores, axis=1)]
        if progress is not None:
            progress(Progress("queries", start + len(block), len(order)))
    return results.ranked(rank, tuple(best_track))


def _reranked(
    model: Any,
    read: _Reader,
    block: IntArray,
    first: IntArray,
    scores: npt.NDArray[np.floating],
    count: int,
) -> npt.NDArray[np.float64]:
    """`scores` [V, M] of the queries `block`, whose best `count` tracks take the order of `model`.

    `first` [M] is a row of each track. Only the order of the result means anything.
    """
    best = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    chosen = np.zeros(scores.shape, bool)
    np.put_along_axis(chosen, best, True, axis=1)
    videos = Embedded.cat([model.embed_videos(batch) for _, batch in read.batches(block)])
    final = np.full(scores.shape, np.nan)
    wanted = np.flatnonzero(chosen.any(axis=0))
    column = {int(row): track for track, row in enumerate(first)}
    for at, batch in read.batches(first[wanted]):
        columns = np.array([column[int(row)] for row in at])
        tracks, pairs = model.embed_tracks(batch), np.argwhere(chosen[:, columns])
        found = model.scores_of(videos, tracks, torch.from_numpy(pairs).to(read.device))
        final[pairs[:, 0], columns[pairs[:, 1]]] = found.double().cpu().numpy()
    # Above the others stand all candidates: the worst of them by one more than the best of those.
    rest = np.where(chosen, -np.inf, scores).max(axis=1, keepdims=True)
    worst = np.where(chosen & ~np.isnan(final), final, np.inf).min(axis=1, keepdims=True)
    lift = np.where(np.isfinite(rest) & np.isfinite(worst), rest - worst + 1, 0.0)
    return np.where(chosen, final + lift, scores.astype(np.float64))


def _note_moments(results: Results, at: IntArray, found: torch.Tensor) -> None:
    """Note the best of `found` [B, K, 3] = (centre, width, score) for the rows `at`."""
    best = found[:, 0].double().cpu().numpy()
    results.predicted[at] = spans_to_moments(best[:, :2], CANVAS_SECONDS)
    results.confidence[at] = best[:, 2]


def _by_length(results: Results) -> IntArray:
    """Row numbers, similar lengths side by side, so that padding costs little."""
    return np.lexsort((results.video_seconds, results.track_seconds))
