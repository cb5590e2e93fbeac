"""A random MaDe for the features of a planted benchmark."""

from __future__ import annotations

from pathlib import Path

import torch

from mgsv.data.dataset import SplitData
from mgsv.data.folder import DataFolder
from mgsv.evaluation.sources import encoders_of
from mgsv.models.checkpoint import save
from mgsv.models.registry import build


def random_made(path: Path, data: Path, seed: int = 0) -> Path:
    """Its checkpoint, written to `path`."""
    source = DataFolder.open(data)
    pairs = SplitData.from_folder(source, "test")
    sizes = {"frame_dim": pairs.frames.dim, "segment_dim": pairs.segments.dim}
    sizes |= {"hidden_dim": 16, "heads": 2, "feed_forward": 16, "embedding_feed_forward": 16}
    torch.manual_seed(seed)
    model = build("made", sizes)
    encoders = encoders_of(source, pairs)
    return save(path, "made", model, encoders, record={}, licence="CC0", overwrite=True)
