"""What a person should know of a clip's answers."""

from __future__ import annotations

from collections.abc import Iterator

from mgsv.clock import clock
from mgsv.errors import shown
from mgsv.grounding.result import RankedMoment
from mgsv.methods.base import Fit, Method, Query

MOVED = 0.05
"""Seconds by which the memory must have moved a moment for a note about it."""


def remarks(
    query: Query,
    moments: tuple[RankedMoment, ...],
    chance: float | None,
    method: Method,
    fit: Fit,
) -> Iterator[str]:
    """One line for each."""
    if chance is None:
        yield method.ranker.chance_unknown
    elif moments[0].score <= chance:
        yield (
            f"nothing here fits better than chance (best score {moments[0].score:.2f}, "
            f"luck alone reaches {chance:.2f}): take the ranking as a guess"
        )
    for found in moments:
        before = found.evidence.get("method_start", found.start)
        if abs(found.start - before) > MOVED:
            uses = round(found.evidence["past_uses"])
            count = f"{uses} past use{'s' * (uses != 1)} of this track" if uses else "other tracks"
            yield f"rank {found.rank}: moved from {clock(before)} by the memory of {count}"
    short = [found for found in moments if found.track.duration < query.seconds]
    if short and fit in ("exact", "free"):
        which = shown(short[0].track.path.name)
        if len(short) > 1:
            which = f"the tracks of ranks {', '.join(str(found.rank) for found in short)}"
        yield (
            f"the clip ({query.seconds:.1f} s) is longer than {which}, so the music ends first: "
            "`fit` loop lets it go on"
        )
