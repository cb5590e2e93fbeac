"""A still picture from a file: cropped to a shape, with nothing shining through it."""

from __future__ import annotations

import os

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from mgsv.errors import MediaError
from mgsv.media.source import STILL_FORMATS, decoded, open_media, video_stream

Picture = NDArray[np.uint8]

BACKDROP = 128.0
"""Grey level behind transparent pictures, as far from black as from white."""


def read_still(
    path: str | os.PathLike[str], width: int, height: int, *, smallest: int = 1
) -> Picture:
    """The picture `path` scaled to cover `width` x `height`, the centre of it: uint8 [H, W, 3].

    Raises `MediaError` if it is no picture, cannot be decoded, or has a side below `smallest`
    pixels: what is blown up shows nothing.
    """
    with open_media(path, STILL_FORMATS) as container:
        stream = video_stream(container, path)
        frame = next((f for f in decoded(container, stream) if f is not None), None)
        if not isinstance(frame, VideoFrame):
            raise MediaError(path, "it cannot be decoded", "get or export it again")
        if min(frame.width, frame.height) < smallest:
            raise MediaError(
                path,
                f"{frame.width} x {frame.height} pixels are too few",
                f"give a picture of at least {smallest} on each side",
            )
        # As stored: with the side data of some pictures, where a turn would stand, PyAV crashes.
        scale = max(width / frame.width, height / frame.height)
        small = frame.reformat(
            max(width, round(frame.width * scale)),
            max(height, round(frame.height * scale)),
            "rgba",
            interpolation=Interpolation.AREA if scale < 1 else Interpolation.BICUBIC,
        )
        pixels = np.asarray(small.to_ndarray(), np.float32)
    opaque = pixels[..., 3:] / 255
    blended = np.round(pixels[..., :3] * opaque + BACKDROP * (1 - opaque)).astype(np.uint8)
    return centre(blended, width, height)


def centre(picture: Picture, width: int, height: int) -> Picture:
    """The middle `width` x `height` pixels of a picture at least that large."""
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return picture[top : top + height, left : left + width]
