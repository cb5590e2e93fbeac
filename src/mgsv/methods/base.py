"""What every way of grounding offers: score the tracks, then detect a moment on the best ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, Protocol, overload

import numpy as np
import numpy.typing as npt

from mgsv.config import check, option, to_dict
from mgsv.encoders.registry import Source
from mgsv.errors import ConfigError
from mgsv.library import TrackCurves
from mgsv.media.video import VideoCurves, VideoInfo
from mgsv.moment import Moment
from mgsv.runtime.model import GroundingModel

if TYPE_CHECKING:
    from mgsv.methods.kept import KeptRows

FloatArray = npt.NDArray[np.floating]
Fit = Literal["video", "free"]
StartOn = Literal["border", "downbeat", "beat", "any"]


SHORTLIST = 20
"""At least so many tracks get the final score, and four times as many as are wanted."""

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

    fit: Fit = "video"
    """`video`: exactly as long as the clip. `free`: the method chooses the width."""
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


class TrackList(Sequence[TrackCurves]):
    """Tracks of which more may be known than their features. Each is read when it is looked at."""

    @property
    def kept(self) -> KeptRows | None:
        """What a library keeps of them for a model; None where it keeps nothing."""
        return None

    @property
    def curves(self) -> Sequence[TrackCurves]:
        """The same tracks, of which curves are enough."""
        return self

    @property
    def ids(self) -> Sequence[str]:
        """Of the tracks, none of which is read for it if that can be helped."""
        return [one.track.id for one in self]


class Subset(TrackList):
    """Some of `tracks`, in the order of `places`."""

    def __init__(self, tracks: Sequence[TrackCurves], places: npt.NDArray[np.intp]) -> None:
        self._tracks, self._places = tracks, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> TrackCurves: ...
    @overload
    def __getitem__(self, index: slice) -> Subset: ...
    def __getitem__(self, index: int | slice) -> TrackCurves | Subset:
        if isinstance(index, slice):
            return Subset(self._tracks, self._places[index])
        return self._tracks[int(self._places[index])]

    @property
    def kept(self) -> KeptRows | None:
        whole = kept_of(self._tracks)
        return None if whole is None else whole.at(self._places)

    @property
    def curves(self) -> Sequence[TrackCurves]:
        return Subset(curves_of(self._tracks), self._places)

    @property
    def ids(self) -> Sequence[str]:
        whole = ids_of(self._tracks)
        return [whole[place] for place in self._places.tolist()]


def kept_of(tracks: Sequence[TrackCurves]) -> KeptRows | None:
    """What is kept of tracks, if they are a `TrackList` that knows."""
    return tracks.kept if isinstance(tracks, TrackList) else None


def curves_of(tracks: Sequence[TrackCurves]) -> Sequence[TrackCurves]:
    """The same tracks, of which nothing but curves need be read."""
    return tracks.curves if isinstance(tracks, TrackList) else tracks


def ids_of(tracks: Sequence[TrackCurves]) -> Sequence[str]:
    """The ids of tracks, which are read for it only if need be."""
    return tracks.ids if isinstance(tracks, TrackList) else [one.track.id for one in tracks]


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

    def __init__(self, ranker: Ranker) -> None:
        self.name, self.wants_features = ranker.name, ranker.wants_features
        self.reranks, self.chance_unknown = ranker.reranks, ranker.chance_unknown
        self.model = ranker.model
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
        keep = max(self.ranker.reranks, SHORTLIST, 4 * least)
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
