"""What the configurations of all systems have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, NamedTuple

from mgsv.config import check, option
from mgsv.errors import ConfigError
from mgsv.moment import CANVAS_SECONDS


class LayerSize(NamedTuple):
    """What every layer of a transformer is made with."""

    dim: int
    """Width."""
    heads: int
    hidden: int
    """Width inside the feed-forward."""
    rate: float
    """Of dropout."""


def check_sizes(config: Any, *, least: Mapping[str, int] = MappingProxyType({})) -> None:
    """Check the fields of a model's config by what their names say; ConfigError names the field.

    Whole numbers are positive, but for those whose least value `least` gives, and of a size that
    fits a machine.
    """
    check(config)
    for entry in fields(config):
        name, value = entry.name, getattr(config, entry.name)
        if isinstance(value, bool | str):
            continue
        if name.endswith("dropout") and not 0 <= value < 1:
            raise ConfigError(f"{name}={value} is not in [0, 1)")
        if name.endswith(("_weight", "_cost")) and value < 0:
            raise ConfigError(f"{name}={value} is negative")
        if name in least and value < least[name]:
            raise ConfigError(f"{name}={value} is below {least[name]}")
        most = 64 if name.endswith("_layers") else 65_536
        if isinstance(value, int) and value > most:
            raise ConfigError(f"{name}={value} is more than {most}")
        whole = isinstance(value, int) and name not in least
        if (whole or name.endswith(("_seconds", "temperature"))) and value <= 0:
            raise ConfigError(f"{name}={value} is not positive")
    if config.hidden_dim % config.heads or config.hidden_dim % 2:
        raise ConfigError(
            f"hidden_dim={config.hidden_dim} must be even and a multiple of heads={config.heads}"
        )


@dataclass(frozen=True)
class InputConfig:
    """What any system is given; the parts of a composite must agree on all of it."""

    frame_dim: int = option(512, "Width of the frame features.")
    segment_dim: int = option(768, "Width of the segment features.")
    max_frames: int = option(50, "Frames of a video at most.")
    max_segments: int = option(96, "Segments of a track at most.")
    canvas_seconds: float = option(CANVAS_SECONDS, "Length that spans are relative to.")
