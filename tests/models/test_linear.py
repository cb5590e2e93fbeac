"""`models.cpu.functional.linear` is `F.linear`, whichever product computes it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mgsv.models.cpu import functional as module
from mgsv.models.cpu.functional import Linear, linear

ROWS = 1100
needs_onednn = pytest.mark.skipif(not module._ONEDNN, reason="this CPU is left to F.linear")


def parts(bias: bool = True) -> tuple[Tensor, Tensor, Tensor | None]:
    torch.manual_seed(0)
    x, weight = torch.randn(2, ROWS // 2, 24), torch.randn(3 * 40, 24)
    return x, weight, torch.randn(40) if bias else None


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [3, ROWS])
def test_values_and_gradients_equal_those_of_pytorch(
    bias: bool, dtype: torch.dtype, rows: int
) -> None:
    found = []
    for function in (F.linear, linear):
        x, weight, b = (None if t is None else t.to(dtype).requires_grad_() for t in parts(bias))
        assert x is not None and weight is not None
        # A slice of a packed weight, a transposed input, and a gradient that is a view.
        y = function(x.transpose(0, 1)[:rows], weight[40:80], b)
        (y * y.detach().mean(dim=0)).sum().backward()
        leaves = [x, weight] if b is None else [x, weight, b]
        found.append([y.detach(), *(leaf.grad for leaf in leaves)])
    for theirs, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)


def test_a_gradient_without_memory_of_its_own_is_taken() -> None:
    x, weight, bias = parts()
    x.requires_grad_()
    linear(x, weight[:40], bias).sum().backward()
    expected = weight[:40].sum(dim=0).expand_as(x)
    torch.testing.assert_close(x.grad, expected, rtol=1e-5, atol=1e-4)


@needs_onednn
def test_only_what_is_asked_for_gets_a_gradient() -> None:
    x, weight, bias = parts()
    weight.requires_grad_()
    y = linear(x, weight[:40], bias)
    assert "Addmm" not in type(y.grad_fn).__name__  # oneDNN's product, not F.linear's
    y.sum().backward()
    assert weight.grad is not None and x.grad is None


def test_autocast_reaches_the_product() -> None:
    layer = Linear(24, 40)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(parts()[0]).dtype is torch.bfloat16
