"""Which parameters a loss teaches, distinguished from rounding noise.

In float64: a gradient that is zero in exact arithmetic is noise in any other, and noise is not
learning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from model_support import gradients

NOISE = 1000 * 2**-53
"""Of the largest gradient: a sum of up to a thousand terms of its size, each rounded in float64."""
LEARNING = 1e-8
"""Of the largest gradient: what a parameter that learns has at least. Nothing lies in between."""


def by_part(grads: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Packed parameters of attention in their three parts, `name[q]`, `name[k]`, `name[v]`."""
    found = {}
    for name, gradient in grads.items():
        if "in_proj" in name:
            parts = zip("qkv", gradient.chunk(3), strict=True)
            found |= {f"{name}[{part}]": chunk for part, chunk in parts}
        else:
            found[name] = gradient
    return found


def without_learning(model: nn.Module, loss: Callable[[], Tensor]) -> set[str]:
    """Parameters, or parts of packed ones, whose gradient is zero but for rounding noise."""
    grads = by_part(gradients(model, loss()))
    scale = max(float(gradient.abs().max()) for gradient in grads.values())
    sizes = {name: float(gradient.abs().max()) / scale for name, gradient in grads.items()}
    unclear = {name: size for name, size in sizes.items() if NOISE < size < LEARNING}
    assert not unclear, f"neither noise nor learning: {unclear}"
    return {name for name, size in sizes.items() if size <= NOISE}
