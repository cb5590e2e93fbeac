"""How a planted benchmark is made, and the note of it in its folder."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgsv.config import option, to_dict
from mgsv.data.folder import PLANTED
from mgsv.errors import ConfigError
from mgsv.synthesis.planted.songs import SongOptions
from mgsv.synthesis.planted.worlds import world_named

FULL = {"train": 49_194, "val": 2_000, "test": 2_000, "tracks": 4_050}
"""The sizes of MGSV-EC."""


@dataclass(frozen=True)
class PlantOptions(SongOptions):
    """How a planted benchmark is made. With the defaults of size it is as large as MGSV-EC."""

    train: int = option(FULL["train"], "Training rows.")
    val: int = option(FULL["val"], "Rows of val, at most one per track.")
    test: int = option(FULL["test"], "Rows of test, at most one per track.")
    tracks: int = option(FULL["tracks"], "Tracks.")
    seed: int = option(0, "Of everything; the same options give the same bytes.")
    hot: float = option(0.0, "Share of tracks with one usual moment.")
    noise: float = option(
        0.5, "Deviation of what a video adds to each latent, whose own is 1, per second."
    )
    style: float = option(
        0.4, "The same, but constant over a video: its own look, which makes retrieval harder."
    )
    grain: float = option(
        0.5, "Noise on each feature of both views; averaged out by any good projection."
    )
    curve: float = option(
        0.3, "Weight of a part of each view that is useless for the task and differs between them."
    )

    @classmethod
    def of(cls, world: str, **given: Any) -> PlantOptions:
        """The options of `world`, but for those given."""
        return cls(world=world, **{**world_named(world).options, **given})

    def __post_init__(self) -> None:
        world_named(self.world)
        for name in ("train", "val", "test"):
            if getattr(self, name) < 1:
                raise ConfigError(f"`{name}` {getattr(self, name)}: needs at least 1 row")
        for name in ("val", "test"):
            if getattr(self, name) > self.tracks:
                raise ConfigError(
                    f"`{name}` {getattr(self, name)} with `tracks` {self.tracks}",
                    "these splits hold one row per track, so they need as many tracks",
                )
        for name in ("hot", "family_similarity", "repeat_similarity"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"`{name}`: must lie between 0 and 1")
        for name in ("noise", "style", "grain", "curve"):
            if not 0 <= getattr(self, name) < 100:
                raise ConfigError(f"`{name}`: must lie between 0 and 100")
        if not 2 <= self.latent_dim <= 256 or self.family_size < 1:
            raise ConfigError("`latent_dim` must lie in 2 to 256, `family_size` be at least 1")


def read_recipe(folder: str | os.PathLike[str]) -> PlantOptions:
    """The options a planted benchmark was made with."""
    path = Path(folder) / PLANTED
    try:
        return PlantOptions(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{folder} is not a planted benchmark", "its oracle is unknown"
        ) from error


def recipe_fingerprint(folder: str | os.PathLike[str]) -> str:
    """Of the options a planted benchmark was made with: equal ones give equal features."""
    options = to_dict(read_recipe(folder))
    if options["world"] == "full":
        del options["world"]  # as before there were worlds, so that checkpoints keep their encoders
    recipe = json.dumps(options, sort_keys=True)
    return hashlib.sha256(recipe.encode()).hexdigest()
