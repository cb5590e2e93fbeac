"""Ranking by a learned model: its cheap score over the whole library, its final one over the best.

A model sees `max_segments` segments of a track. Longer tracks are cut into windows that overlap by
half, and the best window speaks for the track.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from mgsv.encoders.registry import Source
from mgsv.library import TrackCurves
from mgsv.methods.base import Placement, Query, Ranked, Ranker, Subset
from mgsv.methods.windows import clip_of, in_batches, windows_of
from mgsv.models.system import DEFAULT_RERANK, Rerank
from mgsv.runtime.model import Encoder, Encoders, GroundingModel, Network

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
        self._model = model

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
        limits = self._model.limits
        clip = clip_of(query, limits)
        windows = windows_of(tracks, limits.max_segments, skip_short=True)
        for group, batch in in_batches(windows):
            embedded = self._first.embed_tracks(batch)
            scores = self._first.score_all(clip.seen_by(self._first), embedded)[0]
            np.maximum.at(best, [window.track for window in group], scores)
        return best

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
        limits = self._model.limits
        clip = clip_of(query, limits)
        for group, batch in in_batches(windows_of(tracks, limits.max_segments)):
            embedded = self._first.embed_tracks(batch)
            cheap = self._first.score_all(clip.seen_by(self._first), embedded)[0].tolist()
            if self._final is not self._first:
                embedded = self._final.embed_tracks(batch)
            scores = self._final.rerank(clip.seen_by(self._final), embedded).tolist()
            for window, score, first in zip(group, scores, cheap, strict=True):
                known = best.get(window.track)
                if known is None or score > known.score:
                    parts = self._parts(score, first)
                    best[window.track] = Ranked(score, parts, (window.start, window.end))
        return [best[n] for n in range(len(tracks))]

    def chance(self, query: Query, tracks: Sequence[TrackCurves]) -> float | None:
        return chance(self, query, tracks)

    def _parts(self, score: float, cheap: float) -> dict[str, float]:
        if self._final is self._first:
            return {"two_tower": cheap, "interaction": score - cheap}
        return {"first_stage": cheap}


def chance(ranker: Ranker, query: Query, tracks: Sequence[TrackCurves]) -> float | None:
    """The score that, in 95 % of libraries of this size, no track reaches that merely is one of
    many: whose scores spread normally, as those of this library's tracks do around their median.

    A best track above it stands out; where many tracks fit alike, none does. None for too few
    tracks.
    """
    usable = [n for n in range(len(tracks)) if not tracks[n].track.too_short]
    if len(usable) < CHANCE_LEAST:
        return None
    step = -(-len(usable) // CHANCE_TRACKS)
    sample = Subset(tracks, np.asarray(usable[::step], np.intp))
    scores = np.array([one.score for one in ranker.rerank(query, sample, Placement())])
    middle = float(np.median(scores))
    # The median deviation, unlike the standard one, is not widened by the track that fits.
    spread = float(np.median(np.abs(scores - middle))) / NormalDist().inv_cdf(0.75)
    return middle + spread * NormalDist().inv_cdf(CHANCE_QUANTILE ** (1 / len(usable)))


def require(model: GroundingModel, video: Source, music: Source) -> None:
    """EncoderMismatch where a model was not made for features of these encoders."""
    sides = (Encoder(side.name, side.dim, side.fingerprint) for side in (video, music))
    model.encoders.require(Encoders(*sides))
