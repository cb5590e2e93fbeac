"""A clip and tracks as a model sees them: of limited length, side by side in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from mgsv.encoders.registry import SEGMENT_STEP, batches
from mgsv.library import TrackCurves, TrackFeatures
from mgsv.methods.base import Query
from mgsv.runtime.model import Embeddings, InputLimits, Network, TrackBatch, VideoBatch

Array = npt.NDArray[np.float32]

WINDOWS_AT_ONCE = 64
"""Windows in memory at one time: 19 MB of the paper's features."""


class Clip:
    """The clip, embedded once by each network."""

    def __init__(self, video: VideoBatch) -> None:
        self.video = video
        self._seen: dict[int, Embeddings] = {}

    def seen_by(self, network: Network) -> Embeddings:
        if id(network) not in self._seen:
            self._seen[id(network)] = network.embed_videos(self.video)
        return self._seen[id(network)]


class Window(NamedTuple):
    """What a model sees of a track at once."""

    track: int
    """Place in the list of tracks."""
    start: int
    end: int
    """[start, end) in segments of the track."""
    segments: Array
    mask: npt.NDArray[np.bool_]

    @property
    def offset(self) -> float:
        """Seconds from the track's start."""
        return self.start * SEGMENT_STEP


def clip_of(query: Query, limits: InputLimits) -> Clip:
    """The clip with at most as many frames as the model takes."""
    if query.frame_feats is None:
        raise ValueError("a learned method needs the clip's frame features")
    frames = resampled(query.frame_feats, limits.max_frames)
    seconds = np.array([query.seconds], np.float32)
    return Clip(VideoBatch(frames[None], np.ones((1, len(frames)), bool), seconds))


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
        if skip_short and features.track.too_short:
            continue
        segments, mask = features.segments.astype(np.float32), features.segment_mask.astype(bool)
        window = None if chosen is None else chosen[n]
        for start, end in [window] if window else window_bounds(len(segments), size):
            yield Window(n, start, end, segments[start:end], mask[start:end])


def in_batches(windows: Iterator[Window]) -> Iterator[tuple[list[Window], TrackBatch]]:
    """`windows` batch by batch."""
    for group in batches(windows, WINDOWS_AT_ONCE):
        yield group, side_by_side(group)


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


def side_by_side(windows: list[Window]) -> TrackBatch:
    """The windows in one array, padded to the longest of them."""
    rows, length = len(windows), max(len(window.segments) for window in windows)
    segments = np.zeros((rows, length, windows[0].segments.shape[1]), np.float32)
    mask = np.zeros((rows, length), bool)
    for n, window in enumerate(windows):
        segments[n, : len(window.segments)] = window.segments
        mask[n, : len(window.mask)] = window.mask
    return TrackBatch(segments, mask)
