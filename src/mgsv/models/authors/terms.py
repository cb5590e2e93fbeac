"""Loss terms under the authors' names."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from mgsv.models.losses import DetectorOutput, SetCriterion, chosen


def loss_terms(criterion: SetCriterion, found: DetectorOutput, truth: Tensor) -> dict[str, Tensor]:
    """Each term unweighted under the authors' name, the last layer's without a number.

    `loss.class_error` is the share of matched queries that are not called foreground, in per cent.
    """
    names = {"alignment": "contrastive_align"}
    values = {
        f"loss.loss_{names.get(name, name)}": value.mean(dim=1)
        for name, value in criterion.unweighted(found, truth).items()
    }
    best = criterion.matcher(found, truth)
    foreground = chosen(found.logits, best).argmax(dim=-1) == 0
    values["loss.class_error"] = 100 - 100 * foreground.float().mean(dim=1)
    last = len(found.logits) - 1
    return {
        name if layer == last else f"{name}_{layer}": value[layer]
        for name, value in values.items()
        for layer in range(last + 1)
    }


def sum_of(terms: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(terms)).sum()
