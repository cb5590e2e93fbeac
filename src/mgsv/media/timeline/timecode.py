"""Frame rates, and timecode: frames counted as hours, minutes, seconds and frames of a day."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import NamedTuple

NTSC = Fraction(1000, 1001)
"""What NTSC slows whole rates down by: 30 frames per second to 29.97."""

COUNTED = (
    *(24 * NTSC, Fraction(24), Fraction(25), 30 * NTSC, Fraction(30)),
    *(48 * NTSC, Fraction(48), Fraction(50), 60 * NTSC, Fraction(60)),
)
"""Frames per second that editors count timecode in, lowest first."""

_STANDARD = tuple(times * rate for times in (1, 2, 4) for rate in COUNTED)
_SAME = Fraction(5, 1000)  # means are a little off: 29.96 frames per second is NTSC's 29.97
_FALLBACK = Fraction(25)

_WRITTEN = re.compile(r"([01]\d|2[0-3])[:;.]([0-5]\d)[:;.]([0-5]\d)([:;.])(\d{2,3})")


def is_ntsc(rate: Fraction) -> bool:
    """Whether `rate` is a whole number slowed down by `NTSC`."""
    return rate.denominator > 1 and (rate / NTSC).denominator == 1


def is_whole(rate: Fraction) -> bool:
    """Whether `rate` is a whole number, or one that NTSC slowed down."""
    return rate.denominator == 1 or is_ntsc(rate)


def meant(mean: float, seconds: float, constant: Fraction | None) -> Fraction:
    """The rate of a file that shows `mean` pictures per second for `seconds`.

    constant: what its timestamps seem to be spaced by, None if unknown. It is the rate if that
    makes as many pictures, give or take one, as the last one's length is often wrong. Otherwise it
    is a standard that is near, and for a variable rate the mean.
    """
    rate = Fraction(mean).limit_denominator(1001)
    if rate <= 0:
        return constant or _FALLBACK
    if constant and abs(constant - rate) <= _SAME * constant + Fraction(1 / seconds):
        return constant
    standard = min(_STANDARD, key=lambda known: abs(known - rate))
    return standard if abs(standard - rate) <= _SAME * standard else rate


def counted(rate: Fraction) -> Fraction:
    """The rate out of `COUNTED` in which pictures at `rate` keep their times best.

    The lowest multiple of `rate`, so that each picture starts on a frame; else, for fast ones, the
    highest rate that it is a multiple of; else the finest, in which they move the least.
    """
    multiples = [own for own in COUNTED if (own / rate).denominator == 1]
    divisors = [own for own in reversed(COUNTED) if (rate / own).denominator == 1]
    return next(iter(multiples + divisors), COUNTED[-1])


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
