"""Times as people read them."""

from __future__ import annotations


def clock(seconds: float) -> str:
    """`mm:ss.s`, rounded to the tenth, minutes growing past 99 where needed."""
    tenths = round(seconds * 10)
    return f"{tenths // 600:02d}:{tenths % 600 / 10:04.1f}"
