"""The clip as it is read: once, whole, and not while it changes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mgsv.encoders.registry import EncoderPair
from mgsv.errors import ConfigError, MediaError
from mgsv.jobs import Listener, Progress
from mgsv.media import isolated
from mgsv.media.video import Frame
from mgsv.methods.base import Method, Query

MIN_CLIP_SECONDS = 1.0
"""Shorter clips hold less than one frame of video features, and no rhythm."""

PathLike = str | os.PathLike[str]


def read_clip(
    video: PathLike, method: Method, encoders: EncoderPair, progress: Listener | None = None
) -> Query:
    """The clip as `method` sees it: its curves, and its features where the method wants them.

    One decode pass. progress: called after each second of the clip that was read, where the method
    wants features. Raises MediaError where the clip cannot be used.
    """
    path = Path(video)
    before = _state(path)
    if method.wants_features:
        scan = isolated.VideoScan(path, shorter_side=encoders.video.image_size)
        frame_feats = encoders.video.encode(_reported(scan, progress), lambda: scan.curves)
    else:
        scan = isolated.VideoScan(path)
        frame_feats = None
        for _ in scan:
            pass
    if _state(path) != before:
        raise MediaError(
            path, "it changed while it was being read", "try again when it is finished"
        )
    if scan.curves.duration < MIN_CLIP_SECONDS:
        raise MediaError(
            path,
            f"the clip is only {scan.curves.duration:.2f} s long",
            f"give a clip of at least {MIN_CLIP_SECONDS:g} s",
        )
    return Query(scan.info, scan.curves, frame_feats, tuple(scan.warnings))


def heard(query: Query, music_at: float) -> Query:
    """The part of the clip that has music; ConfigError where too little would be left of it."""
    if not music_at:
        return query
    if query.seconds - music_at < MIN_CLIP_SECONDS:
        raise ConfigError(
            f"`music_at` {music_at:g}: the clip ends at {query.seconds:.2f} s",
            f"leave at least {MIN_CLIP_SECONDS:g} s of it",
        )
    return query.after(music_at)


def _reported(scan: isolated.VideoScan, progress: Listener | None) -> Iterable[Frame]:
    """The frames of `scan`, each of which is a step of the job."""
    if progress is None:
        return scan
    seconds = isolated.probe_video(scan.path).duration
    return _counted(scan, progress, math.ceil(seconds) or None)


def _counted(scan: isolated.VideoScan, progress: Listener, total: int | None) -> Iterator[Frame]:
    for number, frame in enumerate(scan, start=1):
        progress(Progress("reading", number, total and max(number, total), scan.path))
        yield frame


def _state(path: Path) -> tuple[int, int] | None:
    """What changes when the file is written; None where there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None
    return status.st_size, status.st_mtime_ns
