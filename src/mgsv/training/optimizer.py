"""The optimizer of a run, AdamW over a model's parameter groups, and its learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from mgsv.training.config import TrainConfig

Groups = Mapping[str, Sequence[nn.Parameter]]
"""A model's parameters by the names of its `parameter_groups`."""


def make_optimizer(groups: Groups, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW with a group or two per group of the model, under its name.

    Without weight decay, which is decoupled, this is Adam to the last bit.
    """
    return torch.optim.AdamW(
        list(_with_decay(groups, config)),
        lr=config.lr,
        eps=config.epsilon,
        weight_decay=config.weight_decay,
        fused=config.fused or None,  # False would take from a GPU the faster kind it has by default
    )


def _with_decay(groups: Groups, config: TrainConfig) -> Iterator[dict[str, Any]]:
    for name, parameters in groups.items():
        if config.decay_vectors or not config.weight_decay:
            yield {"name": name, "params": list(parameters)}
            continue
        for vectors in (False, True):
            some = [p for p in parameters if (p.dim() < 2) == vectors]
            rest = {"weight_decay": 0.0} if vectors else {}
            if some:
                yield {"name": name, "params": some, **rest}


# --- the learning rate, stepped per batch: a linear warm-up, then a half cosine or steps ----------


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
