"""Compiled stacks compute what they computed before."""

from __future__ import annotations

import shutil

import pytest

from mgsv.training.loop import compile_stacks
from model_support import assert_same_gradients, close, gradients, small_batch, small_made, total

pytestmark = [
    pytest.mark.thorough,  # half a minute of a compiler's work
    pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler"),
]


def test_compiled_layers_give_the_same_loss_and_gradients() -> None:
    """In evaluation mode, where no random mask stands between the two."""
    plain, compiled = small_made(), small_made()
    compile_stacks(compiled)
    for seed in (1, 2):
        batch = small_batch(seed=seed, rows=5 + seed)
        close(total(compiled, batch), total(plain, batch))
        ours, theirs = (gradients(one, total(one, batch)) for one in (compiled, plain))
        assert_same_gradients(theirs, ours)


def test_every_layer_of_a_stack_is_compiled() -> None:
    model = small_made()
    compile_stacks(model)
    layers = [*model.detector.encoder.layers, *model.detector.decoder.layers]
    assert layers and all(layer._compiled_call_impl is not None for layer in layers)
