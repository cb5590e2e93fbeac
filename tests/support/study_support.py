"""What small studies are made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from media_files import Clip, write_video
from mgsv.study.create import Created
from mgsv.study.options import StudyOptions
from mgsv.study.study import Study, StudyClip, Variant
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


def paper_study(
    *,
    clips: int,
    systems: int,
    trials: int = 20,
    checks: int = 3,
    seed: int = 0,
    folder: Path = Path(),
    id: str = "study",
) -> Study:
    """A study without its media: enough for all but hearing it.

    `c0s1` is the answer of system 1 to clip 0.
    """
    folder.mkdir(exist_ok=True, parents=True)
    return Study(
        folder,
        id,
        seed,
        trials,
        checks,
        tuple(
            StudyClip(
                f"c{c}",
                f"c{c}.mp4",
                10.0,
                tuple(Variant(f"c{c}s{s}", f"c{c}s{s}.m4a") for s in range(systems)),
            )
            for c in range(clips)
        ),
    )
