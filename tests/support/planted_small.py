"""A planted benchmark and settings so small that a run takes a second or two."""

from __future__ import annotations

from pathlib import Path

from mgsv.synthesis.planted import PlantOptions, plant

TINY = (
    "model.hidden_dim=8",
    "model.heads=2",
    "model.feed_forward=8",
    "model.embedding_feed_forward=8",
    "model.encoder_layers=1",
    "model.decoder_layers=1",
    "train.batch_size=16",
    "train.epochs=2",
    "train.val_rows=0",
    "train.rows=0",
    "train.accelerator=cpu",
)
"""Changes to any preset. Rows of the ablation table that need other values keep theirs."""


def planted(folder: Path, *, seed: int = 0) -> Path:
    """A planted benchmark of 40 training rows and 12 each in val and test, made in `folder`."""
    return plant(folder, PlantOptions(train=40, val=12, test=12, tracks=16, seed=seed))
