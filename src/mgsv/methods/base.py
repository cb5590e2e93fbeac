"""What every way of grounding offers: score the tracks, then detect a moment on the best ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

from mgsv.config import check, option, to_dict
from mgsv.encoders.registry import Source
from mgsv.errors import ConfigError
from mgsv.library import TrackCurves
from mgsv.media.video import VideoCurves, VideoInfo
from mgsv.memory.habits import Habits
from mgsv.methods.tracklist import Subset
from mgsv.moment import Moment
from mgsv.runtime.model import GroundingModel

FloatArray = npt.NDArray[np.floating]
Fit = Literal["exact", "free", "natural", "loop"]
StartOn = Literal["border", "downbeat", "beat", "any"]


SHORTLIST = 20
"""At least so many tracks get the final score, and twice as many as are wanted."""

NOTHING_KNOWN: Mapping[int, float] = MappingProxyType({})
"""No scores."""


@dataclass(frozen=True)
class Query:
    """A clip as the methods see it."""

    info: VideoInfo
    curves: VideoCurves
    frame_feats: FloatArray | None = None
    """[F, D] features of the frames at whole seconds; None unless the method `wants_features`."""
    notes: tuple[str, ...] = ()
    """What a person should know of the clip, one line per note."""

    @property
    def seconds(self) -> float:
        return self.curves.duration

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        curves = sum(
            getattr(getattr(self.curves, one.name), "nbytes", 0) for one in fields(self.curves)
        )
        return curves + (0 if self.frame_feats is None else self.frame_feats.nbytes)

    def after(self, seconds: float) -> Query:
        """The clip without its first `seconds`, which are fewer than it has."""
        feats = self.frame_feats
        if feats is not None:
            feats = feats[min(round(seconds), len(feats) - 1) :]
        return replace(self, curves=self.curves.after(seconds), frame_feats=feats)


@dataclass(frozen=True)
class PlacementWeights:
    """What counts where a learned method's moment is placed exactly; see `methods.placement`.

    Each term is at most 1. 0 leaves one out.
    """

    cuts: float = option(1.0, "Cuts on strong onsets: 1 is all of them, 0 the track's average.")
    grid: float = option(1.0, "Cuts on beats: 1 is all on the first of a bar, 0 any times.")
    motion: float = option(1.0, "Correlation of the picture's motion with the music's energy.")
    bursts: float = option(0.3, "Correlation of sudden rises of motion with the onsets.")
    border: float = option(0.1, "A start on a section border.")
    phrase: float = option(0.1, "A start on the beginning of a phrase.")
    downbeat: float = option(0.1, "A start on the first beat of a bar.")
    beat: float = option(0.2, "A start on a beat.")
    voice: float = option(0.1, "Takes off for a start inside of what is being sung, by the tags.")
    near: float = option(0.2, "Closeness to the moment found: a Gaussian of 1.5 s.")

    def __post_init__(self) -> None:
        check(self)
        for name, weight in to_dict(self).items():
            if weight < 0:
                raise ConfigError(f"`weights` {name}={weight:g}: below 0", "0 leaves the term out")


@dataclass(frozen=True)
class Placement:
    """How a moment may lie on its track."""

    fit: Fit = "exact"
    """`free`: the method chooses the width; the others: exactly as long as the clip."""
    start_on: StartOn = "any"
    """Starts on the track's section borders, first beats of bars, beats, or anywhere; the next
    coarser kind where a track has none."""
    weights: PlacementWeights = PlacementWeights()
    """For the moments of learned methods and of the memory; `sync` has rules of its own."""


@dataclass(frozen=True)
class Detection:
    """The moment a method chose on one track."""

    moment: Moment
    score: float
    """On the method's own stated scale; higher is better, comparable across tracks."""
    evidence: Mapping[str, float] = field(default_factory=dict)
    """Named quantities behind the score, for people and for `--json`."""


@dataclass(frozen=True)
class Ranked:
    """A ranker's score of one track."""

    score: float
    """On the ranker's stated scale; higher is better, comparable across tracks."""
    evidence: Mapping[str, float] = field(default_factory=dict)
    window: tuple[int, int] | None = None
    """[start, end) in segments: the part of the track that has this score, where the ranker looks
    at parts."""


@dataclass(frozen=True)
class Candidate:
    """A track on which a moment is placed, and why it ranks where it does."""

    features: TrackCurves
    ranked: Ranked


@dataclass(frozen=True)
class Placed:
    """Where a placer puts the moment of one track."""

    moment: Moment
    evidence: Mapping[str, float] = field(default_factory=dict)
    reach: float = 0.0
    """Seconds by which the start may still be wrong: how far fine placement may move it."""


class Ranker(Protocol):
    """Scores how well tracks fit a clip. Implementations hold no state between queries.

    `tracks` are `TrackFeatures` where the ranker `wants_features`; each access may read from disk,
    so a pass over them should keep no more than it needs.
    """

    name: str
    wants_features: bool
    """Whether it needs the encoders' features; curves alone are read much faster."""
    reranks: int
    """How many of the best tracks by `score_tracks` need `rerank`'s score; 0 where both agree."""
    chance_unknown: str
    """What a person should know where `chance` is None."""
    model: GroundingModel | None
    """The model for which a library keeps what it makes of the tracks; None for none."""

    @property
    def score_meaning(self) -> str:
        """One line that says what a score is and on which scale."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same input may give another score."""

    def require(self, video: Source, music: Source) -> None:
        """EncoderMismatch where features of these encoders are not what it was made for."""

    def score_tracks(self, query: Query, tracks: Sequence[TrackCurves]) -> FloatArray:
        """A cheap score per track [M], higher is better; -inf for a track that cannot serve."""

    def rerank(
        self, query: Query, tracks: Sequence[TrackCurves], placement: Placement
    ) -> list[Ranked]:
        """The final score of each of `tracks`, a short list."""

    def chance(
        self,
        query: Query,
        tracks: Sequence[TrackCurves],
        known: Mapping[int, float] = NOTHING_KNOWN,
    ) -> float | None:
        """The best score that luck alone reaches on these tracks; None where that is unknown.

        known: final scores that have been computed, by place in `tracks`.
        """


class Placer(Protocol):
    """Finds the moment on a track. Implementations hold no state between queries."""

    name: str
    wants_features: bool

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same input may give another moment."""

    def require(self, video: Source, music: Source) -> None:
        """EncoderMismatch where features of these encoders are not what it was made for."""

    def place(
        self, query: Query, candidates: Sequence[Candidate], placement: Placement
    ) -> list[Placed]:
        """The best moment on each candidate's track."""


class RankerWrapper:
    """What a ranker on top of `ranker` takes over from it, unless it overrides it."""

    _ranker: Ranker

    def __init__(self, ranker: Ranker) -> None:
        self.name, self.wants_features = ranker.name, ranker.wants_features
        self.reranks, self.chance_unknown = ranker.reranks, ranker.chance_unknown
        self.model = ranker.model
        self._ranker = ranker

    def require(self, video: Source, music: Source) -> None:
        self._ranker.require(video, music)

    def score_tracks(self, query: Query, tracks: Sequence[TrackCurves]) -> FloatArray:
        return self._ranker.score_tracks(query, tracks)

    @property
    def takes_habits(self) -> bool:
        """Whether habits of the person whose clips these are make a difference."""
        return isinstance(self._ranker, RankerWrapper) and self._ranker.takes_habits

    def with_habits(self, habits: Habits) -> Self:
        """The same, for clips of somebody with these habits."""
        if not isinstance(self._ranker, RankerWrapper):
            return self
        other = copy(self)
        other._ranker = self._ranker.with_habits(habits)
        return other


class PlacerWrapper(ABC):
    """A placer that looks again at each moment of `placer`."""

    _placer: Placer

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

    @property
    def takes_habits(self) -> bool:
        """Whether habits of the person whose clips these are make a difference."""
        return isinstance(self._placer, PlacerWrapper) and self._placer.takes_habits

    def with_habits(self, habits: Habits) -> Self:
        """The same, for clips of somebody with these habits."""
        if not isinstance(self._placer, PlacerWrapper):
            return self
        other = copy(self)
        other._placer = self._placer.with_habits(habits)
        return other

    @abstractmethod
    def improved(
        self, query: Query, features: TrackCurves, placed: Placed, placement: Placement
    ) -> Placed:
        """The moment of one track in place of `placed`, with the evidence of both."""


@dataclass(frozen=True)
class Method:
    """A way to ground: a ranker chooses the tracks, a placer the moment on each of them."""

    name: str
    ranker: Ranker
    placer: Placer

    @property
    def wants_features(self) -> bool:
        return self.ranker.wants_features or self.placer.wants_features

    @property
    def score_meaning(self) -> str:
        meaning = self.ranker.score_meaning
        if self.ranker.name == self.placer.name:
            return meaning
        return f"{meaning} ({self.ranker.name} ranks, {self.placer.name} finds the moment)"

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same input may give another result."""
        parts = dict.fromkeys([*self.ranker.fingerprint.split(), *self.placer.fingerprint.split()])
        return " ".join(parts)

    @property
    def takes_habits(self) -> bool:
        """Whether habits of the person whose clips these are make a difference."""
        parts = self.ranker, self.placer
        return any(isinstance(p, RankerWrapper | PlacerWrapper) and p.takes_habits for p in parts)

    def with_habits(self, habits: Habits) -> Method:
        """The same, for clips of somebody with these habits; itself where they change nothing."""
        if not (habits and self.takes_habits):
            return self
        ranker, placer = self.ranker, self.placer
        if isinstance(ranker, RankerWrapper):
            ranker = ranker.with_habits(habits)
        if isinstance(placer, PlacerWrapper):
            placer = placer.with_habits(habits)
        return Method(self.name, ranker, placer)

    def require(self, video: Source, music: Source) -> None:
        """EncoderMismatch where features of these encoders are not what the parts were made for."""
        self.ranker.require(video, music)
        self.placer.require(video, music)

    def shortlist(
        self, query: Query, tracks: Sequence[TrackCurves], least: int, placement: Placement
    ) -> list[tuple[int, Ranked]]:
        """The best of `tracks`, `least` or more, as (place in `tracks`, its `Ranked`), best
        first.

        Ties keep the order of `tracks`, so that a result does not depend on the sort.
        """
        places = np.arange(len(tracks))
        keep = max(self.ranker.reranks, SHORTLIST, 2 * least)
        if keep < len(tracks):
            scores = self.ranker.score_tracks(query, tracks)
            places = np.argsort(-scores, kind="stable")[:keep]
        ranked = self.ranker.rerank(query, Subset(tracks, places), placement)
        order = sorted(range(len(places)), key=lambda n: -ranked[n].score)
        return [(int(places[n]), ranked[n]) for n in order]

    def place(
        self, query: Query, candidates: Sequence[Candidate], placement: Placement
    ) -> list[Detection]:
        """The best moment on each candidate's track."""
        placed = self.placer.place(query, candidates, placement)
        return [
            Detection(
                one.moment,
                candidate.ranked.score,
                {**candidate.ranked.evidence, **one.evidence},
            )
            for candidate, one in zip(candidates, placed, strict=True)
        ]

    def detect(
        self, query: Query, tracks: Sequence[TrackCurves], placement: Placement
    ) -> list[Detection]:
        """The best moment on each of `tracks`, a short list, with its final score."""
        ranked = self.ranker.rerank(query, tracks, placement)
        candidates = [Candidate(*pair) for pair in zip(tracks, ranked, strict=True)]
        return self.place(query, candidates, placement)
