"""Ranking by a learned model: its cheap score over the whole library, its final one over the best.

A model sees `max_segments` segments of a track. Longer tracks are cut into windows that overlap by
half, and the best window speaks for the track.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mgsv.encoders.registry import Source
from mgsv.library import TrackCurves
from mgsv.library.track import SHORTEST_TRACK
from mgsv.methods.base import NOTHING_KNOWN, Placement, Query, Ranked
from mgsv.methods.tracklist import Subset, kept_of
from mgsv.methods.windows import WINDOWS_AT_ONCE, Window, clip_of, in_batches, windows_of
from mgsv.models.system import DEFAULT_RERANK, Rerank
from mgsv.runtime.model import Embeddings, Encoder, Encoders, GroundingModel, Network

if TYPE_CHECKING:
    from mgsv.methods.kept import KeptRows

VERSION = "3"

CHANCE_QUANTILE = 0.95
CHANCE_TRACKS = 64
"""Chance is measured on at most this many tracks and extrapolated to the whole library."""
CHANCE_LEAST = 8
"""Fewer tracks do not show how scores spread."""
TOO_FEW = (
    f"with fewer than {CHANCE_LEAST} tracks there is nothing to compare a score with, "
    "so it does not tell whether this music fits better than chance"
)


class ModelRanker:
    """Scores tracks by a matching model, and the best of them by a re-ranking one if there is one.

    Scores are the model's own, on the scale that it states.
    """

    wants_features = True
    chance_unknown = TOO_FEW
    model: GroundingModel | None

    def __init__(self, model: GroundingModel, *, rerank: Rerank = DEFAULT_RERANK) -> None:
        """
        model: one with a matcher. rerank: how many candidates get the final score, or "all".
        """
        if model.matcher is None:
            raise ValueError(f"the model {model.name} does not match")
        self.name = model.name
        self.reranks = sys.maxsize if rerank == "all" else rerank
        self._first: Network = model.matcher
        self._final: Network = model.reranker or model.matcher
        self._model = self.model = model

    @property
    def score_meaning(self) -> str:
        meaning = self._model.score_meaning
        return f"how well clip and track go together, by the model {self.name}: {meaning}"

    @property
    def fingerprint(self) -> str:
        candidates = "all" if self.reranks == sys.maxsize else self.reranks
        return f"{self.name}-{VERSION}:{self._model.fingerprint} rerank={candidates}"

    def require(self, video: Source, music: Source) -> None:
        """EncoderMismatch where features of these encoders are not what the model was made for."""
        require(self._model, video, music)

    def score_tracks(self, query: Query, tracks: Sequence[TrackCurves]) -> npt.NDArray[np.float32]:
        """The cheap score of each track's best window [M]; -inf for tracks too short to serve."""
        best = np.full(len(tracks), -np.inf, np.float32)
        clip = clip_of(query, self._model.limits).seen_by(self._first)
        kept = self._kept(tracks)
        if kept is not None:
            pooled, which = kept.pooled()
            scores = clip.pooled[0] @ pooled.T
            np.maximum.at(best, which, scores)
            best[kept.seconds < SHORTEST_TRACK] = -np.inf
            return best
        windows = windows_of(tracks, self._model.limits.max_segments, skip_short=True)
        for group, batch in in_batches(windows):
            scores = self._first.score_all(clip, self._first.embed_tracks(batch))[0]
            np.maximum.at(best, [window.track for window in group], scores)
        return best

    def is_quick(self, tracks: Sequence[TrackCurves]) -> bool:
        """Whether all that `rerank` needs of the tracks is kept."""
        return self._final is self._first and self._kept(tracks) is not None

    def rerank(
        self,
        query: Query,
        tracks: Sequence[TrackCurves],
        placement: Placement,  # noqa: ARG002 (a model scores the track, wherever its moment lies)
    ) -> list[Ranked]:
        """The final score of each track's best window.

        Evidence: `two_tower` and `interaction`, which sum to the score; or `first_stage`, the
        matching model's score of a track that another model ranks.
        """
        best: dict[int, Ranked] = {}
        clip = clip_of(query, self._model.limits)
        for group, first, last in self._embedded(tracks):
            cheap = self._first.score_all(clip.seen_by(self._first), first)[0].tolist()
            scores = self._final.rerank(clip.seen_by(self._final), last).tolist()
            for window, score, least in zip(group, scores, cheap, strict=True):
                known = best.get(window.track)
                if known is None or score > known.score:
                    parts = self._parts(score, least)
                    best[window.track] = Ranked(score, parts, (window.start, window.end))
        return [best[n] for n in range(len(tracks))]

    def chance(
        self,
        query: Query,
        tracks: Sequence[TrackCurves],
        known: Mapping[int, float] = NOTHING_KNOWN,
    ) -> float | None:
        def scores(some: Sequence[TrackCurves]) -> Sequence[float]:
            return [one.score for one in self.rerank(query, some, Placement())]

        return chance(scores, tracks, known)

    def _embedded(
        self, tracks: Sequence[TrackCurves]
    ) -> Iterator[tuple[list[Window], Embeddings, Embeddings]]:
        """All windows of the tracks, in batches, as the first and the final network see them."""
        kept = self._kept(tracks)
        if kept is not None and self._final is self._first:
            for begin in range(0, len(tracks), WINDOWS_AT_ONCE):
                places = np.arange(begin, min(begin + WINDOWS_AT_ONCE, len(tracks)))
                windows, seen = kept.windows(places)
                group = [window._replace(track=window.track + begin) for window in windows]
                yield group, seen, seen
            return
        for group, batch in in_batches(windows_of(tracks, self._model.limits.max_segments)):
            first = self._first.embed_tracks(batch)
            same = self._final is self._first
            yield group, first, first if same else self._final.embed_tracks(batch)

    def _kept(self, tracks: Sequence[TrackCurves]) -> KeptRows | None:
        """What is kept of the tracks for this model."""
        kept = kept_of(tracks)
        return kept if kept is not None and kept.kept.model is self._model else None

    def _parts(self, score: float, cheap: float) -> dict[str, float]:
        if self._final is self._first:
            return {"two_tower": cheap, "interaction": score - cheap}
        return {"first_stage": cheap}


def chance(
    score: Callable[[Sequence[TrackCurves]], Sequence[float]],
    tracks: Sequence[TrackCurves],
    known: Mapping[int, float],
) -> float | None:
    """The score that, in 95 % of libraries of this size, no track reaches that merely is one of
    many: whose scores spread normally, as those of this library's tracks do around their median.

    A best track above it stands out; where many tracks fit alike, none does. None for too few
    tracks. score: gives the final scores of some; known: those that have been computed, by place.
    """
    usable = usable_places(tracks)
    if len(usable) < CHANCE_LEAST:
        return None
    sample = usable[:: -(-len(usable) // CHANCE_TRACKS)]
    new = np.array([place for place in sample.tolist() if place not in known], np.intp)
    found = score(Subset(tracks, new)) if len(new) else []
    scored = {**known, **dict(zip(new.tolist(), found, strict=True))}
    scores = np.array([scored[place] for place in sample.tolist()])
    middle = float(np.median(scores))
    # The median deviation, unlike the standard one, is not widened by the track that fits.
    spread = float(np.median(np.abs(scores - middle))) / NormalDist().inv_cdf(0.75)
    return middle + spread * NormalDist().inv_cdf(CHANCE_QUANTILE ** (1 / len(usable)))


def usable_places(tracks: Sequence[TrackCurves]) -> npt.NDArray[np.intp]:
    """Places of the tracks that are not too short."""
    kept = kept_of(tracks)
    if kept is not None:
        return np.flatnonzero(kept.seconds >= SHORTEST_TRACK)
    return np.array([n for n, one in enumerate(tracks) if not one.track.too_short], np.intp)


def require(model: GroundingModel, video: Source, music: Source) -> None:
    """EncoderMismatch where a model was not made for features of these encoders."""
    sides = (Encoder(side.name, side.dim, side.fingerprint) for side in (video, music))
    model.encoders.require(Encoders(*sides))
