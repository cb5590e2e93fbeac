"""The files of a timeline as they are: lengths by decoding, rates, and where their timecode starts.

An editor looks a clip up by its timecode: a timeline that counts a file from 0, when its camera
counted from 14:23:11, points beside it.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.stream import Stream

from mgsv.errors import MediaError
from mgsv.files import StrPath
from mgsv.media.audio import audio_stream, decoded_seconds, probe_audio
from mgsv.media.source import open_media, packets, video_stream
from mgsv.media.timeline.model import Sound, SourceFile
from mgsv.media.timeline.timecode import (
    NTSC,
    Written,
    counted,
    frame_number,
    is_ntsc,
    meant,
    nominal,
    parse,
)
from mgsv.media.video import VideoInfo, VideoScan

_BROADCAST_WAVE = ("wav", "w64")  # FFmpeg's names of the formats whose header may have its time
_DAY = 24 * 3600


def picture_source(path: StrPath, info: VideoInfo | None = None) -> SourceFile:
    """The video `path`; decodes it, unless a scan's `info` is given."""
    info = info or scanned(path).info
    with open_media(path) as container:
        stream = video_stream(container, path)
        rate = meant(info.frame_rate, info.duration, stream.guessed_rate)
        source = SourceFile(
            path=Path(path),
            seconds=Fraction(info.duration),
            rate=rate,
            size=(info.width, info.height),
            sound=_own_sound(path),
        )
        return _with_timecode(source, container, stream, rate)


def sound_source(path: StrPath, rate: Fraction, seconds: float | None = None) -> SourceFile:
    """The track `path`; decodes it, unless its `seconds` are known.

    rate: frames per second of the timeline, which timecode of unknown rate is taken to count.
    """
    info = probe_audio(path)
    length = Fraction(decoded_seconds(path) if seconds is None else seconds)
    source = SourceFile(path=Path(path), seconds=length, sound=Sound(info.rate, info.channels))
    with open_media(path) as container:
        if container.format.name in _BROADCAST_WAVE:
            return replace(source, start=_since_midnight(container, info.rate))
        return _with_timecode(source, container, audio_stream(container, path), rate)


def scanned(path: StrPath) -> VideoScan:
    """The video `path`, gone through to its end."""
    scan = VideoScan(path)
    for _ in scan:
        pass
    return scan


def _own_sound(path: StrPath) -> Sound | None:
    try:
        info = probe_audio(path)
    except MediaError:  # it has none, or none that can be decoded
        return None
    return Sound(info.rate, info.channels)


def _with_timecode(
    source: SourceFile, container: InputContainer, stream: Stream, rate: Fraction
) -> SourceFile:
    """`source` with the timecode of `stream`, or else of the whole file.

    rate: frames per second of the pictures.
    """
    clocks = (clock.metadata for clock in container.streams.data)  # that no stream refers to
    texts = (
        value
        for tags in (stream.metadata, container.metadata, *clocks)
        for name, value in tags.items()
        if name.lower() == "timecode"
    )
    text = next(texts, "")
    code = parse(text)
    if code is None:
        return source
    # Slow pictures are counted at the rate of their tape, as in a timeline.
    base = _base(container, code) or nominal(max(rate, counted(rate)))
    if code.frames >= base:
        return source
    slowed = is_ntsc(rate) or (code.drop and rate.denominator > 1)
    code = code._replace(drop=code.drop and slowed and base % 30 == 0)
    start = frame_number(code, base) / (base * (NTSC if slowed else 1))
    return replace(source, start=Fraction(start), timecode=text, drop=code.drop)


def _since_midnight(container: InputContainer, rate: int) -> Fraction:
    """Seconds, which Broadcast Wave counts in samples; 0 where it does not tell."""
    samples = container.metadata.get("time_reference", "")
    start = Fraction(int(samples), rate) if samples.isdecimal() else Fraction(0)
    return start if start < _DAY else Fraction(0)


def _base(container: InputContainer, code: Written) -> int | None:
    """Frames that `code` counts to a second, from the frame number that QuickTime keeps beside it.

    It need not be the pictures' rate: cameras count 30 of them at 60 pictures per second.
    """
    streams = [s for s in container.streams.data if parse(s.metadata.get("timecode", "")) == code]
    if not streams or not code.seconds:
        return None
    packet = next(packets(container, streams[0]))
    if packet.size != 4:
        return None
    number = int.from_bytes(bytes(packet), "big")
    return round((number - code.frames) / code.seconds)  # what is dropped is 0.1 % of it
