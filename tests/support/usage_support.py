"""Uses made up for tests, and answers that stand in for a model's."""

from __future__ import annotations

import functools

import numpy as np

from mgsv.data.annotations import Annotations
from mgsv.evaluation.results import Results
from mgsv.memory.use import Use
from mgsv.synthesis.planted import PlantOptions, plan_rows


def use(track: str = "a", start: float = 30.0, **changes: object) -> Use:
    """A 20 s video's use of a track of 120 s."""
    values: dict[str, object] = {
        "track": track,
        "start": start,
        "end": start + 20.0,
        "track_seconds": 120.0,
        "video": "v",
        "video_start": 0.0,
        "video_end": 20.0,
    }
    return Use(**{**values, **changes})  # type: ignore[arg-type]


@functools.cache
def hot_rows() -> dict[str, Annotations]:
    """Planted annotations in which 70 % of the tracks have a usual moment; no features."""
    options = PlantOptions(train=6000, val=500, test=900, tracks=1000, hot=0.7, seed=8)
    return {split: Annotations(tuple(rows)) for split, rows in plan_rows(options).items()}


def stand_in(rows: Annotations, right: float, seed: int, *, at_start: float = 0.0) -> Results:
    """The planted oracle's knowledge, made as bad as a model: no model runs.

    A share of `right` answers lie around the true start (0.6 s on average), the others anywhere on
    the track, a share `at_start` of them at its start. The confidence knows a little of which.
    """
    rng = np.random.default_rng(seed)
    good = rng.random(len(rows)) < right
    room = np.maximum(rows.track_seconds - rows.video_seconds, 0)
    wrong = rng.random(len(rows)) * room * (rng.random(len(rows)) >= at_start)
    true = rows.moments[:, 0] + rng.laplace(0, 0.6, len(rows))
    starts = np.clip(np.where(good, true, wrong), 0, room)
    confidence = good + rng.normal(0, 0.8, len(rows))
    return Results.of(rows, np.stack([starts, starts + rows.video_seconds], axis=1), confidence)
