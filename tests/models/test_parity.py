"""MaDe and its 13 ablations give what the authors' code gives."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from mgsv.models.authors import load_made, made_config, our_made_name, replay, replay_made
from mgsv.models.configs import ABLATIONS, MadeConfig
from mgsv.models.made import MaDe
from mgsv.models.registry import build, config_of
from model_support import Golden
from tolerances import NETWORK, RECORDED_GRADIENT, SMALL_GRADIENT

VARIANTS = sorted(ABLATIONS)


def loaded(golden: Golden, places: int | None) -> MaDe:
    switches = {**golden.config, **golden.config["overrides"]}
    model = load_made(made_config(golden.weights, switches), golden.weights)
    model.places = places
    return model


def assert_close(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    for name, value in theirs.items():
        assert ours[name].shape == value.shape, name
        difference = float((ours[name].detach() - value).abs().max())
        assert difference <= NETWORK, f"{name}: {difference:.2e}"


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_output_and_loss_equals_the_authors(variant: str) -> None:
    golden = Golden(f"made_{variant}")
    ours = replay("made", golden.config, golden.weights, golden.inputs)
    assert_close(ours, golden.out)


@pytest.mark.parametrize("places", [None, 30], ids=["whole", "groups"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_gradient_norm_equals_the_authors(variant: str, places: int | None) -> None:
    golden = Golden(f"made_{variant}")
    model = loaded(golden, places)
    ours = replay_made(model, golden.inputs)
    assert_close(ours, golden.out)
    (ours["retrieval_loss"] + ours["localization_loss"]).backward()
    norms = {
        name: 0.0 if p.grad is None else float(p.grad.norm())
        for name, p in model.named_parameters()
    }
    assert golden.gradient_norms.keys() <= {*golden.weights}
    assert {our_made_name(name) for name in golden.gradient_norms} == norms.keys()
    largest = max(golden.gradient_norms.values())
    for name, theirs in golden.gradient_norms.items():
        # A gradient that is zero in exact arithmetic (a key's bias) is rounding noise on both sides
        noise = SMALL_GRADIENT * largest
        assert norms[our_made_name(name)] == pytest.approx(
            theirs, rel=RECORDED_GRADIENT, abs=noise
        ), name


@pytest.mark.parametrize("variant", VARIANTS)
def test_config_read_off_the_weights_is_the_ablations(variant: str) -> None:
    golden = Golden(f"made_{variant}")
    found = made_config(golden.weights, {**golden.config, **golden.config["overrides"]})
    sizes = {"hidden_dim": 32, "heads": 4, "feed_forward": 64, "canvas_seconds": 35.0}
    sizes |= {"max_frames": 9, "max_segments": 14}
    assert found == config_of("made", {**sizes, **ABLATIONS[variant]})


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameter_count_equals_the_authors(variant: str) -> None:
    golden = Golden(f"made_{variant}")
    model = loaded(golden, None)
    assert sum(p.numel() for p in model.parameters()) == golden.config["n_params"]


def test_published_size() -> None:
    """The counts of the paper's table and of its parts."""
    model = build("made")
    assert isinstance(model, MaDe) and model.xpool is not None

    def count(*modules: torch.nn.Module) -> int:
        return sum(p.numel() for module in modules for p in module.parameters())

    detector = model.detector
    assert count(model) == 10_534_917
    assert count(detector.encoder, detector.decoder) == 7_900_672
    assert count(model.video.projection) == 131_328
    assert count(model.music.projection) == 196_864
    assert count(model.video) - 131_328 == count(model.music) - 196_864 == 855_552
    assert count(model.xpool) == 330_496
    assert count(detector.span_head) == 132_098
    assert count(detector.class_head) == 514
    assert count(detector.align_queries) == count(detector.align_frames) == 65_792
    assert detector.query_positions.numel() == 256


def test_dual_only_lacks_exactly_xpool() -> None:
    with torch.device("meta"):
        full, dual = (build("made", ABLATIONS[name]) for name in ("full", "dual_only"))
    counts = [sum(p.numel() for p in model.parameters()) for model in (full, dual)]
    assert counts[0] - counts[1] == 330_496


def test_temperature_starts_as_published() -> None:
    model = build("made", MadeConfig(hidden_dim=16, heads=2))
    assert isinstance(model, MaDe)
    assert float(model.log_temperature.detach()) == pytest.approx(math.log(1 / 0.03))
