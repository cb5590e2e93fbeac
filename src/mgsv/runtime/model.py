"""What a trained system offers whoever grounds with it, in arrays: embed, score, re-rank, detect.

PyTorch fulfils it (`mgsv.models.adapter`), and so does an ONNX file (`mgsv.runtime.exported`).
V videos, M tracks, F frames, S segments, d width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mgsv.config import check, option
from mgsv.errors import EncoderMismatch

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Encoder:
    """Where features come from."""

    name: str = option("", "The encoder's name.")
    dim: int = option(0, "Width of its features.")
    fingerprint: str = option("", "Of its weights and settings; empty: not known.")

    def __post_init__(self) -> None:
        check(self)

    def __str__(self) -> str:
        tail = f" [{self.fingerprint[:12]}]" if self.fingerprint else ""
        return f"{self.name} ({self.dim} values){tail}"

    def agrees(self, other: Encoder) -> bool:
        """Same name and width, and the same fingerprint where both know it."""
        both = self.fingerprint and other.fingerprint
        return (self.name, self.dim) == (other.name, other.dim) and (
            not both or self.fingerprint == other.fingerprint
        )


@dataclass(frozen=True)
class Encoders:
    """The two encoders that a model's features come from."""

    video: Encoder = option(Encoder(), "Of the frames.")
    music: Encoder = option(Encoder(), "Of the segments.")

    def require(self, others: Encoders) -> None:
        """EncoderMismatch unless features of `others` are what a model of these was made for."""
        for kind in ("video", "music"):
            own, other = getattr(self, kind), getattr(others, kind)
            if not own.agrees(other):
                raise EncoderMismatch(
                    f"the model was made for {kind} features of {own}, these are of {other}",
                    "use a model of the same encoder, or index and extract anew with the model's",
                )


@dataclass(frozen=True, slots=True)
class VideoBatch:
    """Features of V videos; what stands at masked places is arbitrary."""

    feats: Floats
    """[V, F, D], a row per second."""
    mask: Mask
    """[V, F], True = valid."""
    seconds: Floats
    """[V], their lengths."""


@dataclass(frozen=True, slots=True)
class TrackBatch:
    """Features of M tracks; what stands at masked places is arbitrary."""

    feats: Floats
    """[M, S, D], a row per 2.5 s."""
    mask: Mask
    """[M, S], True = valid."""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Videos or tracks as a network sees them; only the network that made it can read it."""

    tokens: Floats
    """[N, L, d], zero where not valid."""
    mask: Mask
    """[N, L], True = valid."""
    pooled: Floats
    """[N, d], of length 1, or of width 0 where a network pools nothing."""


class Network(Protocol):
    """A trained network. Which of these it can do, its role in a `GroundingModel` says."""

    def embed_videos(self, videos: VideoBatch) -> Embeddings: ...

    def embed_tracks(self, tracks: TrackBatch) -> Embeddings: ...

    def score_all(self, videos: Embeddings, tracks: Embeddings) -> Floats:
        """Cheap scores [V, M]."""
        ...

    def rerank(self, video: Embeddings, tracks: Embeddings) -> Floats:
        """The scores that rank [M], interaction included, of one video with each track."""
        ...

    def detect(
        self,
        video: VideoBatch,
        tracks: TrackBatch,
        embedded: tuple[Embeddings, Embeddings] | None = None,
    ) -> Floats:
        """Spans of one video on each track, best first: [M, Q, 3] = (centre, width, score).

        Centre and width are relative to the canvas. embedded: both sides, where this network has
        embedded them already.
        """
        ...


@dataclass(frozen=True)
class InputLimits:
    """What a system is given at most."""

    max_frames: int
    max_segments: int
    canvas_seconds: float
    """Length that spans are relative to."""


@dataclass(frozen=True)
class GroundingModel:
    """A trained system, open: who does what in it, and what it was made for."""

    name: str
    limits: InputLimits
    encoders: Encoders
    matcher: Network | None = None
    """Scores whole sets."""
    reranker: Network | None = None
    """Puts the matcher's best candidates into its own order; None where the matcher does."""
    detector: Network | None = None
    """Finds the moment."""
    score_meaning: str = "higher is better"
    record: Mapping[str, Any] = field(default_factory=dict)
    """What it was trained on and how, and what was fitted beside it."""
    licence: str = ""
    fingerprint: str = ""
    """Changes with the weights."""


def best_first(spans: Floats, scores: Floats) -> Floats:
    """Spans [M, Q, 2] and scores [M, Q] as `Network.detect` returns them; ties keep their order."""
    order = np.argsort(-scores, axis=1, kind="stable")
    both = np.concatenate([spans, scores[..., None]], axis=2)
    return np.take_along_axis(both, order[..., None], axis=1)
