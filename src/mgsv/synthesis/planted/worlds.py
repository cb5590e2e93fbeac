"""The sizes of planted benchmarks: how long tracks and videos are, and how wide their features.

`full` is MGSV-EC's. In `small` the same questions are asked of shorter tracks: which of them, which
of several like sections, and where in it. It is small enough for every system to learn to the end
on two cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from mgsv.data.folder import FRAME_SLOTS, SEGMENT_SLOTS
from mgsv.errors import ConfigError
from mgsv.synthesis.statistics import LATE_STARTS, TRACK_SECONDS, VIDEO_SECONDS

Quantiles = tuple[tuple[float, float], ...]
"""Pairs (share, seconds), linear between."""

STEP = 2.5
"""Seconds between two latent states, the stride of the music features."""


@dataclass(frozen=True)
class World:
    """One size of planted benchmark."""

    segments: int = SEGMENT_SLOTS
    """Segments of the longest track, which make the canvas."""
    frames: int = FRAME_SLOTS
    """Frames of the longest video."""
    frame_dim: int = 512
    segment_dim: int = 768
    track_seconds: Quantiles = TRACK_SECONDS
    video_seconds: Quantiles = VIDEO_SECONDS
    late_starts: Quantiles = LATE_STARTS
    """Starts of the moments that do not begin with the track."""
    section_states: Mapping[str, tuple[int, int]] = field(
        default_factory=lambda: {"I": (3, 5), "A": (5, 9), "B": (5, 9), "C": (4, 7), "O": (3, 5)}
    )
    """Least and greatest length of a section, in states of 2.5 s."""
    drift_seconds: float = 16.0
    local_seconds: float = 5.0
    """Widths (standard deviation) of the Gaussian windows that smooth the two moving parts."""
    hot_room: float = 25.0
    """Seconds a track leaves after its hot moment's start, so that most videos fit there."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What differs from the defaults of `PlantOptions`."""


WORLDS: Mapping[str, World] = MappingProxyType(
    {
        "full": World(),
        "small": World(
            segments=32,
            frames=16,
            frame_dim=48,
            segment_dim=64,
            track_seconds=((0, 40), (0.25, 52), (0.5, 65), (1, 79.9)),
            video_seconds=((0, 6.2), (0.25, 8.5), (0.5, 10.5), (0.75, 12.5), (1, 15.5)),
            late_starts=((0, 0.5), (0.1, 5), (0.5, 24), (1, 70)),
            section_states={"I": (2, 3), "A": (3, 5), "B": (3, 5), "C": (2, 4), "O": (2, 3)},
            drift_seconds=8.0,
            local_seconds=4.0,
            hot_room=12.0,
            options={
                "train": 12_000,
                "val": 300,
                "test": 500,
                "tracks": 1_500,
                "latent_dim": 4,
                "noise": 0.1,
                "style": 0.1,
                "grain": 0.25,
            },
        ),
    }
)


def world_named(name: str) -> World:
    """The world of that name; ConfigError where there is none."""
    if name not in WORLDS:
        raise ConfigError(f"`world` {name}: no such world", f"choose {' or '.join(WORLDS)}")
    return WORLDS[name]
