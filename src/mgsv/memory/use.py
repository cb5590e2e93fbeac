"""A use: one video and the moment of a track it used, from annotations or learned by a library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mgsv.data.annotations import Row

MOST_CUTS = 4096
"""Cuts that are kept of a use."""


@dataclass(frozen=True, slots=True)
class Use:
    """One video's use of a track. Times in seconds."""

    track: str
    """The track's id: MGSV-EC's `music_id`, or in a library the hash of the file."""
    start: float
    """Where the moment starts on the track."""
    end: float
    track_seconds: float
    video: str
    """The video's id or path; only duplicates and contradictions are found by it."""
    video_start: float
    """The part of the video that carries this music."""
    video_end: float
    category: str = ""
    confidence: float = 1.0
    """How sure it is, from 0 to 1; below 1 where a program found the use."""
    feats: bytes = b""
    """Pooled frame features of the video, float16, little-endian; empty where unknown."""
    encoder: str = ""
    """Fingerprint of the encoder that made `feats`."""
    cuts: bytes = b""
    """Seconds from `video_start` to each cut of the video, float32, little-endian; empty where
    unknown, and where there is none."""
    before_reset: bool = False
    """Whether habits were reset since: it is a use like any other, but teaches no habit."""

    @property
    def video_seconds(self) -> float:
        return self.video_end - self.video_start

    @property
    def features(self) -> npt.NDArray[np.float32] | None:
        """[D] pooled features of the video, or None."""
        return np.frombuffer(self.feats, "<f2").astype(np.float32) if self.feats else None

    @property
    def cut_times(self) -> npt.NDArray[np.float32]:
        """[C] seconds from the start of the moment to each cut that is known."""
        return np.frombuffer(self.cuts, "<f4").astype(np.float32)

    @classmethod
    def of(cls, row: Row) -> Use:
        """The use in a row of annotations."""
        return cls(
            track=row.music_id,
            start=row.music_start,
            end=row.music_end,
            track_seconds=row.music_total_duration,
            video=row.video_id,
            video_start=row.video_start,
            video_end=row.video_end,
            category=row.video_category,
        )

    def row(self, path: str, video_id: str) -> Row:
        """The use as a row of annotations, the track at `path`."""
        return Row(
            video_id=video_id,
            music_id=self.track,
            video_start=self.video_start,
            video_end=self.video_end,
            music_start=self.start,
            music_end=self.end,
            music_total_duration=self.track_seconds,
            video_segment_duration=self.video_seconds,
            music_segment_duration=self.end - self.start,
            music_path=path,
            video_total_duration=None,
            video_width=None,
            video_height=None,
            video_total_frames=None,
            video_frame_rate=None,
            video_category=self.category,
        )


def uses_of(rows: Iterable[Row]) -> Iterator[Use]:
    """The uses in annotations, row by row."""
    return map(Use.of, rows)


def packed_cuts(cuts: npt.ArrayLike, seconds: float) -> bytes:
    """`Use.cuts` of cuts [C] in seconds from the moment's start; those outside of it are dropped,
    and of more than 4,096 the last ones."""
    times = np.sort(np.asarray(cuts, "<f4").ravel())
    inside = times[np.isfinite(times) & (times > 0) & (times < seconds)]
    return bytes(inside[:MOST_CUTS].tobytes())


def pooled(frame_feats: npt.NDArray[np.floating]) -> bytes:
    """`Use.feats` of frames [F, D]: their mean, scaled to length 1."""
    mean = np.asarray(frame_feats, np.float32).mean(axis=0)
    unit = mean / max(float(np.linalg.norm(mean)), 1e-6)
    return bytes(unit.astype("<f2").tobytes())
