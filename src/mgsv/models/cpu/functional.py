"""Linear maps that take oneDNN's matrix product where PyTorch would take a slower one.

On the CPU PyTorch sends every fp32 `F.linear` to MKL. oneDNN, in the same build, is the faster one
on AMD's processors with AVX-512; on Intel's that was not tried. No public switch makes the choice
(`torch.backends.mkldnn` only lowers the precision), so the operator that `torch.compile` emits is
called. It is private: where it is missing, and for everything but larger fp32 products on a CPU
with AVX-512, `F.linear` is what runs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_ROWS = 1024
"""Rows from which oneDNN is asked; for fewer its call costs what its product saves."""

_ONEDNN = (
    torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    and torch.backends.cpu.get_cpu_capability() == "AVX512"
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight, bias, "none", [], "")
    return y


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: torch.autograd.function.FunctionCtx, grad: Tensor
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        for_x, for_weight, for_bias = ctx.needs_input_grad  # type: ignore[attr-defined]
        rows = grad.flatten(0, -2)
        return (
            _product(grad, weight.t(), None) if for_x else None,
            rows.t() @ x.flatten(0, -2) if for_weight else None,  # MKL is as fast at this one
            rows.sum(dim=0) if for_bias else None,
        )


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x Wᵀ + b [..., out] of x [..., in] and weight [out, in], as `F.linear`."""
    few = x.numel() < _ROWS * weight.shape[1]
    fp32 = x.dtype is torch.float32 and weight.dtype is torch.float32
    if not _ONEDNN or few or x.device.type != "cpu" or not fp32 or torch.is_autocast_enabled("cpu"):
        return F.linear(x, weight, bias)
    if not torch.is_grad_enabled():
        return _product(x, weight, bias)
    y: Tensor = _Linear.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return y


class Linear(nn.Linear):
    """`nn.Linear` by :func:`linear`: same parameters, same start."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)
