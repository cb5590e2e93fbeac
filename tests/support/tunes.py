"""Tunes made of numbers: notes that sound like no other tune's, for tests that recognise music."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from media_files import write_audio

RATE = 8_000


def tune(seed: int, seconds: float, rate: int = RATE) -> NDArray[np.float32]:
    """Plucked notes at random times and pitches over a little hiss; float32 [N]."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate)
    samples = rng.normal(0, 0.002, count)
    time = np.arange(rate) / rate
    for onset in np.cumsum(rng.uniform(0.08, 0.4, round(seconds * 5))):
        at = round(onset * rate)
        if at >= count:
            break
        pitch, decay = 110 * 2 ** (rng.integers(48) / 12), rng.uniform(3, 10)
        note = sum(np.sin(2 * np.pi * pitch * k * time) / k for k in (1, 2, 3, 4))
        piece = (note * np.exp(-decay * time))[: count - at]
        samples[at : at + len(piece)] += rng.uniform(0.03, 0.12) * piece
    return samples.astype(np.float32)


def write_tunes(folder: Path, seeds: range, seconds: float = 25.0) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_audio(folder / f"tune{seed}.wav", tune(seed, seconds), rate=RATE) for seed in seeds
    ]
