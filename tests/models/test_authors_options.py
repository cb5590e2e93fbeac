"""Every option of the authors that sizes a part sizes that part alone.

In the golden files several options have the same value. Here each stack of layers is stretched to a
depth of its own: layer n beyond the recorded ones is the last of them again, and each layer is
moved a little, so that no two are alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mgsv.errors import ConfigError
from mgsv.models.authors import load_detector, load_made, made_config, replay
from mgsv.models.authors.detectors import FAMILIES
from mgsv.models.authors.made import our_made_name
from model_support import Golden

Weights = Mapping[str, Tensor]

STACKS = {
    "encoder": r"transformer\.encoder|CIM\.GKA_Module",
    "decoder": r"transformer\.decoder|CIM\.decoder",
    "cross": r"transformer\.t2v_encoder|CIM\.(?:t2v|v2t)_encoder",
}
"""Our name of a stack, and what the authors' names of its layers start with."""
DEPTHS = {"encoder": 1, "decoder": 3, "cross": 4}
HIDDEN = 48
"""Width of every feed-forward; 64 in the golden files."""
SYSTEMS = ["made", *FAMILIES]


def golden_of(system: str) -> Golden:
    return Golden({"made": "made_full", "uvcom": "uvcom_c64"}.get(system, system))


def stretched(weights: Weights) -> dict[str, Tensor]:
    """`weights` with stacks of DEPTHS layers whose feed-forwards are HIDDEN wide."""
    found: dict[str, Tensor] = {}
    g = torch.Generator().manual_seed(0)
    for stack, start in STACKS.items():
        pattern = re.compile(rf"((?:detr_)?(?:{start})\.layers\.)(\d+)(\..*)")
        own = {name: match for name in weights if (match := pattern.fullmatch(name))}
        last = max((int(match[2]) for match in own.values()), default=-1)
        for name, (front, number, part) in ((n, m.groups()) for n, m in own.items()):
            copies = [int(number)] if int(number) < DEPTHS[stack] else []
            copies += range(last + 1, DEPTHS[stack]) if int(number) == last else []
            for layer in copies:
                value = narrowed(part, weights[name])
                noise = torch.randn(value.shape, generator=g)
                found[f"{front}{layer}{part}"] = value + 0.1 * noise * value.abs().mean()
    layers = re.compile(rf"(?:detr_)?(?:{'|'.join(STACKS.values())})\.layers\.\d+\.")
    return found | {name: value for name, value in weights.items() if not layers.match(name)}


def narrowed(part: str, value: Tensor) -> Tensor:
    if part.startswith(".linear1."):
        return value[:HIDDEN]
    return value[:, :HIDDEN] if part == ".linear2.weight" else value


def loaded(system: str, config: Mapping[str, Any], weights: Weights) -> nn.Module:
    if system != "made":
        return load_detector(system, config, weights)
    return load_made(made_config(weights, config), weights)


def stack_of(model: nn.Module, system: str, stack: str) -> list[nn.Module]:
    """The stacks that one of the authors' depths counts: two cross-modal ones in UVCOM."""
    if system == "made":
        return [model.get_submodule(f"detector.{stack}")]
    names = ["cross", "cross_frames"] if (system, stack) == ("uvcom", "cross") else [stack]
    return [model.get_submodule(name) for name in names]


def stacks_in(weights: Weights) -> list[str]:
    return [
        stack
        for stack, start in STACKS.items()
        if any(re.match(rf"(?:detr_)?(?:{start})\.layers\.", name) for name in weights)
    ]


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_stack_has_its_own_depth_and_every_layer_its_place(system: str) -> None:
    golden = golden_of(system)
    weights = stretched(golden.weights)
    model = loaded(system, golden.config, weights)
    for stack in stacks_in(weights):
        for part in stack_of(model, system, stack):
            assert len(part.get_submodule("layers")) == DEPTHS[stack]  # type: ignore[arg-type]
            assert vars(model.config)[f"{stack}_layers"] == DEPTHS[stack]  # type: ignore[arg-type]
    assert vars(model.config)["feed_forward"] == HIDDEN  # type: ignore[arg-type]
    rename = our_made_name if system == "made" else FAMILIES[system].our_name
    own = model.state_dict()
    for name, value in weights.items():
        if ours := rename(name):
            assert torch.equal(own[ours].flatten(), value.flatten()), name


@pytest.mark.sampled
@pytest.mark.parametrize("system", SYSTEMS)
def test_no_two_layers_may_change_places(system: str) -> None:
    """Layers 1 and 2 of the decoder, and of the cross-modal stack where there is one."""
    golden = golden_of(system)
    weights = stretched(golden.weights)
    spans = replay(system, golden.config, weights, golden.inputs)["pred_spans"]
    assert spans.isfinite().all()
    for stack in {"decoder", "cross"} & {*stacks_in(weights)}:
        exchange = re.compile(rf"((?:detr_)?(?:{STACKS[stack]})\.layers\.)([12])(\..*)")
        changed = {
            exchange.sub(lambda m: f"{m[1]}{3 - int(m[2])}{m[3]}", name): value
            for name, value in weights.items()
        }
        other = replay(system, golden.config, changed, golden.inputs)["pred_spans"]
        # A thousand roundings of a span in float32; the golden files differ from ours by 20.
        assert float((other - spans).detach().abs().max()) > 1000 * 2**-24, stack


def options_of(system: str) -> dict[str, Any]:
    config: dict[str, Any] = golden_of(system).config["config"]
    return config


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("system", "option", "field", "recorded"),
    [
        ("eatr", "num_slot_iter", "slot_rounds", 3),
        ("uvcom", "em_iter", "centroid_rounds", 5),
        ("qd_detr", "eos_coef", "background_weight", 0.1),
        ("qd_detr", "set_cost_span", "span_cost", 10),
        ("qd_detr", "set_cost_giou", "giou_cost", 1),
        ("qd_detr", "set_cost_class", "label_cost", 4),
    ],
)
def test_options_that_weights_cannot_tell_are_followed(
    system: str, option: str, field: str, recorded: float
) -> None:
    config, golden = options_of(system), golden_of(system)
    assert config[option] == recorded
    for value in (recorded, 2):
        model = load_detector(system, {**config, option: value}, golden.weights)
        assert vars(model.config)[field] == value
    del config[option]
    assert vars(load_detector(system, config, golden.weights).config)[field] == recorded


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("use_txt_pos", True),
        ("pre_norm", True),
        ("position_embedding", "learned"),
        ("span_loss_type", "ce"),
        ("n_input_proj", 3),
    ],
)
def test_options_without_a_counterpart_are_refused(option: str, value: object) -> None:
    golden = golden_of("moment_detr")
    with pytest.raises(ConfigError, match=f"{option}={value!r}"):
        load_detector("moment_detr", {**options_of("moment_detr"), option: value}, golden.weights)


def test_an_encoder_may_have_no_layers() -> None:
    golden = golden_of("moment_detr")
    empty = {n: w for n, w in golden.weights.items() if not n.startswith("transformer.encoder.")}
    model = load_detector("moment_detr", options_of("moment_detr"), empty)
    assert model.config.encoder_layers == 0 and model.config.feed_forward == 64
