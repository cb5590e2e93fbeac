"""Placing by a learned model: the span that it detects, in seconds of the whole track.

A model sees `max_segments` segments of a track and `max_frames` frames of a clip. On a longer
track it looks at the window that ranks the track, or else at all windows, and takes the one it is
surest of; longer clips are averaged down to the frames there is room for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from mgsv.data.batch import Batch
from mgsv.encoders.registry import Source
from mgsv.methods.base import Candidate, Placed, Placement, Query
from mgsv.methods.model_ranker import VERSION, require
from mgsv.methods.placement import REACH, SHORTEST_FREE
from mgsv.methods.windows import Clip, clip_of, in_batches, windows_of
from mgsv.models.checkpoint import Checkpoint
from mgsv.models.composite import parts_of
from mgsv.moment import Moment, spans_to_moments


class _Span(NamedTuple):
    """A detected span in seconds of the track."""

    start: float
    end: float
    confidence: float


class ModelPlacer:
    """The moment of a detecting model, not yet placed exactly."""

    wants_features = True

    def __init__(self, checkpoint: Checkpoint, *, fingerprint: str = "") -> None:
        """
        checkpoint: of a model that detects, alone or in a composite. fingerprint: of the weights.
        """
        parts = parts_of(checkpoint.model)
        self.name = checkpoint.name
        self._model: Any = parts.detector
        # What ranked the tracks has embedded both sides already, in the same way.
        self._embeds = parts.detector in (parts.matcher, parts.reranker)
        self._checkpoint = checkpoint
        self._fingerprint = fingerprint

    @property
    def fingerprint(self) -> str:
        return f"{self.name}-{VERSION}:{self._fingerprint}"

    def require(self, video: Source, music: Source) -> None:
        """EncoderMismatch where features of these encoders are not what the model was made for."""
        require(self._checkpoint, video, music)

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
        config = self._model.config
        with torch.inference_mode():
            clip = clip_of(query, config)
            for group, batch in in_batches(clip, windows_of(tracks, config.max_segments, chosen)):
                spans = self._detect(clip, batch)[:, 0].double().numpy()
                edges = spans_to_moments(spans[:, :2], config.canvas_seconds)
                for window, (start, end), confidence in zip(group, edges, spans[:, 2], strict=True):
                    known = best.get(window.track)
                    if known is None or confidence > known.confidence:
                        found = (start + window.offset, end + window.offset, confidence)
                        best[window.track] = _Span(*(float(value) for value in found))
        return [best[n] for n in range(len(tracks))]

    def _detect(self, clip: Clip, batch: Batch) -> torch.Tensor:
        """[B, K, 3] spans relative to the canvas, best first."""
        spans: torch.Tensor
        if self._embeds:
            rows = torch.zeros(len(batch), dtype=torch.long)
            video, tracks = clip.seen_by(self._model)[rows], self._model.embed_tracks(batch)
            spans = self._model.detect(batch, (video, tracks))
        else:
            spans = self._model.detect(batch)
        return spans


def _on_track(query: Query, candidate: Candidate, span: _Span, placement: Placement) -> Placed:
    duration = candidate.features.track.duration
    free = max(SHORTEST_FREE, span.end - span.start)
    width = min(query.seconds if placement.fit == "video" else free, duration)
    start = float(np.clip((span.start + span.end - width) / 2, 0.0, duration - width))
    evidence = {
        "confidence": span.confidence,
        "model_start": span.start,
        "model_end": span.end,
    }
    return Placed(Moment(start, start + width), evidence, REACH)
