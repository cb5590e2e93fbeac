"""Placing by a learned model: the span that it detects, in seconds of the whole track.

A model sees `max_segments` segments of a track and `max_frames` frames of a clip. On a longer
track it looks at the window that ranks the track, or else at all windows, and takes the one it is
surest of; longer clips are averaged down to the frames there is room for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mgsv.encoders.registry import Source
from mgsv.methods.base import Candidate, Placed, Placement, Query
from mgsv.methods.model_ranker import VERSION, require
from mgsv.methods.placement import REACH, SHORTEST_FREE
from mgsv.methods.windows import Clip, clip_of, in_batches, windows_of
from mgsv.moment import Moment, spans_to_moments
from mgsv.runtime.model import Floats, GroundingModel, Network, TrackBatch


class _Span(NamedTuple):
    """A detected span in seconds of the track."""

    start: float
    end: float
    confidence: float


class ModelPlacer:
    """The moment of a detecting model, not yet placed exactly."""

    wants_features = True

    def __init__(self, model: GroundingModel) -> None:
        """model: one with a detector."""
        if model.detector is None:
            raise ValueError(f"the model {model.name} does not detect")
        self.name = model.name
        self._detector: Network = model.detector
        # A network that ranks too embeds both sides, the clip once for all tracks.
        self._embeds = model.detector in (model.matcher, model.reranker)
        self._model = model

    @property
    def fingerprint(self) -> str:
        return f"{self.name}-{VERSION}:{self._model.fingerprint}"

    def require(self, video: Source, music: Source) -> None:
        """EncoderMismatch where features of these encoders are not what the model was made for."""
        require(self._model, video, music)

    def place(
        self, query: Query, candidates: Sequence[Candidate], placement: Placement
    ) -> list[Placed]:
        """The model's span with the width that `placement` asks for, moved onto its track.

        Evidence: `confidence` in the span; `model_start` and `model_end`, as the model gave it.
        """
        return [
            _on_track(query, candidate, span, placement)
            for candidate, span in zip(candidates, self._spans(query, candidates), strict=True)
        ]

    def _spans(self, query: Query, candidates: Sequence[Candidate]) -> list[_Span]:
        """The span on each candidate's track."""
        best: dict[int, _Span] = {}
        tracks = [candidate.features for candidate in candidates]
        chosen = [candidate.ranked.window for candidate in candidates]
        limits = self._model.limits
        clip = clip_of(query, limits)
        for group, batch in in_batches(windows_of(tracks, limits.max_segments, chosen)):
            spans = self._detect(clip, batch)[:, 0].astype(np.float64)
            edges = spans_to_moments(spans[:, :2], limits.canvas_seconds)
            for window, (start, end), confidence in zip(group, edges, spans[:, 2], strict=True):
                known = best.get(window.track)
                if known is None or confidence > known.confidence:
                    found = (start + window.offset, end + window.offset, confidence)
                    best[window.track] = _Span(*(float(value) for value in found))
        return [best[n] for n in range(len(tracks))]

    def _detect(self, clip: Clip, tracks: TrackBatch) -> Floats:
        """[M, Q, 3] spans relative to the canvas, best first."""
        embedded = None
        if self._embeds:
            embedded = clip.seen_by(self._detector), self._detector.embed_tracks(tracks)
        return self._detector.detect(clip.video, tracks, embedded)


def _on_track(query: Query, candidate: Candidate, span: _Span, placement: Placement) -> Placed:
    duration = candidate.features.track.duration
    free = max(SHORTEST_FREE, span.end - span.start)
    width = min(query.seconds if placement.fit != "free" else free, duration)
    start = float(np.clip((span.start + span.end - width) / 2, 0.0, duration - width))
    evidence = {
        "confidence": span.confidence,
        "model_start": span.start,
        "model_end": span.end,
    }
    return Placed(Moment(start, start + width), evidence, REACH)
