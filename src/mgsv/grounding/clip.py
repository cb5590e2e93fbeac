"""The clip as it is read: once, whole, and not while it changes."""

from __future__ import annotations

import os
from pathlib import Path

from mgsv.encoders.registry import EncoderPair
from mgsv.errors import MediaError
from mgsv.media import isolated
from mgsv.methods.base import Method, Query

MIN_CLIP_SECONDS = 1.0
"""Shorter clips hold less than one frame of video features, and no rhythm."""

PathLike = str | os.PathLike[str]


def read_clip(video: PathLike, method: Method, encoders: EncoderPair) -> Query:
    """The clip as `method` sees it: its curves, and its features where the method wants them.

    One decode pass. Raises MediaError where the clip cannot be used.
    """
    path = Path(video)
    before = _state(path)
    if method.wants_features:
        scan = isolated.VideoScan(path, shorter_side=encoders.video.image_size)
        frame_feats = encoders.video.encode(scan, lambda: scan.curves)
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


def _state(path: Path) -> tuple[int, int] | None:
    """What changes when the file is written; None where there is none."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None
    return status.st_size, status.st_mtime_ns
