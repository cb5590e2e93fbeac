"""The CPU's ways give what the plain formulas give, and the switch turns them off."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from detector_support import DETECTORS, small
from mgsv.data.batch import Batch
from mgsv.models import cpu
from mgsv.models.blocks import Linear
from mgsv.models.cpu import functional as module
from mgsv.models.cpu.functional import dropout, linear
from mgsv.models.registry import Detects, Matches, Reranks, list_models
from model_support import close, gradients, small_batch, small_conquer, small_made, small_mvpt
from tolerances import GRADIENT

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
        torch.testing.assert_close(ours, theirs, rtol=GRADIENT, atol=GRADIENT)


def test_a_gradient_without_memory_of_its_own_is_taken() -> None:
    x, weight, bias = parts()
    x.requires_grad_()
    linear(x, weight[:40], bias).sum().backward()
    expected = weight[:40].sum(dim=0).expand_as(x)
    torch.testing.assert_close(x.grad, expected, rtol=GRADIENT, atol=GRADIENT)


@needs_onednn
def test_only_what_requires_it_gets_a_gradient() -> None:
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


def test_the_switch_is_off_inside_its_block_alone() -> None:
    on_cpu, elsewhere = torch.zeros(1), torch.zeros(1, device="meta")
    assert cpu.enabled() and cpu.enabled(on_cpu) and not cpu.enabled(elsewhere)
    with pytest.raises(KeyError), cpu.plain_formulas():
        assert not cpu.enabled() and not cpu.enabled(on_cpu)
        raise KeyError
    assert cpu.enabled()


@needs_onednn
def test_plain_formulas_leave_the_product_to_pytorch() -> None:
    x, weight, bias = parts()
    weight.requires_grad_()
    with cpu.plain_formulas():
        y = linear(x, weight[:40], bias)
    assert "OneDNN" not in type(y.grad_fn).__name__


def test_dropout_keeps_the_expectation_either_way() -> None:
    """200,000 values: five standard errors of their mean are 0.011 at this rate."""
    for block in (nullcontext(), cpu.plain_formulas()):
        torch.manual_seed(0)
        x = torch.ones(200_000, requires_grad=True)
        with block:
            y = dropout(x, 0.5, training=True)
        (grad,) = torch.autograd.grad(y.sum(), x)
        assert torch.equal(grad.detach(), y.detach()) and {*y.tolist()} == {0.0, 2.0}
        assert abs(float(y.detach().mean()) - 1) < 0.0112


@pytest.mark.sampled
@pytest.mark.parametrize("name", list_models())
def test_every_model_says_the_same_by_its_plain_formula(name: str) -> None:
    model: Any = {**dict.fromkeys(DETECTORS, small), **OTHERS}[name](name)
    batch = small_batch(rows=20)
    fast = everything(model, batch)
    with cpu.plain_formulas():
        plain = everything(model, batch)
    for what, value in fast.items():
        close(value, plain[what], 1e-4)
        assert torch.isfinite(value).all(), what


OTHERS = {
    "made": lambda _: small_made(),
    "mvpt": lambda name: small_mvpt(name),
    "mvpt_plus": lambda name: small_mvpt(name),
    "conquer": lambda _: small_conquer(),
}


def everything(model: Any, batch: Batch) -> dict[str, Tensor]:
    """Scores, spans, losses and the norms of their gradients, whatever of it the model offers."""
    found = {}
    torch.manual_seed(0)  # CONQUER draws its negatives
    losses = model.loss(batch)
    loss = torch.stack(list(losses.values())).sum()
    norms = [g.norm() for g in gradients(model, loss).values()]
    found = {**losses, "gradients": torch.stack(norms) / torch.stack(norms).max()}
    with torch.no_grad():
        if isinstance(model, Matches | Reranks):
            videos, tracks = model.embed_videos(batch), model.embed_tracks(batch)
            found["scores"] = model.pair_scores(videos, tracks)  # type: ignore[union-attr]
        if isinstance(model, Detects):
            found["spans"] = model.detect(batch)
    return found
