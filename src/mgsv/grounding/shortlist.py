"""The best recordings of a library for a clip, from the best of its tracks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mgsv.grounding.options import GroundOptions
from mgsv.grounding.result import RankedMoment
from mgsv.grounding.tracks import Tracks
from mgsv.library.recordings import Recording
from mgsv.library.track import Track
from mgsv.methods.base import Candidate, Method, Query, Ranked

NO_WORDS: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class RankedTrack:
    """A track with its final score, before a moment is looked for on it."""

    track: Track
    ranked: Ranked
    also_as: tuple[Path, ...] = ()
    """Other files with the same recording."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, from which `from_dict` makes the same again."""
        return {
            "id": self.track.id,
            "track": os.fspath(self.track.path),
            "also_as": [os.fspath(path) for path in self.also_as],
            "score": self.ranked.score,
            "evidence": dict(self.ranked.evidence),
            "window": self.ranked.window,
        }

    @classmethod
    def from_dict(cls, known: Mapping[str, Any], track: Track) -> RankedTrack:
        """track: the one with the `id` of `known`."""
        window = known["window"]
        ranked = Ranked(known["score"], known["evidence"], window and (window[0], window[1]))
        return cls(track, ranked, tuple(Path(path) for path in known["also_as"]))


@dataclass(frozen=True)
class Ranking:
    """The tracks that fit a clip best, best first, before a moment is looked for on them."""

    tracks: tuple[RankedTrack, ...]
    chance: float | None
    """See `Grounding`, as for `notes`."""
    notes: tuple[str, ...]


def find_shortlist(
    query: Query,
    tracks: Tracks,
    method: Method,
    options: GroundOptions,
    distinct: Callable[[Sequence[Track], int], list[Recording]],
    words: Mapping[str, float] = NO_WORDS,
) -> tuple[list[RankedTrack], dict[int, float]]:
    """The `top` best recordings, best first, each as the best of its tracks; and all final scores
    that were computed on the way, by place in `tracks`.

    distinct: see `Recordings.distinct`. words: track's id → how well it fits the words that were
    asked for.
    """
    least = options.top
    while True:
        best = method.shortlist(query, tracks, least, options.placement)
        recordings = distinct([tracks.tracks[n] for n, _ in best], options.top)
        if len(recordings) == options.top or len(best) == len(tracks):
            break
        least *= 4  # they were too few, with many of each
    scores = {n: ranked.score for n, ranked in best}
    return [_ranked_track(one, best[one.place][1], words) for one in recordings], scores


def _ranked_track(recording: Recording, ranked: Ranked, words: Mapping[str, float]) -> RankedTrack:
    evidence = dict(ranked.evidence)
    if (fit := words.get(recording.track.id)) is not None:
        better = sum(other > fit for other in words.values())
        evidence |= {"words": fit, "words_rank": 1.0 + better, "words_of": float(len(words))}
    ranked = Ranked(ranked.score, evidence, ranked.window)
    return RankedTrack(recording.track, ranked, recording.also_as)


def moments_on(
    query: Query,
    chosen: Sequence[RankedTrack],
    tracks: Tracks,
    method: Method,
    options: GroundOptions,
) -> tuple[RankedMoment, ...]:
    """The best moment on each of the `chosen` ones of `tracks`, ranked as they are."""
    candidates = [Candidate(tracks.of(one.track), one.ranked) for one in chosen]
    placed = method.place(query, candidates, options.placement)
    return tuple(
        RankedMoment(
            rank,
            one.track,
            found.moment.start,
            found.moment.end,
            found.score,
            dict(found.evidence),
            one.also_as,
        )
        for rank, (one, found) in enumerate(zip(chosen, placed, strict=True), start=1)
    )
