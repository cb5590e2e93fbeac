"""Faster ways to compute what the models' formulas say, behind one switch.

Each function in here returns what the plain formula beside its call returns, up to rounding; inside
:func:`plain_formulas` the formula itself is computed. `groups` sorts the rows of a batch by length,
`functional` has the linear map and dropout, and `folded` does without projected keys and values and
without a pooled vector of each pair.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_ENABLED = ContextVar("mgsv_models_cpu", default=True)


def enabled(on: Tensor | None = None) -> bool:
    """Whether to compute by the ways in here: always, but not inside :func:`plain_formulas`, nor
    where PyTorch compiles, which finds ways of its own.

    With `on`, only where that tensor is on the CPU: for ways that pay on no other device.
    """
    if torch.compiler.is_compiling():
        return False
    return _ENABLED.get() and (on is None or on.device.type == "cpu")


@contextmanager
def plain_formulas() -> Iterator[None]:
    """Compute every model by its plain formula inside the block, in this thread."""
    token = _ENABLED.set(False)
    try:
        yield
    finally:
        _ENABLED.reset(token)
