"""What past uses alone can predict, and what they add to a model: measured on annotations."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mgsv.data.annotations import Annotations, Row, read_annotations
from mgsv.errors import ConfigError, shown
from mgsv.evaluation.measures import confidence_intervals
from mgsv.evaluation.results import Results
from mgsv.memory.density import NEAR, Density
from mgsv.memory.fusion import Fusion, fit
from mgsv.memory.model import ClipTraits, Memory
from mgsv.memory.use import uses_of
from mgsv.methods import blind

SCHEMA = "mgsv.memory/1"
FUSION_SCHEMA = "mgsv.fused/1"

USE_EDGES = (1, 2, 3, 5, 10)
"""Parts of the queries by past uses of their track: 0, 1, 2, 3 to 4, 5 to 9, 10 and more."""

PUBLISHED = {
    "TR-DETR": 0.393,
    "QD-DETR": 0.423,
    "CONQUER": 0.572,
    "EaTR": 0.588,
    "Moment-DETR": 0.630,
    "UVCOM": 0.652,
    "UVCOM+": 0.661,
    "MaDe": 0.722,
}
"""mIoU on MGSV-EC's test split, as the authors report it (MGSV, ICCV 2025, table of results)."""
PUBLISHED_NOTE = (
    "published figures are of models that learn from video and music content in the training "
    "split; a memory knows other videos' uses of the same tracks instead, so the two do not compete"
)

Moments = npt.NDArray[np.float64]


def evaluate_memory(
    uses: str | os.PathLike[str], queries: str | os.PathLike[str]
) -> dict[str, Any]:
    """Single-music measures of the usage memory of one annotation file on the rows of another.

    No features are needed. A JSON-ready document: `parts` (all, seen and unseen tracks, and by the
    number of past uses), each with the measures of the memory and of two plain rules (the last use
    repeated, start 0) and their 95 % intervals; `gain`, the mean difference of IoU to the last use
    repeated; `probability`, how right the stated probabilities are; the published figures beside. A
    video that stands in both files is left out of the memory. Raises DataError for a broken file,
    ConfigError where nothing is left to learn from.
    """
    known, asked = read_annotations(uses), read_annotations(queries)
    videos = {*asked.video_ids}
    past = known.where(lambda row: row.video_id not in videos)
    if not len(past):
        raise ConfigError(
            f"`uses` {shown(uses)}: every video in it is also a query",
            "give other videos' uses",
        )
    memory = Memory(uses_of(past))
    starts, probability = _remembered(memory, asked)
    methods = {
        "memory": Results.of(asked, starts, probability),
        "last use, else start 0": Results.of(asked, blind.last_use(past, asked)),
        "start 0": Results.of(asked, blind.start_0(asked)),
    }
    count = np.array([memory.count(row.music_id) for row in asked])
    hit = np.abs(starts[:, 0] - asked.moments[:, 0]) <= NEAR
    gain = methods["memory"].iou - methods["last use, else start 0"].iou
    parts = [
        _part(label, at, methods, gain, probability, hit) for label, at in _parts(count) if at.any()
    ]
    tally = Counter(Counter(past.music_ids).values())
    return {
        "schema": SCHEMA,
        "uses": {
            "rows": len(past),
            "left_out": len(known) - len(past),
            "tracks": memory.tracks,
            "per_track": {str(uses): tracks for uses, tracks in sorted(tally.items())},
            "habits": asdict(memory.weights),
        },
        "queries": len(asked),
        "tracks": len({*asked.music_ids}),
        "parts": parts,
        "published": PUBLISHED,
        "published_note": PUBLISHED_NOTE,
    }


def evaluate_fusion(
    uses: Annotations, *, val: Results, test: Results
) -> tuple[dict[str, Any], Fusion]:
    """Memory, model and both fused, on seen and unseen tracks; and the fusion itself.

    The memory is made of `uses`, the fusion fitted on the model's answers on `val`, and everything
    measured on `test`. Videos of either split are left out of the memory. ConfigError where the
    model gave no moments, or too few rows.
    """
    for results in (val, test):
        if not np.isfinite(results.predicted).all():
            raise ConfigError("`uses`: this model finds no moments", "give one that detects")
    test = replace(test, rank=None, best_track=None)  # tracks are known here
    asked = {*val.videos, *test.videos}
    memory = Memory(uses_of(uses.where(lambda row: row.video_id not in asked)))
    fusion = fit_on(memory, val)
    densities = densities_of(memory, test)
    remembered = [density.candidates(1)[0].moment for density in densities]
    fused = [
        fusion.fuse(density, start, float(confidence)).best.moment
        for density, start, confidence in zip(
            densities, starts_of(test), test.confidence, strict=True
        )
    ]
    methods = {
        "memory": replace(test, predicted=_pairs(remembered)),
        "model": test,
        "fused": replace(test, predicted=_pairs(fused)),
    }
    count = np.array([memory.count(track) for track in test.tracks])
    parts = []
    for label, at in _parts(count)[:3]:
        if at.any():
            measured = {name: _measured(results.where(at)) for name, results in methods.items()}
            parts.append({"part": label, "queries": int(at.sum()), "methods": measured})
    document = {
        "schema": FUSION_SCHEMA,
        "uses": {"rows": len(memory), "tracks": memory.tracks},
        "fitted_on": len(val),
        "fusion": asdict(fusion),
        "parts": parts,
    }
    return document, fusion


def fit_on(memory: Memory, results: Results) -> Fusion:
    """The fusion of `memory` with the model that gave `results`, on their true moments."""
    return fit(
        densities_of(memory, results),
        starts_of(results),
        results.confidence,
        results.true[:, 0],
    )


def densities_of(memory: Memory, results: Results) -> list[Density]:
    """The density that `memory` gives for each query's true track."""
    return [
        memory.density(track, float(seconds), ClipTraits(float(length), category))
        for track, seconds, length, category in zip(
            results.tracks,
            results.track_seconds,
            results.video_seconds,
            results.categories,
            strict=True,
        )
    ]


def starts_of(results: Results) -> npt.NDArray[np.float64]:
    """[V] where moments as long as the videos start that share the predictions' centres."""
    return np.asarray(results.predicted.mean(axis=1) - results.video_seconds / 2)


def _remembered(memory: Memory, rows: Annotations) -> tuple[Moments, npt.NDArray[np.float64]]:
    """Moments [V, 2] and their probabilities [V]."""
    best = [_best(memory, row) for row in rows]
    return _pairs([moment for moment, _ in best]), np.array([p for _, p in best])


def _best(memory: Memory, row: Row) -> tuple[Any, float]:
    clip = ClipTraits(row.video_seconds, row.video_category)
    found = memory.density(row.music_id, row.music_total_duration, clip).candidates(1)[0]
    return found.moment, found.probability


def _pairs(moments: Sequence[Any]) -> Moments:
    return np.array([(moment.start, moment.end) for moment in moments]).reshape(-1, 2)


def _parts(count: npt.NDArray[np.int64]) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """(label, which queries) of all, seen, unseen, and by the number of past uses."""
    place = np.digitize(count, USE_EDGES)
    labels = ["no past use", "1 past use", "2 past uses", "3 to 4", "5 to 9", "10 and more"]
    return [
        ("all", np.ones(len(count), bool)),
        ("seen tracks", count > 0),
        ("unseen tracks", count == 0),
        *((label, place == n) for n, label in enumerate(labels) if n),
    ]


def _part(
    label: str,
    at: npt.NDArray[np.bool_],
    methods: Mapping[str, Results],
    gain: npt.NDArray[np.float64],
    probability: npt.NDArray[np.float64],
    hit: npt.NDArray[np.bool_],
) -> dict[str, Any]:
    low, high = confidence_intervals(gain[at])["mIoU"]
    return {
        "part": label,
        "queries": int(at.sum()),
        "methods": {name: _measured(results.where(at)) for name, results in methods.items()},
        "gain": {"mIoU": float(gain[at].mean()), "interval": [low, high]},
        "probability": {"stated": float(probability[at].mean()), "true": float(hit[at].mean())},
    }


def _measured(results: Results) -> dict[str, Any]:
    intervals = confidence_intervals(results.iou)
    return {
        "measures": results.measures(),
        "intervals": {name: [*ends] for name, ends in intervals.items()},
    }
