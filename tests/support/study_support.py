"""What small studies are made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from media_files import Clip, write_video
from mgsv.study.create import Created
from mgsv.study.options import StudyOptions
from tunes import RATE, tune

OPTIONS = StudyOptions(systems=("original", "sync", "made"), trials=4, checks=1, seed=5)


@dataclass(frozen=True)
class Made:
    """A study, and what it was made of."""

    created: Created
    clips: Path
    music: Path
    library: Path

    @property
    def folder(self) -> Path:
        return self.created.folder


def sound(seed: int, start: float, end: float) -> NDArray[np.float32]:
    """Of a tune, at 48 kHz."""
    samples = tune(seed, 25)[round(start * RATE) : round(end * RATE)]
    return np.repeat(samples, 48_000 // RATE)


def write_clip(path: Path, samples: NDArray[np.float32] | None, seconds: float = 6.0) -> Path:
    clip = Clip(seconds=seconds, rate=10, width=160, height=90, cuts=(1.5, 3.0, 4.2))
    return write_video(path, clip, audio=samples)
