"""What the models' tests share: golden files, small batches, small models."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mgsv.data.batch import Batch
from mgsv.models.conquer import CONQUER
from mgsv.models.made import MaDe
from mgsv.models.mvpt import MVPt
from mgsv.models.registry import build
from tolerances import GRADIENT, NETWORK

ROOT = Path(__file__).parents[2]
CLONED = ROOT / "tests" / "golden"
ELSEWHERE = Path(os.environ.get("MGSV_GOLDEN", ROOT.parent / "shared" / "golden"))


class Golden:
    """One golden file, its tensors sorted by kind and named without their prefix."""

    def __init__(self, name: str) -> None:
        path = CLONED / f"{name}.safetensors"
        if not path.exists():
            path = ELSEWHERE / f"{name}.safetensors"
        if not path.exists():
            pytest.skip(f"{path.name} is neither in tests/golden nor in $MGSV_GOLDEN")
        self.config: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
        tensors = load_file(path)

        def of(kind: str) -> dict[str, Tensor]:
            prefix = f"{kind}."
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        self.weights, self.inputs, self.out = of("w"), of("in"), of("out")
        self.losses, self.corrected = of("loss"), of("outfix")
        self.corrected_losses = of("lossfix")
        self.gradient_norms = {k: float(v) for k, v in of("gradnorm").items()}


INPUTS: dict[str, Any] = {
    "frame_dim": 12,
    "segment_dim": 10,
    "max_frames": 9,
    "max_segments": 14,
    "canvas_seconds": 35.0,
}
"""Of every small model: the sizes of `small_batch`."""

SMALL = {
    **INPUTS,
    "hidden_dim": 32,
    "heads": 4,
    "feed_forward": 48,
    "embedding_feed_forward": 40,
    "fusion_head_dim": 8,
}


def small_made(seed: int = 0, **changes: Any) -> MaDe:
    """A small MaDe in evaluation mode whose X-Pool is away from its identity start."""
    torch.manual_seed(seed)
    model = build("made", {**SMALL, **changes})
    assert isinstance(model, MaDe)
    stir(model)
    return model.eval()


MVPT = {**INPUTS, "hidden_dim": 32, "heads": 4, "embedding_feed_forward": 40}
CONQUER_SIZES = {"hidden_dim": 24, "heads": 4, "feed_forward": 40, "score_dim": 8}
SMALL_CONQUER = {**INPUTS, **CONQUER_SIZES, "project_music": True, "longest": 13}


def small_mvpt(name: str = "mvpt", **changes: Any) -> MVPt:
    torch.manual_seed(0)
    model = build(name, {**MVPT, **changes})
    assert isinstance(model, MVPt)
    stir(model)
    return model.eval()


def small_conquer(**changes: Any) -> CONQUER:
    """Weights ten times their start, so that scores are not all alike."""
    torch.manual_seed(0)
    model = build("conquer", {**SMALL_CONQUER, **changes})
    assert isinstance(model, CONQUER)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter *= 10
    stir(model)
    return model.eval()


def stir(model: nn.Module) -> None:
    """Move all vectors off their start, so that no bias or gain is neutral."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.1 * torch.randn_like(parameter)


def small_batch(
    rows: int = 6,
    seed: int = 1,
    *,
    frames: int = 9,
    segments: int = 14,
    frame_counts: list[int] | None = None,
    segment_counts: list[int] | None = None,
) -> Batch:
    """Random features with rows of all lengths; masked places hold rubbish."""
    g = torch.Generator().manual_seed(seed)
    first = torch.tensor(frame_counts or [1 + i % frames for i in range(rows)])
    second = torch.tensor(segment_counts or [1 + (5 * i) % segments for i in range(rows)])
    width = 0.1 + 0.3 * torch.rand(rows, generator=g)
    centre = width / 2 + (1 - width) * torch.rand(rows, generator=g)
    return Batch(
        torch.randn(rows, frames, 12, generator=g),
        torch.arange(frames) < first[:, None],
        torch.randn(rows, segments, 10, generator=g),
        torch.arange(segments) < second[:, None],
        video_seconds=width * 35,
        track_seconds=second * 2.5,
        video_ids=tuple(f"v{i}" for i in range(rows)),
        track_ids=tuple(f"m{i}" for i in range(rows)),
        spans=torch.stack([centre, width], dim=-1),
    )


def close(a: Tensor, b: Tensor, tolerance: float = NETWORK) -> None:
    assert a.shape == b.shape and float((a - b).detach().abs().max()) <= tolerance


def total(model: MaDe, batch: Batch) -> Tensor:
    return torch.stack(list(model.loss(batch).values())).sum()


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    """Gradient of every parameter, zeros where there is none."""
    model.zero_grad(set_to_none=True)
    loss.backward()
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in model.named_parameters()
    }


def assert_same_gradients(
    a: dict[str, Tensor], b: dict[str, Tensor], tolerance: float = GRADIENT
) -> None:
    scale = max(float(g.abs().max()) for g in a.values())
    assert scale > 0
    for name, gradient in a.items():
        difference = float((gradient - b[name]).abs().max())
        assert difference <= tolerance * scale, f"{name}: {difference:.2e} of {scale:.2e}"
