"""What the sound tracks of one video use, in seconds of its picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from mgsv.annotate.index import LandmarkIndex
from mgsv.annotate.locate import Match, locate
from mgsv.annotate.options import AnnotateOptions, Dropped
from mgsv.errors import MediaError, reason_of, shown
from mgsv.media.isolated import count_sounds, probe_video, read_audio, read_picture_clock
from mgsv.media.landmarks import RATE
from mgsv.media.video import VideoInfo
from mgsv.moment import Moment

SILENT = 1e-3
"""Full scale 1: a video whose sound stays below, -60 dB, is silent."""
SAME_PLACE = 0.1
"""Seconds by which two sound tracks may put the same music at different places."""


@dataclass(frozen=True, slots=True)
class HeardUse:
    """A match in seconds of the picture, and the sound track it was heard on, from 1."""

    match: Match
    sound: int


@dataclass(frozen=True, slots=True)
class Heard:
    """What one video uses.

    info: the duration is that of the pictures there are. sounds: how many sound tracks it has.
    notes: what could not be decoded, one line per sound track.
    """

    info: VideoInfo
    sounds: int
    uses: tuple[HeardUse, ...]
    notes: tuple[str, ...] = ()


def hear(path: Path, index: LandmarkIndex, options: AnnotateOptions) -> Heard | Dropped:
    """Listen to every sound track of `path`. Raises `MediaError` where none can be read."""
    info, sounds = probe_video(path), count_sounds(path)
    if not sounds:
        return Dropped(path, "no sound")
    pictures = read_picture_clock(path, options.max_video)
    info = replace(info, duration=pictures.seconds)
    if info.duration > options.max_video:
        return Dropped(path, "long video", f"more than {options.max_video:g} s")
    if info.duration < options.min_video:
        return Dropped(path, "short video", f"{info.duration:.1f} s")
    uses: list[HeardUse] = []
    unread: dict[int, MediaError] = {}
    silent = 0
    for sound in range(sounds):
        try:
            audio = read_audio(path, RATE, stream=sound)
        except MediaError as error:
            unread[sound] = error
            continue
        if abs(audio.samples).max() < SILENT:
            silent += 1
            continue
        delay = 0.0 if audio.start is None else pictures.place(audio.start)
        for match in locate(index, audio.samples):
            seen = _on_picture(match, delay, pictures.seconds)
            if seen is not None:
                uses.append(HeardUse(seen, sound + 1))
    if len(unread) == sounds:
        raise unread[0]
    if not uses:
        return Dropped(path, "silent" if silent + len(unread) == sounds else "no track")
    notes = (
        f"{shown(path)}: sound track {sound + 1} of {sounds} was not listened to:"
        f" {reason_of(error, path)}"
        for sound, error in unread.items()
    )
    return Heard(info, sounds, tuple(_once(uses)), tuple(notes))


def _on_picture(match: Match, delay: float, duration: float) -> Match | None:
    """`match` in seconds of the picture, the part that lies on it; None where nothing does."""
    start, end = match.video.start + delay, match.video.end + delay
    first, last = max(start, 0.0), min(end, duration)
    if last <= first:
        return None
    cut = match.speed * (first - start)
    music = Moment(match.music.start + cut, match.music.start + match.speed * (last - start))
    also = tuple(place + cut for place in match.also_at)
    return replace(
        match,
        video=Moment(first, last),
        music=music.clamped(match.track.seconds),
        also_at=also,
    )


def _once(uses: Iterable[HeardUse]) -> list[HeardUse]:
    """In order of time, what several sound tracks have in common (a dubbed version, say) once."""
    kept: list[HeardUse] = []
    for use in sorted(uses, key=lambda use: -use.match.confidence * use.match.video.duration):
        others = (other for other in kept if other.sound != use.sound)
        if not any(_same(other.match, use.match) for other in others):
            kept.append(use)
    return sorted(kept, key=lambda use: (use.match.video.start, use.sound))


def _same(one: Match, other: Match) -> bool:
    """Whether both say the same of half of the shorter one, or more."""
    first = max(one.video.start, other.video.start)
    last = min(one.video.end, other.video.end)
    if one.track.id != other.track.id or last <= first:
        return False
    if last - first < min(one.video.duration, other.video.duration) / 2:
        return False
    return any(
        abs(here - there) <= SAME_PLACE
        for here in _places(one, first)
        for there in _places(other, first)
    )


def _places(match: Match, second: float) -> list[float]:
    """The seconds of the track that may be heard at the video's `second`."""
    since = match.speed * (second - match.video.start)
    return [start + since for start in (match.music.start, *match.also_at)]
