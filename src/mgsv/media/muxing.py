"""Picture and sound into one file."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream

from mgsv.errors import OutputError
from mgsv.files import StrPath, new_file
from mgsv.media.aac import AacSpool
from mgsv.media.colour import Alpha
from mgsv.media.containers import CONTAINERS
from mgsv.media.copying import Timed, copy_pictures
from mgsv.media.edit_list import end_picture
from mgsv.media.encoding import Encoding
from mgsv.media.extent import Extent, Hidden
from mgsv.media.source import open_media, video_stream


class CannotCopyError(Exception):
    """The container does not take the clip's packets as they are."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a file is made of: the pictures of `video` and the sound in `aac`."""

    video: StrPath
    extent: Extent
    aac: AacSpool


def write_copied(parts: Parts, path: Path, *, overwrite: bool) -> None:
    """Write `path` with the clip's own packets. Raises `CannotCopyError` if they do not fit."""
    with _opened(parts, path, overwrite) as (file, clip, stream, output):
        pictures = copy_pictures(clip, stream, parts.extent, output)
        try:
            _mux(parts, pictures, output)
        except av.FFmpegError as error:
            if isinstance(error, ValueError):  # invalid data or arguments
                raise CannotCopyError(str(error)) from error
            raise _unwritable(path, error) from error
        if Hidden.AFTER in parts.extent.hidden:
            end_picture(file, parts.extent.seconds)


def write_encoded(parts: Parts, path: Path, alpha: Alpha, *, overwrite: bool) -> Encoding:
    """Write `path` with the clip's pictures encoded anew."""
    with _opened(parts, path, overwrite) as (_, clip, stream, output):
        pictures = Encoding(clip, stream, parts.extent, output, parts.video, alpha)
        try:
            _mux(parts, pictures, output)
        except av.FFmpegError as error:
            raise _unwritable(path, error) from error
    return pictures


@contextlib.contextmanager
def _opened(
    parts: Parts, path: Path, overwrite: bool
) -> Iterator[tuple[BinaryIO, InputContainer, VideoStream, OutputContainer]]:
    with new_file(path, overwrite=overwrite) as file, open_media(parts.video) as clip:
        output = av.open(file, "w", format=CONTAINERS[path.suffix.lower()])
        yield file, clip, video_stream(clip, parts.video), output


def _mux(parts: Parts, pictures: Iterable[Timed], output: OutputContainer) -> None:
    """Write everything to `output` and close it."""
    target = parts.aac.add_stream(output)
    packets = parts.aac.packets(target)
    heard = ((float(p.pts * p.time_base), p) for p in packets if p.pts is not None)
    # In the order of time, so that the muxer has nothing to hold back.
    for _, packet in heapq.merge(pictures, heard, key=lambda timed: timed[0]):
        output.mux(packet)
    output.close()


def _unwritable(path: Path, error: av.FFmpegError) -> OutputError:
    return OutputError(
        path, f"it cannot be written ({error.strerror})", "choose another output name"
    )
