"""A timeline for a video editor: the clip, and under it the music, already cut to its moment.

An editor opens it and shows both files in place; nothing is rendered or copied.
"""

from __future__ import annotations

from pathlib import Path

import opentimelineio as otio
from opentimelineio.opentime import RationalTime, TimeRange
from opentimelineio.schema import Clip, ExternalReference, Timeline, Track, TrackKind

from mgsv.errors import ConfigError, MediaError, shown
from mgsv.media.audio import AudioInfo, probe_audio
from mgsv.media.output import StrPath, check_output, new_file
from mgsv.media.video import VideoInfo, probe_video
from mgsv.moment import Moment, clock

FORMATS = (".otio", ".edl", ".xml")
"""OpenTimelineIO, CMX 3600 and Final Cut Pro 7 XML."""

_SAME_RATE = 0.005  # headers give means: 29.96 frames per second is NTSC's 30000/1001


def write_timeline(
    video: StrPath, track: StrPath, moment: Moment, output: StrPath, *, overwrite: bool = False
) -> Path:
    """Write `output`, a timeline of the clip `video` with `moment` of `track` under it.

    The music starts with the clip and lasts as long as the clip, the moment or the track does,
    whichever ends first. Its in-point is exact to the sample in `.otio`, to the video frame in
    `.edl` and `.xml`, which know no finer time. `output` ends in one of `FORMATS`; `overwrite` is
    whether it may exist. Returns its path.

    Raises `ConfigError` for another ending, a moment before the track's start, or `.xml` without
    its adapter; `MediaError` for unreadable files, and for a moment after the track's end.
    """
    path = check_output(output, FORMATS, overwrite=overwrite, inputs=(video, track))
    suffix = path.suffix.lower()
    if suffix == ".xml" and "fcp_xml" not in otio.adapters.available_adapter_names():
        raise ConfigError(
            f"{shown(path)}: Final Cut Pro XML needs an adapter that is not installed",
            "pip install opentimelineio-plugins, or write an .otio file",
        )
    clip, music = probe_video(video), probe_audio(track)
    if moment.start < 0:
        raise ConfigError(
            f"the moment starts at {moment.start:g} s", "a track starts at 0 s; give a later start"
        )
    if music.duration and moment.start >= music.duration:
        raise MediaError(
            track,
            f"the moment starts at {clock(moment.start)}, but the track ends at"
            f" {clock(music.duration)}",
            "choose an earlier moment",
        )
    if suffix == ".otio":
        timeline = _timeline(clip, music, moment, _frame_rate(clip), music.rate)
        text = otio.adapters.write_to_string(timeline, "otio_json")
    else:
        frame_rate = RationalTime.nearest_smpte_timecode_rate(clip.frame_rate)
        timeline = _timeline(clip, music, moment, frame_rate, frame_rate)
        text = (
            otio.adapters.write_to_string(timeline, "fcp_xml")
            if suffix == ".xml"
            else _edl(timeline, frame_rate)
        )
    with new_file(path, overwrite=overwrite) as file:
        file.write(text.encode())
    return path


def _timeline(
    clip: VideoInfo, music: AudioInfo, moment: Moment, frame_rate: float, music_rate: float
) -> Timeline:
    """Picture counted in units of 1 / frame_rate seconds, music in units of 1 / music_rate."""
    end = moment.start + min(moment.duration, clip.duration)
    if music.duration:  # 0 where the header does not tell
        end = min(end, music.duration)
    timeline = Timeline(f"{shown(clip.path.name)} with {shown(music.path.name)}")
    for kind, path, whole, shown_part, rate in (
        (TrackKind.Video, clip.path, clip.duration, Moment(0.0, clip.duration), frame_rate),
        (TrackKind.Audio, music.path, music.duration or end, Moment(moment.start, end), music_rate),
    ):
        track = Track(kind, kind=kind)
        reference = ExternalReference(_url(path), _range(Moment(0.0, whole), rate))
        track.append(Clip(shown(path.name), reference, _range(shown_part, rate)))
        timeline.tracks.append(track)
    return timeline


def _range(moment: Moment, rate: float) -> TimeRange:
    start, end = round(moment.start * rate), round(moment.end * rate)
    return TimeRange(RationalTime(start, rate), RationalTime(end - start, rate))


def _frame_rate(clip: VideoInfo) -> float:
    """The clip's frame rate, exactly that of a standard it is meant to follow."""
    standard = RationalTime.nearest_smpte_timecode_rate(clip.frame_rate)
    near = abs(standard - clip.frame_rate) <= _SAME_RATE * standard
    return float(standard if near else clip.frame_rate)


def _url(path: Path) -> str:
    """`path` as a file URL: its bytes, whatever they are, percent-encoded."""
    return path.absolute().as_uri()


def _edl(timeline: Timeline, rate: float) -> str:
    """CMX 3600, an event for the picture and one for the music.

    Written here, since OpenTimelineIO's adapter for this format leaves sound out.
    """
    lines = ["TITLE: mgsv", "FCM: NON-DROP FRAME"]
    for event, (track, channel) in enumerate(zip(timeline.tracks, "VA", strict=True), start=1):
        clip = track[0]
        source, length = clip.source_range, clip.source_range.duration
        codes = (
            time.to_timecode(rate, drop_frame=False)
            for time in (source.start_time, source.end_time_exclusive(), length - length, length)
        )
        lines += [
            "",
            f"{event:03d}  AX       {channel}     C        {' '.join(codes)}",
            f"* FROM CLIP NAME: {clip.name}",
            f"* FROM CLIP: {clip.media_reference.target_url}",
        ]
    return "\n".join(lines) + "\n"
