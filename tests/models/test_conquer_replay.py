"""CONQUER gives what its authors' code gives, at any of the depths that their options allow."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import conquer_plainly
from gradient_support import without_learning
from mgsv.errors import ConfigError
from mgsv.models.authors import replay
from mgsv.models.authors.conquer import load_conquer, our_conquer_name, our_weights, replay_conquer
from model_support import Golden, close, gradients


def test_conquer_gives_what_the_authors_code_gives() -> None:
    golden = Golden("conquer")
    ours = replay("conquer", golden.config, golden.weights, golden.inputs)
    theirs = golden.out | {f"loss.{name}": value for name, value in golden.losses.items()}
    assert (
        ours.keys()
        == theirs.keys()
        == {*("begin", "end", "video_score", "loss.moment_ce", "loss.video_ce", "loss.total")}
    )
    for name, value in theirs.items():
        close(ours[name].detach(), value)
    weights = our_weights(golden.weights)
    assert sum(w.numel() for w in weights.values()) == golden.config["n_params"]


@pytest.mark.slow
def test_conquers_gradients_reach_every_parameter_and_are_the_losss() -> None:
    """The golden file has no gradient norms, but says that none is zero. Oracle: differences."""
    golden = Golden("conquer")
    assert golden.config["unused"] == {"no_grad": [], "zero_grad": []}
    inputs = {k: v.double() if v.is_floating_point() else v for k, v in golden.inputs.items()}
    model = load_conquer(golden.config["config"], golden.weights, 7, 11).double()
    # Whole key parameters have gradients; their biases, which softmax does not see, are parts.
    idle = without_learning(model, lambda: replay_conquer(model, inputs)["loss.total"])
    assert idle and all(name.endswith("in_proj_bias[k]") for name in idle)
    grads = gradients(model, replay_conquer(model, inputs)["loss.total"])
    assert {our_conquer_name(name) for name in golden.weights} == grads.keys()
    generator = torch.Generator().manual_seed(0)
    step = 1e-6  # so small that no ReLU turns on or off between the two sides
    for name, parameter in model.named_parameters():
        along = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        values = []
        for shift in (step, -2 * step):
            parameter.data += shift * along
            values.append(float(replay_conquer(model, inputs)["loss.total"].detach()))
        parameter.data += step * along
        measured, expected = (values[0] - values[1]) / 2 / step, float((grads[name] * along).sum())
        # The loss is 0.1 and known to some hundred roundings: 0.1 · 100 · 2^-53 / step.
        assert measured == pytest.approx(expected, rel=0, abs=1.2e-9), name


# Any depth


FLOAT64 = 5e-11
"""Of scores up to 100, by sums of at most 200 terms in 20 layers: 100 · 200 · 20 · 2^-53."""


def sized(**changes: int | str) -> dict[str, Any]:
    """The golden file's config with other sizes."""
    return {**Golden("conquer").config["config"], **changes}


def given(config: dict[str, Any]) -> dict[str, Tensor]:
    """The golden file's inputs, with features of the config's widths."""
    inputs = Golden("conquer").inputs
    g = torch.Generator().manual_seed(1)
    for name, width in (("query_feat", config["q"]), ("visual_feat", config["v"])):
        mask = inputs[name.replace("feat", "mask")]
        inputs[name] = torch.randn(*mask.shape, width, generator=g) * mask[..., None]
    return inputs


def test_the_oracle_is_the_authors_code() -> None:
    golden = Golden("conquer")
    config = golden.config["config"]
    shapes = {name: tuple(value.shape) for name, value in golden.weights.items()}
    assert conquer_plainly.shapes(config) == shapes
    found = conquer_plainly.evaluated(config, golden.weights, golden.inputs)
    assert found.keys() == golden.out.keys()
    for name, value in golden.out.items():
        close(found[name].float(), value)


DISTINCT: list[dict[str, int | str]] = [
    {"layers": 2, "qlayers": 1},
    {"layers": 1, "qlayers": 3},
    {"layers": 3, "qlayers": 2, "similarity_measure": "general"},
    {"hidden": 24, "heads": 3, "inter": 40, "conv": 6, "k": 3, "q": 10, "v": 14},
]
"""Options that the golden file cannot tell apart, or that some rule could take from elsewhere."""


@pytest.mark.parametrize("changes", DISTINCT, ids=lambda c: ",".join(f"{k}={c[k]}" for k in c))
def test_every_option_sizes_what_the_authors_size_by_it(changes: dict[str, int | str]) -> None:
    config = sized(**changes)
    weights, inputs = conquer_plainly.random_weights(config), given(config)
    model = load_conquer(config, weights, 7, 11).double()
    exact = {name: x.double() if "feat" in name else x for name, x in inputs.items()}
    ours, theirs = (
        replay_conquer(model, exact),
        conquer_plainly.evaluated(config, weights, inputs),
    )
    for name, value in theirs.items():
        close(ours[name], value, FLOAT64)
    assert theirs.keys() <= replay("conquer", config, weights, inputs).keys()
    assert len(model.video.layers) == config["qlayers"]
    contexts = [model.music, model.context, model.begin.context, model.end.context]
    contexts += [] if model.ranking is None else [model.ranking.context]
    assert {len(part.layers) for part in contexts} == {config["layers"]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ctx_mode": "visual_sub"}, "ctx_mode='visual_sub'"),
        ({"layer_norm_eps": 1e-12}, "layer_norm_eps=1e-12"),
        ({"qlayers": 2}, "weights are missing"),
    ],
)
def test_what_cannot_be_replayed_is_refused(changes: dict[str, Any], words: str) -> None:
    golden = Golden("conquer")
    with pytest.raises(ConfigError, match=words):
        replay("conquer", sized(**changes), golden.weights, golden.inputs)


def test_a_config_without_a_size_is_refused() -> None:
    golden, config = Golden("conquer"), sized()
    del config["qlayers"]
    with pytest.raises(ConfigError, match="'qlayers' is missing"):
        replay("conquer", config, golden.weights, golden.inputs)
