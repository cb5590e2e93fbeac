"""A ranker or placer on top of another one, whose answers it changes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from mgsv.encoders.registry import Source
from mgsv.library import TrackCurves
from mgsv.methods.base import Candidate, FloatArray, Placed, Placement, Placer, Query, Ranker


class RankerWrapper:
    """What a ranker on top of `ranker` has from it, unless it says otherwise."""

    def __init__(self, ranker: Ranker) -> None:
        self.name, self.wants_features = ranker.name, ranker.wants_features
        self.reranks, self.chance_unknown = ranker.reranks, ranker.chance_unknown
        self._ranker = ranker

    def require(self, video: Source, music: Source) -> None:
        self._ranker.require(video, music)

    def score_tracks(self, query: Query, tracks: Sequence[TrackCurves]) -> FloatArray:
        return self._ranker.score_tracks(query, tracks)


class PlacerWrapper(ABC):
    """A placer that looks again at each moment of `placer`."""

    def __init__(self, placer: Placer) -> None:
        self.name, self.wants_features = placer.name, placer.wants_features
        self._placer = placer

    def require(self, video: Source, music: Source) -> None:
        self._placer.require(video, music)

    def place(
        self, query: Query, candidates: Sequence[Candidate], placement: Placement
    ) -> list[Placed]:
        placed = self._placer.place(query, candidates, placement)
        return [
            self.improved(query, candidate.features, one, placement)
            for candidate, one in zip(candidates, placed, strict=True)
        ]

    @abstractmethod
    def improved(
        self, query: Query, features: TrackCurves, placed: Placed, placement: Placement
    ) -> Placed:
        """The moment of one track in place of `placed`, with the evidence of both."""
