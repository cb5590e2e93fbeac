"""What every timeline format writes: files, and the stretches of them that play."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from mgsv.errors import shown
from mgsv.media.voices import GainPoint, gain_at

MarkerKind = Literal["cuts", "bars", "beats"]


class Sound(NamedTuple):
    """rate: samples per second."""

    rate: int
    channels: int


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that a timeline uses.

    seconds: from its first picture or sample to its end. start: what its timecode shows at the
    first one, in seconds of the day, 0 without a timecode. timecode: as the file writes it, empty
    without one. drop: whether that drops numbers. rate, size: of the picture, None without one, in
    frames per second, and width and height in pixels.
    """

    path: Path
    seconds: Fraction
    start: Fraction = Fraction(0)
    timecode: str = ""
    drop: bool = False
    rate: Fraction | None = None
    size: tuple[int, int] | None = None
    sound: Sound | None = None

    @property
    def name(self) -> str:
        return shown(self.path.name)

    @property
    def url_path(self) -> str:
        """The absolute path: its bytes, whatever they are, percent-encoded."""
        return self.path.absolute().as_uri().removeprefix("file://")

    def counted(self, rate: Fraction | int) -> tuple[int, int]:
        """Start and length in units of 1 / `rate` seconds."""
        length = self.seconds * rate
        # A picture fills its last frame. Sound that ends within one does not, and an editor misses
        # what a timeline promises after a file's end; a tenth is rounding.
        whole = max(1, round(length)) if self.rate else math.floor(length + Fraction(1, 10))
        return round(self.start * rate), whole


@dataclass(frozen=True, slots=True)
class Stretch:
    """The part of `source` from `offset` for `seconds`.

    at: where it begins on the timeline, seconds.
    """

    source: SourceFile
    offset: Fraction
    seconds: Fraction
    at: Fraction = Fraction(0)

    def counted(self, rate: Fraction | int) -> tuple[int, int]:
        """Start in the source, and length, in units of 1 / `rate` seconds."""
        _, whole = self.source.counted(rate)
        # From end to end, so that what follows without a gap does so in whole units, too.
        length = max(1, round((self.at + self.seconds) * rate) - round(self.at * rate))
        first = round(self.offset * rate)
        # Rounded up, the start can push the end of the stretch beyond that of the source.
        earlier = math.floor(self.offset * rate)
        if earlier + length <= whole < first + length:
            first = earlier
        return first, min(length, whole - first)


@dataclass(frozen=True, slots=True)
class Lane:
    """A track of a timeline: at least one stretch, in order, none over another.

    gain: points of a gain curve in dB over the timeline's seconds; none is 0 dB throughout.
    """

    kind: Literal["video", "audio"]
    stretches: tuple[Stretch, ...]
    gain: tuple[GainPoint, ...] = ()

    def gain_within(self, stretch: Stretch) -> tuple[GainPoint, ...]:
        """The gain curve of one of the stretches, from its beginning to its end."""
        if not self.gain:
            return ()
        begin, end = float(stretch.at), float(stretch.at + stretch.seconds)
        ends = np.array([begin, end])
        first, last = gain_at(self.gain, ends).tolist()
        inside = [point for point in self.gain if begin < point.at < end]
        return (GainPoint(begin, first), *inside, GainPoint(end, last))


class Marker(NamedTuple):
    """A place on the timeline that editors show. at: seconds. name: cut, bar or beat."""

    at: float
    name: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """Lanes of stretches of files, one above the other.

    rate: frames per second. drop: whether its timecode drops numbers to keep up with the clock.
    """

    name: str
    rate: Fraction
    drop: bool
    lanes: tuple[Lane, ...]
    markers: tuple[Marker, ...] = ()

    @property
    def sources(self) -> list[SourceFile]:
        """The files, each once, in the order in which they first play."""
        return list(dict.fromkeys(s.source for lane in self.lanes for s in lane.stretches))
