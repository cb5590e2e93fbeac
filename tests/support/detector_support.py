"""What the detectors' tests share: small detectors, and pairs that one can learn by heart."""

from __future__ import annotations

from typing import Any

import torch

from mgsv.data.batch import Batch
from mgsv.models.detection import SpanDetector
from mgsv.models.registry import about, build, list_models
from model_support import INPUTS, stir

DETECTORS = [name for name in list_models() if about(name).abilities == {"detect"}]
"""Every registered system that only detects."""

SMALL = {
    **INPUTS,
    "hidden_dim": 16,
    "heads": 4,
    "feed_forward": 24,
    "queries": 3,
    "unused_positions": 5,
}
"""For `small_batch`'s features."""
_UVCOM = {"mlp_hidden": 64, "segment_centroids": 6, "centroid_rounds": 3, "cross_layers": 1}
_UVCOM |= {"encoder_layers": 2, "decoder_layers": 2}
OWN = {"uvcom": _UVCOM, "uvcom_plus": _UVCOM}
"""Sizes that only some have."""


def small(name: str, seed: int = 0, **changes: Any) -> SpanDetector:
    """A small detector in evaluation mode whose biases and gains are away from their start.

    So are matrices that start at zero, and would let no gradient through.
    """
    torch.manual_seed(seed)
    model = build(name, {**SMALL, **OWN.get(name, {}), **changes})
    assert isinstance(model, SpanDetector)
    stir(model)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.xavier_uniform_(parameter)
    return model.eval()


def pairs(rows: int = 64, tracks: int = 16, seed: int = 0) -> Batch:
    """Random features whose moments only video and track together tell: tracks serve many rows."""
    g = torch.Generator().manual_seed(seed)
    frames, segments = 5, 12
    track = torch.arange(rows) % tracks
    width = 0.15 + 0.3 * torch.rand(rows, generator=g)
    centre = width / 2 + (1 - width) * torch.rand(rows, generator=g)
    frame_counts = torch.randint(2, frames + 1, (rows, 1), generator=g)
    segment_counts = torch.randint(8, segments + 1, (tracks, 1), generator=g)
    return Batch(
        torch.randn(rows, frames, 12, generator=g),
        torch.arange(frames) < frame_counts,
        torch.randn(tracks, segments, 10, generator=g)[track],
        (torch.arange(segments) < segment_counts)[track],
        video_seconds=width * 30,
        track_seconds=segment_counts[track, 0] * 2.5,
        video_ids=tuple(f"v{row}" for row in range(rows)),
        track_ids=tuple(f"m{number}" for number in track.tolist()),
        spans=torch.stack([centre, width], dim=-1),
    )
