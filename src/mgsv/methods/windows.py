"""A clip and tracks as a model sees them: of limited length, side by side in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch

from mgsv.data.batch import Batch
from mgsv.library import TrackCurves, TrackFeatures
from mgsv.models.matching import Embedded

Array = npt.NDArray[np.float32]


class Clip:
    """The clip as a batch of one row, embedded once by each model that asks."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self._seen: dict[int, Embedded] = {}

    def seen_by(self, model: Any) -> Embedded:
        if id(model) not in self._seen:
            self._seen[id(model)] = model.embed_videos(self.batch)
        return self._seen[id(model)]


class Window(NamedTuple):
    """What a model sees of a track at once."""

    track: int
    offset: float
    """Seconds from the track's start."""
    segments: Array
    mask: npt.NDArray[np.bool_]
    id: str
    seconds: float
    """Of the whole track."""


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


def segments_of(
    tracks: Sequence[TrackCurves], skip_short: bool
) -> Iterator[tuple[int, str, float, Array, npt.NDArray[np.bool_]]]:
    """(number, id, seconds, segments, mask) of each track, one at a time in memory."""
    for n in range(len(tracks)):
        features = cast(TrackFeatures, tracks[n])  # as the method asked by `wants_features`
        track = features.track
        if not (skip_short and track.too_short):
            segments = features.segments.astype(np.float32)
            yield n, track.id, track.duration, segments, features.segment_mask.astype(bool)


def beside(clip: Batch, windows: list[Window]) -> Batch:
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
