"""Running a model over a split: each query's moment on its true track, and that track's rank.

Nothing but the model interface is used (`embed_videos`, `embed_tracks`, `pair_scores`, `detect`,
and `scores_of` of a model that only re-ranks), so a new system is measured by the lines that
measured the last one. Inputs are streamed: what is held is the embeddings and the scores of one
block of queries, and one batch of tracks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from mgsv.data.annotations import Annotations
from mgsv.data.batch import Batch
from mgsv.errors import ConfigError
from mgsv.evaluation.measures import ranks
from mgsv.evaluation.results import Results
from mgsv.jobs import Listener, Progress
from mgsv.models.composite import SystemParts, parts_of
from mgsv.models.matching import Embedded
from mgsv.moment import spans_to_moments

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


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers to N of the queries.

    at: [N] their row numbers. found: [N, 3] start and end of the moment, and its confidence; None
    without a part that finds moments. rank: [N] of the true track, best: [N] a row of the track
    that was ranked first; both None where tracks are not ranked.
    """

    at: IntArray
    found: npt.NDArray[np.float64] | None = None
    rank: IntArray | None = None
    best: IntArray | None = None


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
    given: list[Answers] = []
    done = 0
    for block in blocks(pairs, queries_at_once if music_set else batch_size):
        given.append(
            answer(model, pairs, block, music_set, batch_size=batch_size, candidates=candidates)
        )
        done += len(block)
        if progress is not None:
            progress(Progress("queries", done, len(pairs.rows)))
    return joined(pairs.rows, given)


def blocks(pairs: Pairs, size: int) -> list[IntArray]:
    """The row numbers of all queries in blocks of at most `size`, similar lengths side by side, so
    that padding costs little.
    """
    order = np.lexsort((pairs.rows.video_seconds, pairs.rows.track_seconds))
    return [order[start : start + size] for start in range(0, len(order), size)]


def answer(
    model: Any,
    pairs: Pairs,
    block: IntArray,
    music_set: bool = True,
    *,
    batch_size: int = 128,
    candidates: int = CANDIDATES,
) -> Answers:
    """What `run_model` does for one of the `blocks`."""
    parts = parts_of(model)
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            read = _Reader(pairs, next(model.parameters()).device, batch_size)
            if music_set and parts.matcher is not None:
                return _ranked(parts, read, block, candidates)
            if parts.detector is None:
                return Answers(block)
            found = [
                _moments(parts.detector.detect(batch), parts.detector.config.canvas_seconds)
                for _, batch in read.batches(block)
            ]
            return Answers(block, np.concatenate(found))
    finally:
        model.train(was_training)


def joined(rows: Annotations, given: Iterable[Answers]) -> Results:
    """The answers to all queries, in any order of blocks."""
    predicted, confidence = np.full((len(rows), 2), np.nan), np.full(len(rows), np.nan)
    rank, best = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    places = ranked = False
    for one in given:
        if one.found is not None:
            places = True
            predicted[one.at], confidence[one.at] = one.found[:, :2], one.found[:, 2]
        if one.rank is not None and one.best is not None:
            ranked = True
            rank[one.at], best[one.at] = one.rank, one.best
    results = Results.of(rows, predicted, confidence, places=places)
    tracks = results.tracks
    return results.ranked(rank, tuple(tracks[n] for n in best)) if ranked else results


def pick_device(name: str) -> torch.device:
    """The device called `name`; `auto` is the first GPU, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"`device` {name}: not available here", "use auto or cpu") from error
    return device


@dataclass(frozen=True)
class _Reader:
    """The pairs in batches on the model's device."""

    pairs: Pairs
    device: torch.device
    size: int

    def batches(self, order: IntArray) -> Iterator[tuple[IntArray, Batch]]:
        """The rows of `order`, with their numbers."""
        for start in range(0, len(order), self.size):
            at = order[start : start + self.size]
            yield at, self.pairs.batch(at).to(self.device)


def _ranked(parts: SystemParts, read: _Reader, block: IntArray, candidates: int) -> Answers:
    """Moments and ranks of a block of queries.

    All scores of a query come from the same computation, so that rounding treats the true track no
    better than the others: a collapsed model cannot rank above chance. The tracks of the block's
    own rows are embedded once, for detection and for ranking.
    """
    rows = read.pairs.rows
    names, first, column = np.unique(
        np.array(rows.music_ids, dtype=object), return_index=True, return_inverse=True
    )
    matcher, detector = parts.matcher, parts.detector
    embedded: list[Embedded] = []
    found: list[npt.NDArray[np.float64]] = []
    own: list[tuple[IntArray, Embedded]] = []
    left = np.ones(len(names), bool)
    for at, batch in read.batches(block):
        videos, tracks = matcher.embed_videos(batch), matcher.embed_tracks(batch)
        if detector is matcher:
            spans = detector.detect(batch, (videos, tracks))
            found.append(_moments(spans, detector.config.canvas_seconds))
        elif detector is not None:
            found.append(_moments(detector.detect(batch), detector.config.canvas_seconds))
        embedded.append(videos)
        fresh = np.unique(column[at], return_index=True)[1]
        fresh = fresh[left[column[at[fresh]]]]
        left[column[at[fresh]]] = False
        own.append((column[at[fresh]], tracks[torch.from_numpy(fresh)]))
    videos = Embedded.cat(embedded)
    scores: npt.NDArray[np.floating] = np.empty((len(block), len(names)), np.float32)
    for places, tracks in own:
        scores[:, places] = matcher.pair_scores(videos, tracks).float().cpu().numpy()
    order = np.concatenate(blocks(read.pairs, len(rows)))
    for at, batch in read.batches(order[np.isin(order, first[left])]):
        tracks = matcher.embed_tracks(batch)
        scores[:, column[at]] = matcher.pair_scores(videos, tracks).float().cpu().numpy()
    if parts.reranker is not None:
        scores = _reranked(parts.reranker, read, block, first, scores, candidates)
    return Answers(
        block,
        np.concatenate(found) if found else None,
        ranks(scores, column[block]),
        first[np.argmax(scores, axis=1)],
    )


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


def _moments(found: torch.Tensor, canvas: float) -> npt.NDArray[np.float64]:
    """[B, 3] start, end and score of the best of `found` [B, K, 3] = (centre, width, score)."""
    best = found[:, 0].double().cpu().numpy()
    return np.column_stack([spans_to_moments(best[:, :2], canvas), best[:, 2]])
