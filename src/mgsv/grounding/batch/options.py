"""How a batch is done."""

from __future__ import annotations

from dataclasses import dataclass

from mgsv.media.arrange import Ending
from mgsv.media.colour import Alpha
from mgsv.media.soundtrack import SoundOptions
from mgsv.media.voices import Duck


@dataclass(frozen=True)
class BatchOptions:
    """How the clips of a batch are treated together, and what is written.

    Raises `ConfigError` for sound that cannot be made, as `SoundOptions` does.
    """

    repeat: bool = False
    """Every clip gets its best track, whatever the others have."""
    render: bool = True
    """Write the finished videos; without, nothing is written or remembered."""
    keep_audio: bool = False
    duck: Duck | None = None
    end: Ending = "fade"
    alpha: Alpha = "black"
    strip_metadata: bool = False
    overwrite: bool = False
    """Do again what is done."""

    def __post_init__(self) -> None:
        SoundOptions(keep_audio=self.keep_audio, duck=self.duck)


FRESH = BatchOptions()
