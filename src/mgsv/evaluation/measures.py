"""The measures of music grounding by short video, by the rules of the authors' evaluation.

| mode         | question                         | measures                               |
|--------------|----------------------------------|----------------------------------------|
| single-music | the track is known; which part?  | `mIoU`, `IoU@θ`                        |
| music-set    | which track?                     | `R{k}`, `MedianR`, `MeanR`, `MRR`      |
| music-set    | which track and which part?      | `MoR{k}@θ`                             |

`mIoU` and `MRR` are fractions; `IoU@θ`, `R{k}` and `MoR{k}@θ` are per cent; ranks start at 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mgsv.moment import CANVAS_SECONDS, iou

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

IOU_THRESHOLDS = (0.3, 0.5, 0.7)
RECALL_DEPTHS = (1, 3, 5, 10, 20, 25, 50, 100)
COMPOSITE_DEPTHS = (1, 10, 50, 100)
COMPOSITE_THRESHOLDS = (0.5, 0.7)


def clamp_moments(moments: Floats, track_seconds: Floats, canvas: float = CANVAS_SECONDS) -> Floats:
    """Predicted moments [V, 2] cut to where a true one can lie.

    Only the start is held to >= 0 and only the end to <= min(canvas, track): a prediction wholly
    beyond the track's end keeps its start, becomes negatively long and scores 0 in `moment_iou`.
    """
    start = np.maximum(moments[..., 0], 0.0)
    end = np.minimum(moments[..., 1], np.minimum(track_seconds, canvas))
    return np.stack([start, end], axis=-1)


def moment_iou(
    predicted: Floats, true: Floats, track_seconds: Floats, canvas: float = CANVAS_SECONDS
) -> npt.NDArray[np.float64]:
    """IoU [V] of predicted with true moments [V, 2], in seconds.

    The prediction is clamped to the track, the truth is taken as it is. A prediction that is not a
    number scores 0.
    """
    clamped = clamp_moments(np.asarray(predicted, np.float64), track_seconds, canvas)
    return np.asarray(iou(clamped, np.asarray(true, np.float64)), np.float64)


def ranks(scores: Floats, true_column: Ints) -> npt.NDArray[np.int64]:
    """Rank [V] of each query's true track among M distinct tracks; 1 is best.

    `scores` [V, M] has one column per *distinct* track (see `distinct_scores`), `true_column` [V]
    names the true one. A tie counts against the model, and so does a score that is not a number:
    every track that is not strictly worse stands ahead.
    """
    true_score = np.take_along_axis(scores, np.asarray(true_column)[:, None], axis=1)
    strictly_worse = scores < true_score
    return np.asarray(scores.shape[1] - strictly_worse.sum(axis=1), np.int64)


def distinct_scores(scores: Floats, tracks: Sequence[str]) -> tuple[Floats, list[str]]:
    """Let the duplicates of a track count once, with their best score.

    `scores` [V, N] against N rows whose tracks are `tracks`; returns [V, M] and the M distinct ids
    in the order they first appear.
    """
    column = {track: i for i, track in enumerate(dict.fromkeys(tracks))}
    best = np.full((len(column), scores.shape[0]), -np.inf, scores.dtype)
    np.maximum.at(best, np.array([column[track] for track in tracks]), scores.T)
    return best.T, list(column)


def grounding_measures(ious: Floats) -> dict[str, float]:
    """Single-music mode: `mIoU` and `IoU@θ` from each query's IoU [V]."""
    _refuse_nothing(ious)
    shares = {f"IoU@{theta}": _per_cent(ious > theta) for theta in IOU_THRESHOLDS}
    return {"mIoU": float(ious.mean())} | shares


def retrieval_measures(rank: Ints) -> dict[str, float]:
    """Music-set mode, which track: from the true track's rank [V] for each query."""
    _refuse_nothing(rank)
    recalls = {f"R{k}": _per_cent(rank <= k) for k in RECALL_DEPTHS}
    return recalls | {
        "MedianR": float(np.median(rank)),
        "MeanR": float(rank.mean()),
        "MRR": float((1.0 / rank).mean()),
    }


def composite_measures(ious: Floats, rank: Ints) -> dict[str, float]:
    """Music-set mode, track and moment: `MoR{k}@θ`, ranked within k *and* IoU above θ."""
    _refuse_nothing(rank)
    return {
        f"MoR{k}@{theta}": _per_cent((rank <= k) & (ious > theta))
        for theta in COMPOSITE_THRESHOLDS
        for k in COMPOSITE_DEPTHS
    }


def all_measures(ious: Floats | None, rank: Ints | None = None) -> dict[str, float]:
    """Every measure the answers allow.

    Without ranks, those of the single-music mode; without moments, those of ranks alone.
    """
    measures = {} if ious is None else grounding_measures(ious)
    if rank is not None:
        measures |= retrieval_measures(rank)
        measures |= {} if ious is None else composite_measures(ious, rank)
    return measures


def _per_cent(hits: npt.NDArray[np.bool_]) -> float:
    return 100.0 * float(hits.mean())


def _refuse_nothing(values: Floats | Ints) -> None:
    if len(values) == 0:
        raise ValueError("no queries to measure")


def confidence_intervals(
    ious: Floats | None,
    rank: Ints | None = None,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """(low, high) for each measure of `all_measures`, from V queries' IoUs, ranks, or both.

    By resampling the queries (Efron's percentile bootstrap).

    Queries are drawn with replacement, as if each were an independent draw; MGSV-EC's val and test
    splits hold one query per track, so there are no clusters to respect.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is a share between 0 and 1, got {level}")
    (count,) = {len(values) for values in (ious, rank) if values is not None}
    rng = np.random.default_rng(seed)
    draws: dict[str, list[float]] = {}
    for _ in range(resamples):
        drawn = rng.integers(count, size=count)
        sample = all_measures(
            None if ious is None else ious[drawn], None if rank is None else rank[drawn]
        )
        for name, value in sample.items():
            draws.setdefault(name, []).append(value)
    tails = [(1 - level) / 2, (1 + level) / 2]
    bounds = {name: np.quantile(values, tails) for name, values in draws.items()}
    return {name: (float(low), float(high)) for name, (low, high) in bounds.items()}
