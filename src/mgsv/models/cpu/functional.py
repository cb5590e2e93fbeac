"""The linear map and dropout, as in `torch.nn.functional` and faster on the CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from mgsv.models.cpu import enabled

# --- the linear map -------------------------------------------------------------------------------
#
# On the CPU PyTorch sends every fp32 `F.linear` to MKL. oneDNN, in the same build, is the faster
# one on AMD's processors with AVX-512; on Intel's that was not tried. No public switch makes the
# choice (`torch.backends.mkldnn` only lowers the precision), so the operator that `torch.compile`
# emits is called. It is private: where it is missing, and for everything but larger fp32 products
# on a CPU with AVX-512, `F.linear` is what runs.

_ROWS = 1024
"""Rows from which oneDNN is called; for fewer its call costs what its product saves."""

_ONEDNN = (
    torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    and torch.backends.cpu.get_cpu_capability() == "AVX512"
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    y: Tensor = torch.ops.mkldnn._linear_pointwise(x.contiguous(), weight, bias, "none", [], "")
    return y


class _OneDNNLinear(torch.autograd.Function):
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
    usable = _ONEDNN and fp32 and not few and not torch.is_autocast_enabled("cpu")
    if not (usable and enabled(x)):
        return F.linear(x, weight, bias)
    if not torch.is_grad_enabled():
        return _product(x, weight, bias)
    y: Tensor = _OneDNNLinear.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return y


# --- dropout --------------------------------------------------------------------------------------

_LEVELS = 1 << 16


class _ByteDropout(torch.autograd.Function):
    """Dropout from 16 random bits a value.

    PyTorch's CPU dropout draws one Bernoulli number at a time, which costs more than the matrix
    products around it, and keeps a float mask. Four values share one 64-bit draw here, and the mask
    is one byte. The rate is rounded to 1/65536 and the survivors are scaled by the exact share
    kept, so the expectation is exact. A product with the byte mask would copy it to floats and then
    make the result: here that copy becomes the result.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, rate: float) -> Tensor:
        dropped = round(rate * _LEVELS)
        draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        bits = draws.view(torch.int16)[: x.numel()].view(x.shape)
        keep = bits >= dropped - _LEVELS // 2
        ctx.save_for_backward(keep)
        ctx.scale = _LEVELS / (_LEVELS - dropped)  # type: ignore[attr-defined]
        return keep.to(x.dtype).mul_(x).mul_(ctx.scale)  # type: ignore[attr-defined]

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        (keep,) = ctx.saved_tensors  # type: ignore[attr-defined]
        (grad,) = grads
        return keep.to(grad.dtype).mul_(grad).mul_(ctx.scale), None  # type: ignore[attr-defined]


def dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """Zero each value with probability `rate` and scale the others up; nothing in evaluation."""
    if not training or rate == 0:
        return x
    if not enabled(x):
        return F.dropout(x, rate)
    dropped: Tensor = _ByteDropout.apply(x, rate)  # type: ignore[no-untyped-call]
    return dropped
