"""The best recordings of a library for a clip, from the best of its tracks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mgsv.grounding.options import GroundOptions
from mgsv.grounding.result import RankedMoment
from mgsv.grounding.tracks import Tracks
from mgsv.library.recordings import Recording, distinct
from mgsv.methods.base import Candidate, Detection, Method, Query

NO_WORDS: Mapping[str, float] = MappingProxyType({})


def find_shortlist(
    query: Query, tracks: Tracks, method: Method, options: GroundOptions
) -> tuple[list[tuple[Recording, Candidate]], dict[int, float]]:
    """The `top` best recordings, best first, each as the best of its tracks; and all final scores
    that were computed on the way, by place in `tracks`.
    """
    least = options.top
    while True:
        best = method.shortlist(query, tracks, least, options.placement)
        names = [tracks.tracks[n] for n, _ in best]
        recordings = distinct(names, tracks.curves.of, options.top)
        if len(recordings) == options.top or len(best) == len(tracks):
            break
        least *= 4  # they were too few, with many of each
    chosen = (best[one.place] for one in recordings)
    candidates = [Candidate(tracks[n], ranked) for n, ranked in chosen]
    scores = {n: ranked.score for n, ranked in best}
    return list(zip(recordings, candidates, strict=True)), scores


def ranked_moment(
    rank: int, recording: Recording, found: Detection, words: Mapping[str, float] = NO_WORDS
) -> RankedMoment:
    """words: track's id → how well it fits the words that were asked for."""
    start, end = found.moment.start, found.moment.end
    evidence = dict(found.evidence)
    if (fit := words.get(recording.track.id)) is not None:
        better = sum(other > fit for other in words.values())
        evidence |= {"words": fit, "words_rank": 1.0 + better, "words_of": float(len(words))}
    return RankedMoment(rank, recording.track, start, end, found.score, evidence, recording.also_as)
