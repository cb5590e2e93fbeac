"""The learning rate over a run, stepped per batch: linear warm-up, then a half cosine or steps."""

from __future__ import annotations

import math


def rate_factor(step: int, total_steps: int, warmup_share: float) -> float:
    """Share of the top learning rate to use at `step` (0 is the first of `total_steps`).

    The first step of the warm-up already moves (1 / warm-up steps, not 0), the step after the last
    would be 0.
    """
    warmup = round(total_steps * warmup_share)
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, total_steps - warmup)
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def stepped_factor(
    step: int, total_steps: int, warmup_share: float, epoch: int, drop_every: int
) -> float:
    """The same without the cosine: a tenth of it after every `drop_every` epochs, 0 for never.

    `epoch` (from 0) is the one that `step` belongs to.
    """
    warmup = round(total_steps * warmup_share)
    drops = epoch // drop_every if drop_every else 0
    return min(1.0, (step + 1) / max(1, warmup)) * 0.1**drops
