"""A clip's sound alone as a file: a moment of a track, or its own, as long as its picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av

from mgsv.files import StrPath, check_output, new_file
from mgsv.media.extent import read_extent
from mgsv.media.music import Scratch
from mgsv.media.pieces import Arrangement
from mgsv.media.render import workshop
from mgsv.media.soundtrack import (
    SoundOptions,
    Soundtrack,
    make_own_soundtrack,
    make_soundtrack,
)
from mgsv.moment import Moment

SUFFIXES = (".m4a",)


@dataclass(frozen=True, slots=True)
class SoundReport:
    """What was written: AAC in an MP4 file.

    loudness, true_peak: of the sound as a player decodes it, integrated LUFS and dBTP, −inf for
    silence. notes: what the user should know, one sentence each.
    """

    path: Path
    seconds: float
    loudness: float
    true_peak: float
    notes: tuple[str, ...] = ()


def write_music_sound(
    video: StrPath,
    track: StrPath,
    moment: Moment,
    output: StrPath,
    *,
    sound: SoundOptions | None = None,
    overwrite: bool = False,
) -> SoundReport:
    """Write the sound that `render` gives `video` for `moment` of `track`; raises as it does."""
    path = check_output(output, SUFFIXES, overwrite=overwrite, inputs=(video, track))
    extent = read_extent(video)

    def make(scratch: Scratch) -> Soundtrack:
        return make_soundtrack(
            video,
            track,
            Arrangement.of(moment),
            origin=extent.origin,
            seconds=extent.seconds,
            options=sound or SoundOptions(),
            scratch=scratch,
        )

    return _write(path, make, extent.seconds, overwrite)


def write_own_sound(
    video: StrPath,
    output: StrPath,
    *,
    sound: SoundOptions | None = None,
    overwrite: bool = False,
) -> SoundReport:
    """Write the clip's own sound, faded and at the loudness that music would get.

    Raises `MediaError` where it has none, and as `render` does.
    """
    path = check_output(output, SUFFIXES, overwrite=overwrite, inputs=(video,))
    extent = read_extent(video)

    def make(scratch: Scratch) -> Soundtrack:
        return make_own_soundtrack(
            video,
            origin=extent.origin,
            seconds=extent.seconds,
            options=sound or SoundOptions(),
            scratch=scratch,
        )

    return _write(path, make, extent.seconds, overwrite)


def _write(
    path: Path, make: Callable[[Scratch], Soundtrack], seconds: float, overwrite: bool
) -> SoundReport:
    with workshop(path) as scratch:
        made = make(scratch)
        with new_file(path, overwrite=overwrite) as file:
            # "ipod" is FFmpeg's MP4 for sound alone. Its index first, as pages want it.
            options = {"movflags": "+faststart"}
            output = av.open(file, "w", format="ipod", container_options=options)
            stream = made.aac.add_stream(output)
            for packet in made.aac.packets(stream):
                output.mux(packet)
            output.close()
    return SoundReport(path, seconds, made.level.loudness, made.level.peak, made.notes)
