"""Training reaches every parameter but those whose gradient is zero by mathematics."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from detector_support import DETECTORS, small
from gradient_support import by_part, without_learning
from mgsv.data.batch import Batch
from mgsv.models import detection
from mgsv.models.blocks import sine_of_mask
from mgsv.models.made import MaDe
from mgsv.models.registry import build
from model_support import SMALL, small_batch, small_made, stir

ZERO: dict[str, dict[str, str]] = {
    "every": {
        "held only because the published models hold it": r"unused.*",
        "a key's bias b adds q·b to all scores of a query, before a softmax over the keys": (
            r"(.*(self|cross)_key(_position)?|xpool\.key)\.bias|.*in_proj_bias\[k\]"
        ),
    },
    "moment_detr": {
        "the first decoder layer's values are of queries without content": (
            r"decoder\.layers\.0\.self_attention\.in_proj_weight\[v\]"
        ),
    },
    "qd_detr": {
        "queries without content": r"decoder\.layers\.0\.self_(query|key|value)\.weight",
    },
    "tr_detr": {
        "queries without content": r"decoder\.layers\.0\.self_(query|key|value)\.weight",
        "added to the scores of all segments, before a softmax over them": r"score\.bias",
    },
    "eatr": {
        "attention with one key gives it weight 1, whatever was asked": (
            r"decoder\.layers\.0\.gate\.cross_attention\.in_proj_(weight|bias)\[[qk]\]"
        ),
        "added to all slots alike, before a softmax over the slots": (
            r"slot_attention\.(query|norm_slots)\.bias"
        ),
    },
    "uvcom": {
        "one slot, or slots that are all alike, share every place equally": (
            r"slot_attention\.(query|key|norm_slots)\..*"
        ),
    },
    "made": {
        "one query: attention among queries has one key": (
            r"detector\.decoder\.layers\.\d+\.self_attention\.in_proj_(weight|bias)\[[qk]\]"
        ),
        "one query: nothing to be told apart from by alignment": r"detector\.align_\w+\..*",
    },
}
"""By family: why a gradient is zero, and which parameters that is true of."""


def small_mvpt() -> nn.Module:
    sizes = {name: value for name, value in SMALL.items() if "fusion" not in name}
    del sizes["feed_forward"]
    torch.manual_seed(0)
    model = build("mvpt", sizes)
    stir(model)
    return model


def small_conquer() -> nn.Module:
    """With weights ten times their start, so that scores are not all alike."""
    sizes = {name: SMALL[name] for name in ("frame_dim", "segment_dim", "max_frames")}
    sizes |= {"max_segments": 14, "longest": 13, "hidden_dim": 24, "heads": 4, "feed_forward": 40}
    torch.manual_seed(0)
    model = build("conquer", {**sizes, "backbone_layers": 1, "project_music": True})
    for parameter in model.parameters():
        parameter.data *= 10 if parameter.dim() == 2 else 1
    stir(model)
    return model


def in_groups(model: MaDe) -> MaDe:
    model.places = 20
    return model


SYSTEMS: dict[str, Callable[[], nn.Module]] = {
    **{name: lambda name=name: small(name) for name in DETECTORS},
    "made": small_made,
    "made with three queries": lambda: small_made(queries=3),
    "made with three queries, in groups": lambda: in_groups(small_made(queries=3)),
    "mvpt": small_mvpt,
    "conquer": small_conquer,
}


def in_float64(batch: Batch) -> Batch:
    assert batch.spans is not None
    return replace(
        batch,
        frame_feats=batch.frame_feats.double(),
        segment_feats=batch.segment_feats.double(),
        video_seconds=batch.video_seconds.double(),
        track_seconds=batch.track_seconds.double(),
        spans=batch.spans.double(),
    )


@pytest.mark.sampled
@pytest.mark.parametrize("system", SYSTEMS)
def test_gradient_reaches_every_parameter_that_is_used(
    system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detection, "sine_of_mask", lambda *of: sine_of_mask(*of).double())
    model, batch = SYSTEMS[system]().double().train(), in_float64(small_batch())
    found = without_learning(model, lambda: torch.stack([*model.loss(batch).values()]).sum())  # type: ignore[operator]
    reasons = {**ZERO["every"], **ZERO.get(system.removesuffix("_plus"), {})}
    names = by_part(dict(model.named_parameters()))
    expected = {name for name in names if any(re.fullmatch(p, name) for p in reasons.values())}
    assert found == expected


def test_noise_does_not_pass_for_learning() -> None:
    """A bias before a softmax: its gradient is some 1e-17 here, which is not zero."""
    torch.manual_seed(0)
    linear = nn.Linear(7, 1).double()
    x, worth = torch.randn(50, 7, dtype=torch.float64), torch.randn(50, dtype=torch.float64)
    assert without_learning(linear, lambda: linear(x)[:, 0].softmax(dim=0) @ worth) == {"bias"}
