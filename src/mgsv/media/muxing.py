"""Picture and sound into one file."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import av
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream

from mgsv.errors import OutputError
from mgsv.files import StrPath, new_file
from mgsv.media.aac import AacSpool
from mgsv.media.colour import Alpha
from mgsv.media.copying import CONTAINERS, Timed, copy_pictures
from mgsv.media.edit_list import end_picture
from mgsv.media.encoding import Encoding
from mgsv.media.extent import Extent, Hidden
from mgsv.media.metadata import NO_TAGS, Tags, set_chapters, tags_for
from mgsv.media.source import open_media, video_stream
from mgsv.media.subtitles import Subtitles


class CannotCopyError(Exception):
    """The container does not take the clip's packets as they are."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a file is made of: the pictures of `video` and the sound in `aac`.

    plain: nothing else; otherwise what the clip says of itself and its subtitles come along.
    comment: a line that is added to the file's comment.
    """

    video: StrPath
    extent: Extent
    aac: AacSpool
    plain: bool = False
    comment: str = ""


class Open(NamedTuple):
    """The files at hand while one is written."""

    file: BinaryIO
    clip: InputContainer
    picture: VideoStream
    output: OutputContainer
    tags: Tags


def write_copied(parts: Parts, path: Path, *, overwrite: bool) -> tuple[str, ...]:
    """Write `path` with the clip's own packets; returns notes.

    Raises `CannotCopyError` if they do not fit.
    """
    with _opened(parts, path, overwrite) as at:
        pictures = copy_pictures(at.clip, at.picture, parts.extent, at.output, plain=parts.plain)
        try:
            notes = _mux(parts, pictures, at, path.suffix.lower())
        except av.FFmpegError as error:
            if isinstance(error, ValueError):  # invalid data or arguments
                raise CannotCopyError(str(error)) from error
            raise _unwritable(path, error) from error
        if Hidden.AFTER in parts.extent.hidden:
            end_picture(at.file, parts.extent.seconds)
    return notes


def write_encoded(
    parts: Parts, path: Path, alpha: Alpha, *, overwrite: bool
) -> tuple[str, tuple[str, ...]]:
    """Write `path` with the clip's pictures encoded anew; returns their codec, and notes."""
    with _opened(parts, path, overwrite) as at:
        pictures = Encoding(at.clip, at.picture, parts.extent, at.output, parts.video, alpha)
        try:
            notes = _mux(parts, pictures, at, path.suffix.lower())
        except av.FFmpegError as error:
            raise _unwritable(path, error) from error
    return pictures.codec, (*pictures.notes, *notes)


@contextlib.contextmanager
def _opened(parts: Parts, path: Path, overwrite: bool) -> Iterator[Open]:
    container = CONTAINERS[path.suffix.lower()]
    with new_file(path, overwrite=overwrite) as file, open_media(parts.video) as clip:
        picture = video_stream(clip, parts.video)
        tags = NO_TAGS if parts.plain else tags_for(container, clip, picture)
        tags = tags.with_comment(parts.comment)
        output = av.open(file, "w", format=container, container_options=tags.options)
        yield Open(file, clip, picture, output, tags)


def _mux(parts: Parts, pictures: Iterable[Timed], at: Open, suffix: str) -> tuple[str, ...]:
    """Write everything to the output, where `pictures` has its stream by now, and close it."""
    output, notes = at.output, []
    refused: av.FFmpegError | None = None
    output.metadata.update(at.tags.file)
    output.streams.video[0].metadata.update(at.tags.picture)
    target = parts.aac.add_stream(output)
    packets = parts.aac.packets(target)
    heard = ((float(p.pts * p.time_base), p) for p in packets if p.pts is not None)
    with contextlib.ExitStack() as stack:
        read: Iterable[Timed] = ()
        if not parts.plain:
            set_chapters(at.clip, parts.extent, output)
            again = stack.enter_context(open_media(parts.video))
            read = subtitles = Subtitles(again, parts.extent, output, suffix)
            notes += subtitles.notes
        # In the order of time, so that the muxer has nothing to hold back.
        try:
            for _, packet in heapq.merge(pictures, heard, read, key=lambda timed: timed[0]):
                output.mux(packet)
            output.close()
        except av.ArgumentError as error:  # which the open clip would be blamed for in here
            refused = error
    if refused is not None:
        raise refused
    if at.tags.located:
        notes.append("the file says where the clip was taken; `strip_metadata` leaves that out")
    return tuple(notes)


def _unwritable(path: Path, error: av.FFmpegError) -> OutputError:
    return OutputError(
        path, f"it cannot be written ({error.strerror})", "choose another output name"
    )
