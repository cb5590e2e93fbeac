"""The picture of a video, upright and by timestamps: one frame per second, and curves of the rest.

Time 0 is the video's first frame, whatever its timestamp. Decoding goes through the file once, in
order: seeking to each second costs several times as much.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from mgsv.errors import MediaError
from mgsv.media.colour import take_marks_off
from mgsv.media.extent import read_extent
from mgsv.media.shots import (
    CURVE_RATE,
    THUMB_HEIGHT,
    THUMB_WIDTH,
    CurveBuilder,
    Thumb,
    VideoCurves,
)
from mgsv.media.source import decoded, open_media, promised_after, video_stream
from mgsv.media.timing import FrameClock

__all__ = [
    "CURVE_RATE",
    "Frame",
    "VideoCurves",
    "VideoInfo",
    "VideoScan",
    "has_moving_picture",
    "probe_video",
    "read_curves",
]

# Timestamps are often rounded to milliseconds; a second that begins within this distance of the
# video's end is not there.
ROUNDING = 2e-3
# Anamorphic pixels in use lie between 1:2 and 2:1; others are header noise.
MAX_PIXEL_ASPECT = 4
# Pictures thinner than this are squashed when resized, or a 16 x 8192 one would become huge.
MAX_ASPECT = 16


@dataclass(frozen=True)
class VideoInfo:
    """A video file's picture as a player shows it.

    duration: seconds. width, height: pixels with rotation and pixel aspect applied. rotation:
    degrees clockwise that turned the stored picture upright (0, 90, 180, 270). frame_rate: mean
    frames per second. codec: its FFmpeg name.
    """

    path: Path
    duration: float
    width: int
    height: int
    rotation: int
    frame_rate: float
    codec: str
    has_audio: bool


class Frame(NamedTuple):
    """An upright picture. time: seconds; image: uint8 RGB [H, W, 3]."""

    time: float
    image: NDArray[np.uint8]


class VideoScan:
    """One pass through a video: iterating gives its frames, and afterwards there are the curves.

    Yields a `Frame` for each whole second k (the frame a player shows then: the last one with
    time <= k), its shorter side resized to `shorter_side` pixels; with None it yields nothing and
    only the curves are made. `per_second` gives a frame for each k / per_second seconds instead.
    Memory does not grow with the video's length.

    After the iteration: `curves`; `info`, with the duration as decoded; `warnings`, one line each.
    Raises `MediaError` while iterating if the file is no video or nothing in it can be decoded.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        shorter_side: int | None = None,
        *,
        per_second: int = 1,
    ) -> None:
        self.path = Path(path)
        self.shorter_side = shorter_side
        self.per_second = per_second
        self.warnings: list[str] = []
        self._curves: VideoCurves | None = None
        self._info: VideoInfo | None = None

    @property
    def curves(self) -> VideoCurves:
        if self._curves is None:
            raise RuntimeError("the curves are known after the frames have been iterated over")
        return self._curves

    @property
    def info(self) -> VideoInfo:
        if self._info is None:
            raise RuntimeError("the info is known after the frames have been iterated over")
        return self._info

    def __iter__(self) -> Iterator[Frame]:
        builder = CurveBuilder()
        to_thumb, to_image = VideoReformatter(), VideoReformatter()
        shown: VideoFrame | None = None
        image: NDArray[np.uint8] | None = None  # of `shown`, once wanted
        wanted, frames, damaged = 0, 0, 0
        first: VideoFrame | None = None
        with open_media(self.path) as container:
            stream = video_stream(container, self.path)
            clock = FrameClock(stream)
            for frame in decoded(container, stream):
                # A damaged frame is not looked at, but has its time all the same.
                tick = clock.place(frame) if isinstance(frame, VideoFrame) else None
                frames += tick is not None
                if not isinstance(frame, VideoFrame) or frame.is_corrupt:
                    damaged += 1
                    continue
                if tick is None:
                    continue
                take_marks_off(frame)
                time = clock.seconds(tick)
                while self.shorter_side is not None and shown is not None:
                    due = wanted / self.per_second
                    if due >= time - 1e-6:
                        break
                    image = self._image(shown, to_image, stream) if image is None else image
                    yield Frame(due, image)
                    wanted += 1
                first = first or frame
                builder.add(time, _thumb(frame, to_thumb))
                shown, image = frame, None
            if shown is None or first is None:
                raise MediaError(
                    self.path, "none of its frames can be decoded", "get or export it again"
                )
            duration = clock.seconds(clock.end)
            end = max(duration - ROUNDING, 1e-6)
            while self.shorter_side is not None and wanted / self.per_second < end:
                image = self._image(shown, to_image, stream) if image is None else image
                yield Frame(wanted / self.per_second, image)
                wanted += 1
            self._info = _info(self.path, container, stream, first, duration, frames / duration)
            promised = promised_after(container, stream, clock.seconds(clock.start))
        if damaged:
            were = "frame was" if damaged == 1 else "frames were"
            self.warnings.append(f"{damaged} damaged {were} skipped")
        if duration < 0.9 * promised:
            self.warnings.append(
                f"its picture ends after {duration:.1f} s of the {promised:.1f} s it promises"
            )
        self._curves = builder.finish(duration)

    def _image(
        self, frame: VideoFrame, reformatter: VideoReformatter, stream: VideoStream
    ) -> NDArray[np.uint8]:
        """`frame` upright, its shorter side resized: uint8 [H, W, 3]."""
        assert self.shorter_side is not None
        width, height = frame.width * _pixel_aspect(stream), Fraction(frame.height)
        scale = self.shorter_side / min(width, height)
        longest = self.shorter_side * MAX_ASPECT
        picture = reformatter.reformat(
            frame,
            min(round(width * scale), longest),
            min(round(height * scale), longest),
            "rgb24",
            interpolation=Interpolation.BICUBIC,
        )
        return orientation(frame).upright(np.asarray(picture.to_ndarray(), np.uint8))


def read_curves(path: str | os.PathLike[str]) -> VideoCurves:
    """The curves of a video alone."""
    scan = VideoScan(path)
    for _ in scan:
        pass
    return scan.curves


def has_moving_picture(path: str | os.PathLike[str]) -> bool:
    """Whether `path` holds one by its header; cover art is none.

    Raises `MediaError` if it is no readable media file.
    """
    with open_media(path) as container:
        return any(
            Disposition.attached_pic not in stream.disposition for stream in container.streams.video
        )


def probe_video(path: str | os.PathLike[str]) -> VideoInfo:
    """What `VideoScan.info` says, without decoding everything where that is not needed.

    Raises `MediaError` if it is no video or no frame can be decoded.
    """
    with open_media(path) as container:
        stream = video_stream(container, path)
        frames = (f for f in decoded(container, stream) if isinstance(f, VideoFrame))
        frame = next((f for f in frames if not f.is_corrupt), None)
        if frame is None:
            raise MediaError(path, "none of its frames can be decoded", "get or export it again")
        extent = read_extent(path)
        return _info(Path(path), container, stream, frame, extent.seconds, extent.frame_rate)


class Orientation(NamedTuple):
    """How the stored picture becomes upright: mirrored left to right first, then turned."""

    mirrored: bool
    quarter_turns: int  # clockwise

    def upright(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.mirrored:
            image = image[:, ::-1]
        return np.ascontiguousarray(np.rot90(image, -self.quarter_turns))


def orientation(frame: VideoFrame) -> Orientation:
    """The display matrix of `frame`, rounded to quarter turns.

    The matrix takes (x, y), y down, to (a x + c y, b x + d y); it is stored as a, b, u, c, d, v, …
    """
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return Orientation(False, 0)
    a, b, _, c, d = (float(v) for v in np.frombuffer(bytes(matrix), np.int32)[:5])
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return Orientation(mirrored, round(np.arctan2(b, a) / (np.pi / 2)) % 4)


def _pixel_aspect(stream: VideoStream) -> Fraction:
    """Width of a stored pixel over its height."""
    aspect = stream.sample_aspect_ratio
    if not aspect or not Fraction(1, MAX_PIXEL_ASPECT) <= aspect <= MAX_PIXEL_ASPECT:
        return Fraction(1)
    return aspect


def _info(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    frame: VideoFrame,
    duration: float,
    frame_rate: float,
) -> VideoInfo:
    turns = orientation(frame).quarter_turns
    width, height = round(frame.width * _pixel_aspect(stream)), frame.height
    if turns % 2:
        width, height = height, width
    return VideoInfo(
        path=path,
        duration=duration,
        width=width,
        height=height,
        rotation=90 * turns,
        frame_rate=frame_rate,
        codec=stream.codec_context.name,
        has_audio=bool(container.streams.audio),
    )


def _thumb(frame: VideoFrame, reformatter: VideoReformatter) -> Thumb:
    """uint8 [54, 64]: small luma over small chroma, full range."""
    small = reformatter.reformat(
        frame,
        THUMB_WIDTH,
        THUMB_HEIGHT,
        "yuv420p",
        interpolation=Interpolation.AREA,
        dst_color_range=ColorRange.JPEG,
    )
    return np.asarray(small.to_ndarray(), np.uint8)
