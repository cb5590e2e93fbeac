"""A clip and tracks as a model sees them: of limited length, side by side in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch

from mgsv.data.batch import Batch
from mgsv.encoders.registry import SEGMENT_STEP, batches
from mgsv.library import TrackCurves, TrackFeatures
from mgsv.methods.base import Query
from mgsv.models.configs import InputConfig
from mgsv.models.matching import Embedded

Array = npt.NDArray[np.float32]

WINDOWS_AT_ONCE = 64
"""Windows in memory at one time: 19 MB of the paper's features."""


class Clip:
    """The clip as a batch of one row, embedded once for each model."""

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
    """Place in the list of tracks."""
    start: int
    end: int
    """[start, end) in segments of the track."""
    segments: Array
    mask: npt.NDArray[np.bool_]
    id: str
    seconds: float
    """Of the whole track."""

    @property
    def offset(self) -> float:
        """Seconds from the track's start."""
        return self.start * SEGMENT_STEP


def clip_of(query: Query, config: InputConfig) -> Clip:
    """The clip with at most as many frames as the model takes."""
    if query.frame_feats is None:
        raise ValueError("a learned method needs the clip's frame features")
    frames = torch.from_numpy(resampled(query.frame_feats, config.max_frames))
    return Clip(
        Batch(
            frame_feats=frames[None],
            frame_mask=torch.ones(1, len(frames), dtype=torch.bool),
            segment_feats=torch.zeros(1, 1, config.segment_dim),
            segment_mask=torch.ones(1, 1, dtype=torch.bool),
            video_seconds=torch.tensor([query.seconds], dtype=torch.float32),
            track_seconds=torch.tensor([SEGMENT_STEP]),
            video_ids=("clip",),
            track_ids=("",),
        )
    )


def windows_of(
    tracks: Sequence[TrackCurves],
    size: int,
    chosen: Sequence[tuple[int, int] | None] | None = None,
    *,
    skip_short: bool = False,
) -> Iterator[Window]:
    """The windows of `size` segments of each track, or the one that is `chosen` for it.

    Of the tracks, one at a time is in memory.
    """
    for n in range(len(tracks)):
        features = cast(TrackFeatures, tracks[n])  # as the method `wants_features`
        track = features.track
        if skip_short and track.too_short:
            continue
        segments, mask = features.segments.astype(np.float32), features.segment_mask.astype(bool)
        window = None if chosen is None else chosen[n]
        for start, end in [window] if window else window_bounds(len(segments), size):
            yield Window(
                n, start, end, segments[start:end], mask[start:end], track.id, track.duration
            )


def in_batches(clip: Clip, windows: Iterator[Window]) -> Iterator[tuple[list[Window], Batch]]:
    """`windows` batch by batch, each beside the clip."""
    for group in batches(windows, WINDOWS_AT_ONCE):
        yield group, beside(clip.batch, group)


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
