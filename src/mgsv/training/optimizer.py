"""The optimizer of a run: AdamW over a model's parameter groups."""

from __future__ import annotations

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
