"""The music of a clip as pieces of a track, one after the other."""

from __future__ import annotations

from dataclasses import dataclass

from mgsv.errors import ConfigError
from mgsv.moment import Moment


@dataclass(frozen=True, slots=True)
class Piece:
    """A track from `start` to `end`, heard from `at` on: seconds on the track, and of the music.

    likeness: correlation, −1 to 1, of the sound at its start with what it takes the place of.
    """

    start: float
    end: float
    at: float = 0.0
    likeness: float = 0.0

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Pieces of one track, at least one, without gaps; the usual case is a single one.

    ring: seconds in which the last note dies away at the end, 0 for a plain fade. notes: what the
    user should know, one sentence each.
    """

    pieces: tuple[Piece, ...]
    ring: float = 0.0
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, music: Moment | Arrangement) -> Arrangement:
        """`music` itself, or its moment as a single piece."""
        if isinstance(music, Arrangement):
            return music
        return cls((Piece(music.start, music.end),))

    @property
    def start(self) -> float:
        """Seconds on the track."""
        return self.pieces[0].start

    @property
    def seconds(self) -> float:
        last = self.pieces[-1]
        return last.at + last.seconds


def checked_music(music: Moment | Arrangement) -> Arrangement:
    """`music` as an arrangement; ConfigError where it is no part of a track."""
    arranged = Arrangement.of(music)
    if arranged.start < 0:
        raise ConfigError(
            f"the moment starts at {arranged.start:g} s",
            "a track starts at 0 s; give a later start",
        )
    if arranged.seconds <= 0:
        raise ConfigError("the moment is empty", "give an end after its start")
    return arranged
