"""How much of the ranking of a whole library the shortlist for a clip holds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from mgsv.library import TrackCurves
from mgsv.methods.base import Method, Placement, Query

BEST = 10


@dataclass(frozen=True)
class ShortlistRecall:
    """One clip's shortlist beside the final scores of all tracks.

    tracks, candidates: how many there are, and how many of them get the final score. best: whether
    the best track is among these; ten: the share of the ten best that is. seconds, seconds_all:
    what the shortlist took, and the final scores of all tracks.
    """

    tracks: int
    candidates: int
    best: bool
    ten: float
    seconds: float
    seconds_all: float


def shortlist_recall(
    query: Query, tracks: Sequence[TrackCurves], method: Method, least: int, placement: Placement
) -> ShortlistRecall:
    """`least`: candidates at least, as for `Method.shortlist`. Takes as long as the final score of
    every track does.
    """
    began = time.perf_counter()
    short = {place for place, _ in method.shortlist(query, tracks, least, placement)}
    between = time.perf_counter()
    ranked = method.ranker.rerank(query, tracks, placement)
    ended = time.perf_counter()
    best = sorted(range(len(tracks)), key=lambda n: -ranked[n].score)[:BEST]
    return ShortlistRecall(
        tracks=len(tracks),
        candidates=len(short),
        best=best[0] in short,
        ten=sum(n in short for n in best) / len(best),
        seconds=between - began,
        seconds_all=ended - between,
    )
