"""Which videos and moments make rows of an annotation, and why the others do not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mgsv.errors import ConfigError

REASONS: Mapping[str, str] = {
    "same video": "the same file was given before, under this or another name",
    "short video": "shorter than `min_video`",
    "long video": "longer than `max_video`",
    "no sound": "it has no sound",
    "silent": "its sound is silent",
    "no track": "none of the tracks is heard in it",
    "short moment": "the moment is shorter than `min_moment`",
    "low confidence": "the match is less sure than `min_confidence`",
    "same moment": "another video shows the same pictures over the same moment",
}
"""Why a video or moment is left out."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A video, or one moment of it, that is left out."""

    path: Path
    reason: str
    """A key of `REASONS`."""
    detail: str = ""
    """What the reason is about: seconds, confidence, the other file."""


@dataclass(frozen=True, slots=True)
class AnnotateOptions:
    """What is left out, and what the rows say of all videos.

    Raises `ConfigError` for limits that are no seconds or no probability.
    """

    min_video: float = 3.0
    """Seconds; shorter videos are left out."""
    max_video: float = 600.0
    """Seconds; longer videos are left out."""
    min_moment: float = 5.0
    """Seconds; shorter moments are left out."""
    min_confidence: float = 0.5
    """Matches with a lower `Match.confidence` are left out."""
    category: str = ""
    """Of all videos."""

    def __post_init__(self) -> None:
        for name in ("min_video", "max_video", "min_moment"):
            if not (limit := getattr(self, name)) >= 0 or (
                name != "max_video" and limit == math.inf
            ):
                raise ConfigError(f"`{name}` {getattr(self, name)}: no length", "give seconds")
        if self.min_video > self.max_video:
            raise ConfigError(
                f"`min_video` {self.min_video:g} is more than `max_video` {self.max_video:g}",
                "no video could be used; give a longer `max_video`",
            )
        if not 0 <= self.min_confidence <= 1:
            raise ConfigError(
                f"`min_confidence` {self.min_confidence}: no probability", "give 0 to 1"
            )
