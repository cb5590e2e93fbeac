"""What a listening test compares, and how much of it one listener is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations

from mgsv.errors import ConfigError
from mgsv.models.system import System

ORIGINAL = "original"
"""The system that answers with the clip's own soundtrack."""
LOUDNESS = -23.0
"""LUFS of every variant, the level of EBU R 128: music has room for its peaks there, so that no
variant is limited and none is heard as the louder one."""


@dataclass(frozen=True)
class StudyOptions:
    """How a study is made. Raises `ConfigError` for a value that makes no sense."""

    systems: tuple[str, ...] = (ORIGINAL, "made")
    """`original`, and names of methods; at least two."""
    files: Mapping[str, System] = field(default_factory=dict)
    """The checkpoints of systems by their names; none: what comes with mgsv."""
    trials: int = 20
    """Pairs that each listener compares in each of the two passes."""
    checks: int = 3
    """Pairs of twice the same sound in each pass, which show who does not listen."""
    longest: float = 60.0
    """Seconds; longer clips are left out."""
    most_clips: int = 200
    height: int = 480
    """Pixels of the shorter side of the pictures, at most."""
    seed: int = 0
    """Of all that is drawn at random: names, pairs, sides, order."""
    encoders: str = "default"
    """Of the features that the systems see, or "paper"."""

    def __post_init__(self) -> None:
        known = [*dict.fromkeys(self.systems)]
        if len(known) != len(self.systems):
            raise ConfigError(f"`systems` {','.join(self.systems)}: one stands there twice")
        if len(known) < 2:
            raise ConfigError(
                f"`systems` {','.join(self.systems)}: two are needed to compare",
                "name some, as in original,made",
            )
        for name in self.files:
            if name not in self.systems:
                raise ConfigError(f"`systems` {','.join(self.systems)}: {name} is not among them")
        for name, least in (("trials", 1), ("checks", 0), ("most_clips", 1), ("height", 64)):
            if (given := getattr(self, name)) < least:
                raise ConfigError(f"`{name}` {given}: needs at least {least}")
        if not 1 <= self.longest <= 600:
            raise ConfigError(f"`longest` {self.longest:g}: no length", "give 1 to 600 seconds")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"`seed` {self.seed}: no seed", "give a whole number from 0 on")

    def pairs(self) -> list[tuple[str, str]]:
        return list(combinations(self.systems, 2))
