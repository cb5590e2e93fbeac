"""What every way of grounding offers: score the tracks, then detect a moment on the best ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from mgsv.config import check, option, to_dict
from mgsv.encoders.registry import Source
from mgsv.errors import ConfigError
from mgsv.library import TrackCurves
from mgsv.media.video import VideoCurves, VideoInfo
from mgsv.moment import Moment

FloatArray = npt.NDArray[np.floating]
Fit = Literal["video", "free"]
StartOn = Literal["border", "downbeat", "beat", "any"]
Rerank = int | Literal["all"]

DEFAULT_RERANK = 100
"""Candidates of a learned model that get its final score: the published table's largest k."""


@dataclass(frozen=True)
class Query:
    """A clip as the methods see it."""

    info: VideoInfo
    curves: VideoCurves
    frame_feats: FloatArray | None = None
    """[F, D] features of the frames at whole seconds; None unless the method `wants_features`."""

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
                raise ConfigError(f"--weights {name}={weight:g}: below 0", "0 leaves the term out")


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


@runtime_checkable
class Method(Protocol):
    """A way to ground. Implementations hold no state between queries.

    Grounding asks for `score_tracks` of the whole library, `rerank` of its best tracks, and
    `detect` on the best of those. `tracks` are `TrackFeatures` where the method `wants_features`;
    each access may read from disk, so a pass over them should keep no more than it needs.
    """

    name: str
    wants_features: bool
    """Whether it needs the encoders' features; curves alone are read much faster."""
    reranks: int
    """How many of the best tracks `rerank` looks at; 0 where `score_tracks` has the last word."""
    chance_unknown: str
    """What a person should know where `chance` is None."""

    @property
    def score_meaning(self) -> str:
        """One line that says what a score is and on which scale."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the same input may give another result."""

    def require(self, video: Source, music: Source) -> None:
        """EncoderMismatch where features of these encoders are not what it was made for."""

    def score_tracks(self, query: Query, tracks: Sequence[TrackCurves]) -> FloatArray:
        """A cheap score per track [M], higher is better; -inf for a track that cannot serve."""

    def rerank(self, query: Query, tracks: Sequence[TrackCurves]) -> FloatArray:
        """A better score per track [K], for fewer tracks."""

    def detect(
        self, query: Query, tracks: Sequence[TrackCurves], placement: Placement
    ) -> list[Detection]:
        """The best moment on each of `tracks` (a short list), with its final score."""

    def chance(self, query: Query, tracks: Sequence[TrackCurves]) -> float | None:
        """The best score that luck alone reaches on these tracks; None where that is unknown."""
