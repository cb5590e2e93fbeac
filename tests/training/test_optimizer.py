"""The optimizer and the settings that systems' own authors trained with."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mgsv.errors import ConfigError
from mgsv.models.registry import list_models
from mgsv.training.config import TrainConfig, configure
from mgsv.training.optimizer import make_optimizer, stepped_factor
from tolerances import FEW32


def small() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))


def stepped(optimizer: torch.optim.Optimizer, model: nn.Module, steps: int = 5) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(6, 3, generator=generator)).square().sum().backward()
        optimizer.step()
    return [parameter.detach() for parameter in model.parameters()]


def groups(model: nn.Sequential) -> dict[str, list[nn.Parameter]]:
    return {"embedding": [*model[0].parameters()], "rest": [*model[1:].parameters()]}


def test_without_decay_it_is_adam_to_the_last_bit() -> None:
    ours, plain = small(), small()
    mine = stepped(make_optimizer(groups(ours), TrainConfig(lr=0.01)), ours)
    theirs = stepped(torch.optim.Adam(plain.parameters(), lr=0.01), plain)
    assert all(map(torch.equal, mine, theirs))


def test_one_kernel_for_all_weights_gives_the_same_up_to_rounding() -> None:
    """Five steps of 0.01 on weights below 1, each with a few roundings of its own."""
    config, fused, plain = TrainConfig(lr=0.01, weight_decay=0.1), small(), small()
    mine = stepped(make_optimizer(groups(fused), replace(config, fused=True)), fused)
    theirs = stepped(make_optimizer(groups(plain), config), plain)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=5 * FEW32)


def test_how_weights_are_updated_is_left_to_pytorch_unless_one_kernel_is_wanted() -> None:
    """It knows what suits a device; a plain False would rule out more than the one kernel."""
    kinds = [
        make_optimizer(groups(small()), TrainConfig(fused=fused)).defaults["fused"]
        for fused in (False, True)
    ]
    assert kinds == [None, True]


@pytest.mark.parametrize("vectors", [True, False])
def test_decay_shrinks_what_it_should_beside_adams_step(vectors: bool) -> None:
    """By its definition: the weights times 1 - lr * decay, then Adam's own step."""
    model = small()
    config = TrainConfig(lr=0.01, weight_decay=0.5, decay_vectors=vectors, epsilon=1e-3)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = make_optimizer(groups(model), config)
    after = stepped(optimizer, model, steps=1)
    for old, new, parameter in zip(before, after, model.parameters(), strict=True):
        shrunk = 1 - 0.01 * 0.5 if vectors or old.dim() > 1 else 1.0
        gradient = parameter.grad
        assert gradient is not None
        step = 0.01 * gradient / (gradient.abs() + 1e-3)  # Adam's first: mean and root agree
        torch.testing.assert_close(new, shrunk * old - step)
    names = [group["name"] for group in optimizer.param_groups]
    assert names == ["embedding", "rest"] if vectors else names == ["embedding"] * 2 + ["rest"] * 2


def test_the_stepped_rate() -> None:
    """10 steps an epoch, 4 epochs, an eighth of it warm-up, a tenth after every 2 epochs."""
    rates = [stepped_factor(step, 40, 0.125, step // 10, 2) for step in range(40)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[5:20] == [1.0] * 15 and rates[20:] == pytest.approx([0.1] * 20)
    assert {stepped_factor(step, 40, 0, step // 10, 0) for step in range(40)} == {1.0}
    with pytest.raises(ConfigError, match=r"train\.drop_every=2"):
        TrainConfig(drop_every=2)


def test_every_system_has_its_authors_settings_and_mades() -> None:
    for model in list_models():
        assert configure(model, "paper")[1] == TrainConfig()
        architecture, config = configure(model, "authors")
        if model != "conquer":
            assert architecture == configure(model, "paper")[0]
        if model in ("made", "mvpt", "mvpt_plus"):
            assert config == TrainConfig()
        else:
            assert config.lr == 1e-4 and config.warmup == 0 and config.weight_decay > 0
    drops = {m: configure(m, "authors")[1].drop_every for m in list_models("detect")}
    assert {m: epochs for m, epochs in drops.items() if epochs} == {
        "eatr": 150,
        "uvcom": 100,
        "uvcom_plus": 100,
    }
    config = configure("tr_detr", "authors")[1]
    assert (config.seed, config.batch_size, config.epochs, config.clip) == (2017, 32, 200, 0.1)


def test_a_presets_line_may_be_for_one_model_alone() -> None:
    small, other = (configure(model, "cpu-small")[1] for model in ("conquer", "mvpt"))
    assert small.batch_size == 32 != other.batch_size
    assert configure("made", "cpu-small")[1].embedding_rate < 1 == other.embedding_rate
