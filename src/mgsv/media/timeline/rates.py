"""Frame rates: what a file means by its rate, and which rates timecode can count."""

from __future__ import annotations

from fractions import Fraction

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
