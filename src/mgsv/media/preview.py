"""What a moment sounds like with a clip, and what the clip looks like, to be shown at once."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterable, Iterator
from fractions import Fraction

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from mgsv.errors import ConfigError
from mgsv.files import StrPath
from mgsv.media.audio import audio_stream
from mgsv.media.extent import survey
from mgsv.media.music import Scratch
from mgsv.media.pieces import Arrangement
from mgsv.media.sound import RATE, Decoded
from mgsv.media.soundtrack import SoundOptions, mastered_once, mixed
from mgsv.media.source import open_media, video_stream
from mgsv.media.video import VideoScan, probe_video
from mgsv.moment import Moment

LONGEST = 600.0
"""Seconds of sound that are made at once: 115 MB."""
STRIP_HEIGHT = 72
STRIP_FRAMES = 24


def preview_sound(
    video: StrPath, track: StrPath, moment: Moment, sound: SoundOptions | None = None
) -> NDArray[np.int16]:
    """[N, 2] at 48 kHz: what `render` gives the clip as its sound, but for its last polish.

    As long as the clip's picture. Raises as `render` does, and `ConfigError` for a clip of more
    than ten minutes.
    """
    options = sound or SoundOptions()
    with open_media(video) as clip:
        extent = survey(clip, video_stream(clip, video), video)
    _check_length(extent.seconds)
    with _workshop() as scratch:
        mix, _ = mixed(
            video,
            track,
            Arrangement.of(moment),
            origin=extent.origin,
            samples=max(1, round(extent.seconds * RATE)),
            options=options,
            scratch=scratch,
        )
        return _pcm(mastered_once(mix, options))


def preview_track(track: StrPath, moment: Moment) -> NDArray[np.int16]:
    """[N, 2] at 48 kHz: the moment as it is on the track, less where the track ends earlier.

    Raises `ConfigError` for more than ten minutes.
    """
    _check_length(moment.duration)
    with open_media(track) as container:
        stream = audio_stream(container, track)
        return _pcm(Decoded(track, container, stream, moment.start, moment.end))


def film_strip(
    path: StrPath, *, frames: int = STRIP_FRAMES, height: int = STRIP_HEIGHT
) -> NDArray[np.uint8]:
    """A JPEG file, as bytes: `frames` pictures of the clip side by side, evenly spaced in time."""
    seconds = probe_video(path).duration or 1.0
    scan = VideoScan(path, height, per_second=max(1, math.ceil(frames / seconds)))
    shown = [_lowered(frame.image, height) for frame in scan]
    every = [shown[int((k + 0.5) * len(shown) / frames)] for k in range(frames)]
    return _jpeg(np.concatenate(every, axis=1))


@contextlib.contextmanager
def _workshop() -> Iterator[Scratch]:
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(tempfile.TemporaryFile())


def _check_length(seconds: float) -> None:
    if seconds > LONGEST:
        raise ConfigError(f"{seconds:.0f} s are too long to be heard at once", "render the clip")


def _pcm(frames: Iterable[AudioFrame]) -> NDArray[np.int16]:
    blocks = [frame.to_ndarray().reshape(-1, 2) for frame in frames]
    sound = np.concatenate(blocks) if blocks else np.zeros((0, 2), np.float32)
    return np.rint(np.clip(sound, -1, 1) * 32767).astype(np.int16)


def _lowered(image: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    """An upright picture is taller than the strip: its middle is shown."""
    top = (image.shape[0] - height) // 2
    return image[top : top + height]


def _jpeg(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture as a file; an even number of columns and rows of it."""
    even = np.ascontiguousarray(picture[: picture.shape[0] & ~1, : picture.shape[1] & ~1])
    codec = av.CodecContext.create("mjpeg", "w")
    assert isinstance(codec, VideoCodecContext)
    codec.width, codec.height = even.shape[1], even.shape[0]
    codec.pix_fmt, codec.time_base = "yuvj420p", Fraction(1, 25)
    frame = VideoFrame.from_ndarray(even, format="rgb24").reformat(format="yuvj420p")
    packets = [*codec.encode(frame), *codec.encode(None)]
    return np.frombuffer(b"".join(bytes(packet) for packet in packets), np.uint8)
