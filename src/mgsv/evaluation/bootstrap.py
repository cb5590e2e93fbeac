"""Confidence intervals for any measure by resampling queries (Efron's percentile bootstrap)."""

from __future__ import annotations

import numpy as np

from mgsv.evaluation.measures import Floats, Ints, all_measures


def confidence_intervals(
    ious: Floats | None,
    rank: Ints | None = None,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """(low, high) for each measure of `all_measures`, from V queries' IoUs, ranks, or both.

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
