"""How edits are composed."""

from __future__ import annotations

from dataclasses import dataclass

from mgsv.config import option
from mgsv.data.annotations import SPLITS
from mgsv.errors import ConfigError
from mgsv.synthesis.composed.editors import COMPOSERS


@dataclass(frozen=True)
class ComposeOptions:
    """How videos are composed."""

    train: int = option(20_000, "Training rows.")
    val: int = option(400, "Rows of val.")
    test: int = option(400, "Rows of test.")
    seed: int = option(0, "Of everything; the same options and files give the same features.")
    composer: str = option("editor", "Whose rules: editor, or second, which is for testing.")
    plain: float = option(0.1, "Share of videos whose cuts follow no music.")
    offset_max: float = option(
        0.0, "Shift each video's edit against its music by a constant of up to so many seconds."
    )
    noise: float = option(
        0.0, "Noise on the features of train: 1 is what H.264 at its default quality adds."
    )
    half: bool = option(
        False, "Compute the views in bfloat16: faster where the processor knows it, nearly equal."
    )
    videos: int = option(0, "Video files to render, the first of each split.")
    lossless: bool = option(False, "Render without loss (FFV1 in .mkv), else H.264.")
    sound: bool = option(False, "Render with the music.")

    def __post_init__(self) -> None:
        for name in ("train", "val", "test", "videos", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"--{name} {getattr(self, name)}: is negative")
        if not any(getattr(self, split) for split in SPLITS):
            raise ConfigError("--train, --val and --test are all 0", "ask for some rows")
        if self.composer not in COMPOSERS:
            raise ConfigError(
                f"--composer {self.composer}: unknown", f"choose {' or '.join(COMPOSERS)}"
            )
        if not 0 <= self.plain <= 1:
            raise ConfigError(f"--plain {self.plain:g}: must lie between 0 and 1")
        if not 0 <= self.noise <= 10:
            raise ConfigError(f"--noise {self.noise:g}: must lie between 0 and 10")
        if not 0 <= self.offset_max <= 5:
            raise ConfigError(f"--offset-max {self.offset_max:g}: must lie between 0 and 5 s")
