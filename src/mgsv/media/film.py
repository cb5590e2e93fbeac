"""A new video file from pictures in memory."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import Interpolation
from av.video.stream import VideoStream
from numpy.typing import NDArray

from mgsv.errors import OutputError
from mgsv.files import StrPath, check_output, new_file

FILM_CONTAINERS = {".mp4": "mp4", ".mkv": "matroska"}


def write_film(
    path: StrPath,
    pictures: Iterable[NDArray[np.uint8]],
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
