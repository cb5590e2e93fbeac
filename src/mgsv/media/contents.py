"""What a media file holds, by its header."""

from __future__ import annotations

import os

from av.stream import Disposition

from mgsv.media.source import open_media


def has_moving_picture(path: str | os.PathLike[str]) -> bool:
    """Whether `path` holds one, which cover art is not. Raises `MediaError` if it is no readable
    media file.
    """
    with open_media(path) as container:
        return any(
            Disposition.attached_pic not in stream.disposition for stream in container.streams.video
        )
