"""Grounding by a learned model: its score ranks, its detection places, `sync` aligns.

Any registered model that both matches and detects will do. The cheap score (two towers) is asked
of the whole library, the final one of the best candidates, and the moment of the best of those.

A model sees `max_segments` segments of a track and `max_frames` frames of a clip. Longer tracks
are cut into windows that overlap by half, and the best window speaks for the track; longer clips
are averaged down to the frames there is room for.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple, Self, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mgsv.data.batch import Batch
from mgsv.encoders.registry import SEGMENT_STEP, Source, batches
from mgsv.errors import ConfigError, shown
from mgsv.library import TrackCurves, TrackFeatures
from mgsv.methods import sync
from mgsv.methods.base import DEFAULT_RERANK, Detection, Placement, Query, Rerank
from mgsv.models.checkpoint import Checkpoint, Encoder, Encoders, load
from mgsv.models.matching import Embedded
from mgsv.models.registry import Detects, Matches
from mgsv.moment import Moment, spans_to_moments

Array = npt.NDArray[np.float32]

VERSION = "1"

WINDOWS_AT_ONCE = 64
"""Windows in memory at one time: 19 MB of the paper's features."""

SHORTEST_FREE = 1.0
"""Seconds that a moment lasts at least with `fit="free"`, as long as the shortest clip."""

CHANCE_QUANTILE = 0.95
CHANCE_TRACKS = 64
"""Chance is measured on at most this many tracks and extrapolated to the whole library."""
CHANCE_LEAST = 8
"""Fewer tracks do not show how scores spread."""


class Learned:
    """The method of one checkpoint. Scores are the model's own, on the scale that it states."""

    wants_features = True
    chance_unknown = (
        f"with fewer than {CHANCE_LEAST} tracks there is nothing to compare a score with, "
        "so it does not tell whether this music fits better than chance"
    )

    def __init__(
        self, checkpoint: Checkpoint, *, rerank: Rerank = DEFAULT_RERANK, fingerprint: str = ""
    ) -> None:
        """ConfigError where the model does not both match and detect, or reads other segments.

        rerank: how many candidates get the final score, or "all". fingerprint: of the weights.
        """
        if rerank != "all" and rerank < 1:
            raise ConfigError(f"--rerank {rerank}: at least one candidate is needed")
        model: Any = checkpoint.model
        name = checkpoint.name
        for ability, can in (("match", Matches), ("detect", Detects)):
            if not isinstance(model, can):
                raise ConfigError(f"the model {name} does not {ability}", "ground by another one")
        self._settings: Any = model.config
        step = self._settings.canvas_seconds / self._settings.max_segments
        if abs(step - SEGMENT_STEP) > 1e-6:
            raise ConfigError(
                f"the model {name} hears a segment per {step:g} s, a library holds one per "
                f"{SEGMENT_STEP:g} s",
                "train it on features of that stride",
            )
        self.name = name
        self.reranks = sys.maxsize if rerank == "all" else rerank
        self._checkpoint = checkpoint
        self._model = model.eval()
        self._fingerprint = fingerprint

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], name: str, *, rerank: Rerank = DEFAULT_RERANK
    ) -> Self:
        """From a checkpoint file, whose model must be `name`; ConfigError where it is not."""
        checkpoint = load(Path(path))
        if checkpoint.name != name:
            raise ConfigError(
                f"--model {shown(path)}: holds a model {checkpoint.name}, not {name}",
                f"choose --method {checkpoint.name}, or another checkpoint",
            )
        with Path(path).open("rb") as file:
            weights = hashlib.file_digest(file, "sha256").hexdigest()[:12]
        return cls(checkpoint, rerank=rerank, fingerprint=weights)

    @property
    def score_meaning(self) -> str:
        own = getattr(self._model, "score_meaning", "higher is better")
        return f"how well clip and track go together, by the model {self.name}: {own}"

    @property
    def fingerprint(self) -> str:
        candidates = "all" if self.reranks == sys.maxsize else self.reranks
        return f"{self.name}-{VERSION}:{self._fingerprint} rerank={candidates} sync-{sync.VERSION}"

    def require(self, video: Source, music: Source) -> None:
        """EncoderMismatch where features of these encoders are not what the model was made for."""
        sides = (Encoder(side.name, side.dim, side.fingerprint) for side in (video, music))
        self._checkpoint.require(Encoders(*sides))

    def score_tracks(self, query: Query, tracks: Sequence[TrackCurves]) -> Array:
        """The cheap score of each track's best window [M]; -inf for tracks too short to serve."""
        return self._scores(
            query, tracks, lambda video, some: self._model.score_all(video, some)[0]
        )

    def rerank(self, query: Query, tracks: Sequence[TrackCurves]) -> Array:
        """The final score of each track's best window [K]."""
        return self._scores(query, tracks, self._model.rerank)

    def detect(
        self, query: Query, tracks: Sequence[TrackCurves], placement: Placement
    ) -> list[Detection]:
        """The best window's moment on each track, then moved by `sync` by at most 1.25 s
        (further only to the nearest beat, where a start must be on one).

        Evidence: `two_tower` and `interaction`, which sum to the score; `confidence` in the span;
        `model_start` and `model_end`, the span as the model gave it; `shift` from where it was
        placed to where it starts, and `agreement` there, by `sync`.
        """
        best: list[_Found | None] = [None] * len(tracks)
        with torch.inference_mode():
            clip = self._clip(query)
            for windows, batch, embedded in self._windows(clip, tracks):
                videos = clip.video[torch.zeros(len(windows), dtype=torch.long)]
                cheap = self._model.score_all(clip.video, embedded)[0].tolist()
                scores = self._model.rerank(clip.video, embedded).tolist()
                spans = self._model.detect(batch, (videos, embedded))[:, 0].double().numpy()
                moments = spans_to_moments(spans[:, :2], self._settings.canvas_seconds)
                for n, window in enumerate(windows):
                    known = best[window.track]
                    if known is None or scores[n] > known.score:
                        start, end = (float(edge) + window.offset for edge in moments[n])
                        best[window.track] = _Found(
                            scores[n], cheap[n], float(spans[n, 2]), start, end
                        )
        return [
            _placed(query, tracks[n], found, placement)
            for n, found in enumerate(best)
            if found is not None
        ]

    def chance(self, query: Query, tracks: Sequence[TrackCurves]) -> float | None:
        """The score that, in 95 % of libraries of this size, no track reaches that merely is one
        of many: whose scores spread normally, as those of this library's tracks do around their
        median. A best track above it stands out; where many tracks fit alike, none does. None for
        too few tracks.
        """
        usable = [n for n in range(len(tracks)) if not tracks[n].track.too_short]
        if len(usable) < CHANCE_LEAST:
            return None
        step = -(-len(usable) // CHANCE_TRACKS)
        scores = self.rerank(query, [tracks[n] for n in usable[::step]])
        middle = float(np.median(scores))
        # The median deviation, unlike the standard one, is not widened by the track that fits.
        spread = float(np.median(np.abs(scores - middle))) / NormalDist().inv_cdf(0.75)
        return middle + spread * NormalDist().inv_cdf(CHANCE_QUANTILE ** (1 / len(usable)))

    def _scores(
        self,
        query: Query,
        tracks: Sequence[TrackCurves],
        score: Callable[[Embedded, Embedded], Tensor],
    ) -> Array:
        best = np.full(len(tracks), -np.inf, np.float32)
        with torch.inference_mode():
            clip = self._clip(query)
            for windows, _, embedded in self._windows(clip, tracks, skip_short=True):
                owners = [window.track for window in windows]
                np.maximum.at(best, owners, score(clip.video, embedded).float().numpy())
        return best

    def _clip(self, query: Query) -> _Clip:
        if query.frame_feats is None:
            raise ValueError("a learned method needs the clip's frame features")
        frames = torch.from_numpy(resampled(query.frame_feats, self._settings.max_frames))
        batch = Batch(
            frame_feats=frames[None],
            frame_mask=torch.ones(1, len(frames), dtype=torch.bool),
            segment_feats=torch.zeros(1, 1, self._settings.segment_dim),
            segment_mask=torch.ones(1, 1, dtype=torch.bool),
            video_seconds=torch.tensor([query.seconds], dtype=torch.float32),
            track_seconds=torch.tensor([SEGMENT_STEP]),
            video_ids=("clip",),
            track_ids=("",),
        )
        return _Clip(batch, self._model.embed_videos(batch))

    def _windows(
        self, clip: _Clip, tracks: Sequence[TrackCurves], *, skip_short: bool = False
    ) -> Iterator[tuple[list[_Window], Batch, Embedded]]:
        """The windows of `tracks`, batch by batch, each beside the clip, and embedded."""
        cut = (
            _Window(n, start * SEGMENT_STEP, segments[start:end], mask[start:end], id, seconds)
            for n, id, seconds, segments, mask in _segments(tracks, skip_short)
            for start, end in window_bounds(len(segments), self._settings.max_segments)
        )
        for windows in batches(cut, WINDOWS_AT_ONCE):
            batch = _beside(clip.batch, windows)
            yield windows, batch, self._model.embed_tracks(batch)


class _Clip(NamedTuple):
    """The clip as a batch of one row, and embedded."""

    batch: Batch
    video: Embedded


class _Window(NamedTuple):
    """What a model sees of a track at once."""

    track: int
    offset: float
    """Seconds from the track's start."""
    segments: Array
    mask: npt.NDArray[np.bool_]
    id: str
    seconds: float
    """Of the whole track."""


class _Found(NamedTuple):
    """What the model says of a track: its best window's scores and span, in seconds."""

    score: float
    two_tower: float
    confidence: float
    start: float
    end: float


def resampled(frame_feats: npt.NDArray[np.floating], slots: int) -> Array:
    """[F, D] → at most `slots` rows that cover the same time: means of neighbouring frames."""
    frames = np.asarray(frame_feats, np.float32)
    if len(frames) <= slots:
        return frames
    edges = np.rint(np.linspace(0, len(frames), slots + 1)).astype(int)
    sums = np.add.reduceat(frames, edges[:-1], axis=0)
    return np.asarray(sums / np.diff(edges)[:, None], np.float32)


def window_bounds(length: int, size: int) -> list[tuple[int, int]]:
    """[start, end) of windows of `size` segments, each half a window on; the last ends the track.

    A track that fits is one window.
    """
    last = max(0, length - size)
    starts = [*range(0, last, max(1, size // 2)), last]
    return [(start, min(start + size, length)) for start in starts]


def _segments(
    tracks: Sequence[TrackCurves], skip_short: bool
) -> Iterator[tuple[int, str, float, Array, npt.NDArray[np.bool_]]]:
    """(number, id, seconds, segments, mask) of each track, one at a time in memory."""
    for n in range(len(tracks)):
        features = cast(TrackFeatures, tracks[n])  # as the method asked by `wants_features`
        track = features.track
        if not (skip_short and track.too_short):
            segments = features.segments.astype(np.float32)
            yield n, track.id, track.duration, segments, features.segment_mask.astype(bool)


def _beside(clip: Batch, windows: list[_Window]) -> Batch:
    """A batch of the clip with each window, padded to the longest of them."""
    rows, length = len(windows), max(len(window.segments) for window in windows)
    segments = np.zeros((rows, length, windows[0].segments.shape[1]), np.float32)
    mask = np.zeros((rows, length), bool)
    for n, window in enumerate(windows):
        segments[n, : len(window.segments)] = window.segments
        mask[n, : len(window.mask)] = window.mask
    return replace(
        clip,
        frame_feats=clip.frame_feats.expand(rows, -1, -1),
        frame_mask=clip.frame_mask.expand(rows, -1),
        segment_feats=torch.from_numpy(segments),
        segment_mask=torch.from_numpy(mask),
        video_seconds=clip.video_seconds.expand(rows),
        track_seconds=torch.tensor([window.seconds for window in windows]),
        video_ids=clip.video_ids * rows,
        track_ids=tuple(window.id for window in windows),
    )


def _placed(query: Query, features: TrackCurves, found: _Found, placement: Placement) -> Detection:
    """The model's moment with the width that `placement` asks for, on its track, aligned."""
    track = features.track
    free = max(SHORTEST_FREE, found.end - found.start)
    width = min(query.seconds if placement.fit == "video" else free, track.duration)
    start = min(max(0.0, (found.start + found.end - width) / 2), track.duration - width)
    aligned, agreement = sync.align(
        query, features, Moment(start, start + width), placement.start_on
    )
    evidence = {
        "two_tower": found.two_tower,
        "interaction": found.score - found.two_tower,
        "confidence": found.confidence,
        "model_start": found.start,
        "model_end": found.end,
        "shift": aligned - start,
        "agreement": agreement,
    }
    return Detection(Moment(aligned, aligned + width), found.score, evidence)
