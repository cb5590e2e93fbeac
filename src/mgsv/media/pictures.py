"""Pictures in memory: a still one from a file, cropped to a shape, and many as a new video file."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream
from numpy.typing import NDArray

from mgsv.errors import MediaError, OutputError
from mgsv.files import StrPath, check_output, new_file
from mgsv.media.source import STILL_FORMATS, decoded, open_media, video_stream

Picture = NDArray[np.uint8]

BACKDROP = 128.0
"""Grey level behind transparent pictures, as far from black as from white."""
FILM_CONTAINERS = {".mp4": "mp4", ".mkv": "matroska"}
"""FFmpeg's writer for each ending a film may have."""


def read_still(path: StrPath, width: int, height: int, *, smallest: int = 1) -> Picture:
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


def write_film(
    path: StrPath,
    pictures: Iterable[Picture],
    rate: int,
    *,
    crf: int | None = None,
    enlarged: int = 1,
    overwrite: bool = False,
) -> None:
    """Write `pictures`, uint8 RGB [H, W, 3] with even sides, `rate` a second, to `path`.

    crf: quality of H.264, 0 (best) to 51; None keeps every value exactly (FFV1, in .mkv alone).
    enlarged: times that each side of the pictures is shown, smoothly.
    The file appears whole or not at all. Raises `OutputError` where it cannot be written.
    """
    suffixes = FILM_CONTAINERS if crf is not None else [".mkv"]
    path = check_output(path, suffixes, overwrite=overwrite, inputs=())
    codec, pixels = ("ffv1", "bgr0") if crf is None else ("libx264", "yuv420p")
    options = {} if crf is None else {"preset": "medium", "crf": str(crf)}
    with new_file(path, overwrite=overwrite) as file:
        output = av.open(file, "w", format=FILM_CONTAINERS[path.suffix.lower()])
        stream = output.add_stream(codec, rate=Fraction(rate), options=options)
        assert isinstance(stream, VideoStream)
        stream.pix_fmt = pixels
        try:
            for number, picture in enumerate(pictures):
                if number == 0:
                    stream.height, stream.width = (enlarged * n for n in picture.shape[:2])
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, rate)
                shown = frame.reformat(
                    stream.width, stream.height, pixels, interpolation=Interpolation.BICUBIC
                )
                output.mux(stream.encode(shown))
            output.mux(stream.encode(None))
            output.close()
        except av.FFmpegError as error:
            raise OutputError(
                path, f"it cannot be written ({error.strerror})", "choose another output name"
            ) from error
