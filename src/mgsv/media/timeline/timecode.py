"""Timecode: frames counted as hours, minutes, seconds and frames of a day."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import NamedTuple

from mgsv.media.timeline.rates import is_ntsc

_WRITTEN = re.compile(r"([01]\d|2[0-3])[:;.]([0-5]\d)[:;.]([0-5]\d)([:;.])(\d{2,3})")


class Written(NamedTuple):
    """A timecode as a file holds it: whole seconds of the day, frames, and the drop-frame mark."""

    seconds: int
    frames: int
    drop: bool


def parse(text: str) -> Written | None:
    """`HH:MM:SS:FF`, or with `;` before the frames where numbers are dropped; None for others."""
    match = _WRITTEN.fullmatch(text.strip())
    if match is None:
        return None
    hours, minutes, seconds, mark, frames = match.groups()
    return Written(
        3600 * int(hours) + 60 * int(minutes) + int(seconds), int(frames), drop=mark in ";."
    )


def written(frame: int, rate: Fraction, *, drop: bool = False) -> str:
    """The timecode of `frame`, counted from midnight, at `rate` frames per second."""
    base = nominal(rate)
    if drop:
        frame = _with_dropped(frame, base)
    seconds, frames = divmod(frame, base)
    minutes, seconds = divmod(seconds, 60)
    hours = minutes // 60 % 24
    mark = ";" if drop else ":"
    return f"{hours:02d}:{minutes % 60:02d}:{seconds:02d}{mark}{frames:02d}"


def day(rate: Fraction, *, drop: bool = False) -> int:
    """Frames after which timecode starts again."""
    return frame_number(Written(24 * 3600, 0, drop), nominal(rate))


def frame_number(code: Written, base: int) -> int:
    """Frames from midnight to `code`, which counts `base` of them to a second."""
    frame = code.seconds * base + code.frames
    if code.drop:
        minutes = code.seconds // 60
        frame -= _dropped(base) * (minutes - minutes // 10)
    return frame


def nominal(rate: Fraction) -> int:
    """Frames that timecode counts to a second: 30 at 30000/1001."""
    return math.ceil(rate)


def may_drop(rate: Fraction) -> bool:
    """Whether numbers are dropped at `rate` to keep up with the clock: 29.97 and its multiples."""
    return is_ntsc(rate) and nominal(rate) % 30 == 0


def _dropped(base: int) -> int:
    """Numbers left out at the start of each minute but the tenth ones."""
    return base // 15


def _with_dropped(frame: int, base: int) -> int:
    """`frame`, raised by the numbers that were left out up to it."""
    dropped = _dropped(base)
    minute = 60 * base - dropped
    tens, rest = divmod(frame, 10 * minute + dropped)
    minutes = max(0, rest - dropped) // minute  # the first minute of ten is a whole one
    return frame + dropped * (9 * tens + minutes)
