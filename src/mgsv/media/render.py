"""A clip with a moment of a track as its sound, as a new file."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, get_args

from mgsv.errors import ConfigError
from mgsv.files import StrPath, check_output, unwritable
from mgsv.media.colour import Alpha
from mgsv.media.copying import CONTAINERS, obstacle
from mgsv.media.extent import survey
from mgsv.media.music import Scratch
from mgsv.media.muxing import CannotCopyError, Parts, write_copied, write_encoded
from mgsv.media.pieces import Arrangement, checked_music
from mgsv.media.soundtrack import SoundOptions, make_soundtrack
from mgsv.media.source import open_media, video_stream
from mgsv.moment import Moment


@dataclass(frozen=True, slots=True)
class RenderReport:
    """What was written.

    path: the new file. duration: of its picture, seconds. copied_video: the picture's packets are
    the clip's own. loudness, true_peak: of the sound as a player decodes it, integrated LUFS and
    dBTP, −inf for silence. notes: what the user should know, one sentence each.
    """

    path: Path
    duration: float
    copied_video: bool
    loudness: float
    true_peak: float
    notes: tuple[str, ...] = ()


def render(
    video: StrPath,
    track: StrPath,
    moment: Moment | Arrangement,
    output: StrPath,
    *,
    sound: SoundOptions | None = None,
    alpha: Alpha = "black",
    strip_metadata: bool = False,
    overwrite: bool = False,
) -> RenderReport:
    """Write `output`: the clip `video` with `moment` of `track` as its sound.

    The music starts with the clip's first picture, at `moment.start` to the sample, and lasts as
    long as the clip; where the moment or the track ends earlier, it fades out there and silence
    follows. Of an arrangement (`media.arrange`) the pieces are played. The pictures are those that
    a player shows of the clip: copied untouched where the container allows, else encoded again, and
    then a note says why.

    output: ends in one of `CONTAINERS`. It appears when it is complete, or not at all.
    alpha: what is seen through transparent pixels; the files written have none.
    strip_metadata: leave out what tells who took the clip, when, where and with what: tags,
        chapters, subtitles, timecode. Otherwise what the container can hold is kept.

    overwrite: whether `output` may exist; it may never be one of the inputs.

    Raises `ConfigError` for values that make no sense, `MediaError` for a file that cannot be read
    and for a moment that starts after the track's end, `OutputError` where `output` exists or
    cannot be written.
    """
    path = check_output(output, CONTAINERS, overwrite=overwrite, inputs=(video, track))
    if alpha not in get_args(Alpha):
        raise ConfigError(f"alpha is {alpha!r}", f"give {' or '.join(get_args(Alpha))}")
    music = checked_music(moment)
    with open_media(video) as clip:
        stream = video_stream(clip, video)
        extent = survey(clip, stream, video)
        why_not = obstacle(stream, extent, _suffix(path))
    with workshop(path) as scratch:
        made = make_soundtrack(
            video,
            track,
            music,
            origin=extent.origin,
            seconds=extent.seconds,
            options=sound or SoundOptions(),
            scratch=scratch,
        )
        comment = sound.comment if sound else ""
        parts = Parts(video, extent, made.aac, plain=strip_metadata, comment=comment)
        notes: tuple[str, ...] = ()
        if why_not is None:
            try:
                notes = write_copied(parts, path, overwrite=overwrite)
            except CannotCopyError:  # damaged, or cut in a way the container has no place for
                why_not = f"{_suffix(path)} does not take the clip's pictures as they are"
        if why_not is not None:
            codec, notes = write_encoded(parts, path, alpha, overwrite=overwrite)
            notes = (f"the picture was encoded again as {codec}: {why_not}", *notes)
    copied, level = why_not is None, made.level
    return RenderReport(
        path, extent.seconds, copied, level.loudness, level.peak, made.notes + notes
    )


def _suffix(path: Path) -> str:
    return path.suffix.lower()


@contextlib.contextmanager
def workshop(path: Path) -> Iterator[Scratch]:
    """Unnamed temporary files beside `path`, where its user has room; gone at the end.

    An `OSError` that leaves the block is one of writing there.
    """
    try:
        with contextlib.ExitStack() as stack:

            def scratch() -> IO[bytes]:
                return stack.enter_context(tempfile.TemporaryFile(dir=path.parent))

            yield scratch
    except OSError as error:
        raise unwritable(path, error) from error
