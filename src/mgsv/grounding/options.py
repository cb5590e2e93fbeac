"""How one clip is grounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict, get_args

from mgsv.errors import ConfigError
from mgsv.library.words import Wanted
from mgsv.media.soundtrack import check_music_at
from mgsv.methods.base import Fit, Placement, PlacementWeights, StartOn
from mgsv.methods.memory import MemoryUse


@dataclass(frozen=True)
class GroundOptions:
    """How one clip is grounded. Raises `ConfigError` for a value that makes no sense."""

    top: int = 5
    """How many moments, at most one per recording, however many files have it."""
    fit: Fit = "exact"
    """"exact" makes a moment exactly as long as the clip (99.3 % of the uses in MGSV-EC are);
    "free" lets the method choose the width. "natural" and "loop" place as "exact" does, for music
    that is then arranged to the clip's length; see `mgsv.media.arrange`."""
    start_on: StartOn = "any"
    """"border", "downbeat" or "beat" starts on a section border, on the first beat of a bar or on
    any beat of the track, "any" anywhere."""
    weights: PlacementWeights | None = None
    """What counts where a learned method's moment is placed exactly, if not the default."""
    memory: MemoryUse = "on"
    """Whether past uses in the library help to place the moment ("on"), alone place it ("only") or
    are left out ("off"). Without any, nothing changes."""
    popularity: bool = False
    """Let often used tracks rank higher."""
    music_at: float = 0.0
    """Seconds of the clip from which on the music plays: a moment begins there, and what is seen
    before has no say in it."""

    like: str = ""
    """Words that the music should fit, as in "calm piano"; see `library.words`."""
    without: str = ""
    """Words that it should not fit."""
    tempo: str = ""
    """Beats per minute, as in "90-110"."""
    instrumental: bool = False
    """Leave out music with vocals."""
    licence: str = ""
    """Leave out music that is not under one of these licences, as in "cc-by,cc0"."""
    genre: str = ""
    """Leave out music of other genres."""

    def __post_init__(self) -> None:
        _ = self.wanted
        if self.top < 1:
            raise ConfigError(f"`top` {self.top}: at least one moment must be asked for")
        if self.fit not in get_args(Fit):
            choices = ", ".join(get_args(Fit))
            raise ConfigError(f"`fit` {self.fit}: unknown", f"choose from {choices}")
        if self.start_on not in get_args(StartOn):
            choices = ", ".join(get_args(StartOn))
            raise ConfigError(f"`start_on` {self.start_on}: unknown", f"choose from {choices}")
        if self.memory not in get_args(MemoryUse):
            raise ConfigError(f"`memory` {self.memory}: unknown", "choose on, off or only")
        check_music_at(self.music_at)
        if self.popularity and self.memory == "off":
            raise ConfigError("`popularity` with `memory` off", "leave one of them out")

    @property
    def wanted(self) -> Wanted:
        """Which music is looked at."""
        return Wanted(
            self.like, self.without, self.tempo, self.instrumental, self.licence, self.genre
        )

    @property
    def placement(self) -> Placement:
        return Placement(self.fit, self.start_on, self.weights or PlacementWeights())


class OptionFields(TypedDict, total=False):
    """The fields of `GroundOptions`, as keywords."""

    top: int
    fit: Fit
    start_on: StartOn
    weights: PlacementWeights | None
    memory: MemoryUse
    popularity: bool
    music_at: float
    like: str
    without: str
    tempo: str
    instrumental: bool
    licence: str
    genre: str
