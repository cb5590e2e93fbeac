"""The authors' checkpoint files and options, and loss terms under the authors' names.

Nothing is unpickled but tensors in plain containers (`weights_only=True`).
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mgsv.errors import ConfigError, shown
from mgsv.files import refuse_special
from mgsv.models.losses import DetectorOutput, SetCriterion, chosen


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of an authors' checkpoint (`.pt`, `.pth`, `.bin`), under their names.

    The state dict may lie under a usual key and its names may start with `module.`. ConfigError
    for a file that is missing, truncated, or holds anything but tensors in plain containers.
    """
    refuse_special(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of protocols it then refuses; the error says it
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except FileNotFoundError:
        raise ConfigError(f"{shown(path)}: no such file") from None
    except Exception as error:  # torch raises whatever its zip and pickle readers raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, pickle.UnpicklingError):  # torch's text advises to load it unsafely
            reason = "it holds other objects, or is damaged"
        raise ConfigError(
            f"{shown(path)}: not a checkpoint of plain tensors ({reason[:120]})",
            "files that hold code or other objects are never loaded",
        ) from None
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"{shown(path)}: holds no named weights")
    for name, value in content.items():
        if not isinstance(value, Tensor):
            raise ConfigError(f"{shown(path)}: {name!r} is not a tensor")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def refuse_others(system: str, options: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    """ConfigError where `options` give one of `fixed` another value: it would be ignored."""
    for name, value in fixed.items():
        if options.get(name, value) != value:
            raise ConfigError(
                f"{name}={options[name]!r} of the authors' {system} is not supported",
                f"only models with {name}={value!r} can be replayed",
            )


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
