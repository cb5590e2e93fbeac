"""The sound of a file as one float32 waveform at a chosen rate.

A sample's place in the waveform is its presentation time: what a damaged stretch left out stays
out as silence, so that seconds in the waveform are seconds in the file.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from mgsv.errors import MediaError
from mgsv.media.soundclock import SoundClock
from mgsv.media.source import SPLICED, claimed_duration, decoded, open_media, own_duration

Channel = Literal["mix", "first"]

# The rate of the music encoders and of the rhythm module.
DEFAULT_RATE = 16_000
# Two hours, a long DJ set, are 461 MB of float32 at 16 kHz. Counted while decoding, since a header
# may claim anything and a small file can hold days of silence.
MAX_TRACK_SECONDS = 2 * 3600.0
# The highest rate recorders and DSD conversions use; more is a damaged or hostile header.
MAX_SAMPLE_RATE = 768_000
# FFmpeg's resampler takes no more.
MAX_CHANNELS = 64
# Float files in the scale of 16-bit integers are found in use; what goes beyond is no sound.
LOUDEST = 32768.0
# Seconds of sound that are resampled together. Frames are some 20 ms, and each call costs as much
# in Python as the work itself; two threads that decode would wait for each other.
RESAMPLED_AT_ONCE = 1.0
_NOTHING = ("none of its sound can be decoded", "get or export it again")
# What a header's duration may be off by before the file counts as cut short.
TRUNCATED_BELOW = 0.9


@dataclass(frozen=True)
class Audio:
    """A waveform in memory.

    samples: float32 [N], one channel, full scale ±1. Lossy codecs can exceed it; nothing is cut.
    rate: samples per second. warnings: what was wrong with the file, one line each. start: the
    first sample's presentation time in the file, seconds; None where the file has no times.
    """

    samples: NDArray[np.float32]
    rate: int
    warnings: tuple[str, ...] = ()
    start: float | None = None

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / self.rate


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says about its main sound stream; nothing is decoded.

    duration: seconds, 0 where the header does not tell, or claims more than the file can hold.
    rate: Hz.
    """

    path: Path
    duration: float
    rate: int
    channels: int
    codec: str


def probe_audio(path: str | os.PathLike[str]) -> AudioInfo:
    """Read the header of `path`. Raises `MediaError` if it has no readable sound."""
    with open_media(path) as container:
        stream = audio_stream(container, path)
        if not stream.codec_context.sample_rate:  # as where the sound begins late in a stream
            raise MediaError(path, *_NOTHING)
        return AudioInfo(
            path=Path(path),
            duration=claimed_duration(container, stream),
            rate=stream.codec_context.sample_rate,
            channels=stream.codec_context.channels,
            codec=stream.codec_context.name,
        )


def read_audio(
    path: str | os.PathLike[str],
    rate: int = DEFAULT_RATE,
    channel: Channel = "mix",
    stream: int | None = None,
    seconds: float | None = None,
) -> Audio:
    """Decode a sound stream of `path` to one channel at `rate` Hz.

    channel: "mix" averages the channels; "first" takes the first one alone, as the paper's music
    encoder was fed. stream: its place among the file's sound streams; None = the main one.
    seconds: how much is read from the beginning; None = all.

    Packets that cannot be decoded become silence of their length, and a warning. Raises
    `MediaError` if there is no sound, none of it decodes, or it is longer than `MAX_TRACK_SECONDS`.
    """
    with open_media(path) as container:
        source = audio_stream(container, path, stream)
        claimed = _promised(container, source)
        clock, waveform = SoundClock(path, container), _Waveform(rate, channel)
        damaged = 0
        for frame in decoded(container, source):
            if frame is None:
                damaged += 1
                continue
            assert isinstance(frame, AudioFrame)
            gap = clock.take(frame)
            _check_length(clock.now, path)
            if gap is not None:
                waveform.add(frame, gap)
            if seconds is not None and clock.now >= seconds:
                break
        samples = waveform.finish()
        late = max(0.0, (clock.start or 0.0) - _begin(source))
    if not len(samples):
        raise MediaError(path, *_NOTHING)
    warnings = []
    if damaged:
        packets = "packet was" if damaged == 1 else "packets were"
        warnings.append(f"{damaged} damaged sound {packets} replaced by silence")
    length = len(samples) / rate
    if seconds is not None:
        samples = samples[: round(seconds * rate)]
    elif late + length < TRUNCATED_BELOW * claimed:
        warnings.append(f"its sound ends after {length:.1f} s of the {claimed:.1f} s it promises")
    return Audio(samples, rate, tuple(warnings), clock.start)


def decoded_seconds(path: str | os.PathLike[str]) -> float:
    """Seconds that the main sound stream of `path` lasts: the duration `read_audio` gives.

    Found by decoding all of it, as headers can be wrong by any factor. Raises `MediaError` where
    `read_audio` does.
    """
    with open_media(path) as container:
        clock = SoundClock(path, container)
        for frame in decoded(container, audio_stream(container, path)):
            if isinstance(frame, AudioFrame):
                clock.take(frame)
                _check_length(clock.now, path)
    if not clock.now:
        raise MediaError(path, *_NOTHING)
    return clock.now


def count_sounds(path: str | os.PathLike[str]) -> int:
    """How many sound streams `path` has. Raises `MediaError` if it is no media file."""
    with open_media(path) as container:
        return len(container.streams.audio)


def audio_stream(
    container: InputContainer, path: str | os.PathLike[str], number: int | None = None
) -> AudioStream:
    """The sound stream `number`, None = the main one, which most players take.

    Raises `MediaError` if there is none or it is an absurd one.
    """
    best = container.streams.best("audio")
    streams: list[Any] = list(container.streams.audio)
    if number is None:
        # Telephones add a second form of the sound that FFmpeg cannot decode.
        streams.sort(key=lambda one: (one.codec_context is None, one is not best))
    stream = next(iter(streams[number or 0 :]), None)
    if not isinstance(stream, AudioStream):
        raise MediaError(path, "it has no sound", "give a file with a sound track")
    context: Any = stream.codec_context  # None without a decoder, whatever the stubs say
    if context is None:
        raise MediaError(path, "its sound codec is not known here", "convert it to flac or mp3")
    if context.sample_rate > MAX_SAMPLE_RATE:
        raise MediaError(
            path,
            f"it claims {context.sample_rate} samples per second (at most {MAX_SAMPLE_RATE})",
            "the file is damaged; get or export it again",
        )
    if _plain_layout(context) > MAX_CHANNELS:
        raise MediaError(
            path,
            f"its sound has {context.channels} channels (at most {MAX_CHANNELS})",
            "mix it down first",
        )
    return stream


def _plain_layout(context: AudioCodecContext) -> int:
    """The number of channels, after taking care that their layout is one PyAV can handle.

    A layout may list its channels in any order (QuickTime and CAF files do). PyAV's layouts and
    frames share such a list with FFmpeg, and both free it. Known by name or by number alone,
    channels need no list; their order in the sound stays as it is.
    """
    layout = context.layout
    if layout.nb_channels:
        named = " channels (" not in layout.name
        context.layout = layout.name if named else f"{layout.nb_channels} channels"
    return layout.nb_channels


def _check_length(seconds: float, path: str | os.PathLike[str]) -> None:
    if seconds > MAX_TRACK_SECONDS:
        raise MediaError(
            path,
            f"it is longer than {MAX_TRACK_SECONDS / 3600:g} hours",
            "split it into shorter tracks",
        )


def _promised(container: InputContainer, stream: AudioStream) -> float:
    """The duration that the sound should have; 0 where nothing in the file says so."""
    claimed = own_duration(container, stream)
    if claimed is None and len(container.streams) == 1:
        claimed = claimed_duration(container, stream)
    if claimed is None or container.format.name in SPLICED:
        return 0.0
    # Formats without a header, as ADTS, say nothing. FFmpeg then divides the file's size by the bit
    # rate of its beginning, which tells nothing of where the sound should end.
    bit_rate = stream.codec_context.bit_rate
    guess = 8 * container.size / bit_rate if bit_rate else 0.0
    return 0.0 if math.isclose(claimed, guess, rel_tol=0.01) else claimed


def _begin(stream: AudioStream) -> float:
    """Presentation time from which the header's duration counts; 0 where it was not found yet."""
    return float((stream.start_time or 0) * (stream.time_base or 0))


class _Waveform:
    """Collects decoded frames as one channel at one rate."""

    def __init__(self, rate: int, channel: Channel) -> None:
        self._rate = rate
        self._channel = channel
        self._resampler: AudioResampler | None = None
        self._waiting = AudioFifo()  # frames of one format, for the resampler
        self._format: tuple[int, str, str] | None = None
        self._chunks: list[NDArray[np.float32]] = []

    def add(self, frame: AudioFrame, gap: float) -> None:
        """Append `frame`, after `gap` seconds of silence."""
        form = (frame.sample_rate, frame.layout.name, frame.format.name)
        if form != self._format or gap:
            # The format can change within a stream (radio recordings); a resampler takes only one.
            self._drain()
            self._append(np.zeros(round(gap * self._rate), np.float32))
            # Not planar, since PyAV reads beyond the end of a frame of eight planes or more.
            self._resampler = AudioResampler("flt", None, self._rate)
            self._format = form
        frame.pts = None  # places are kept here; a resampler would stretch over jumps
        self._waiting.write(frame)
        if self._waiting.samples >= frame.sample_rate * RESAMPLED_AT_ONCE:
            self._resample(self._waiting.read())

    def finish(self) -> NDArray[np.float32]:
        self._drain()
        samples = np.concatenate(self._chunks) if self._chunks else np.zeros(0, np.float32)
        # Float formats can hold anything, and one NaN would spoil every feature after it.
        samples[~((samples >= -LOUDEST) & (samples <= LOUDEST))] = 0.0
        return samples

    def _drain(self) -> None:
        if self._resampler is not None:
            if self._waiting.samples:
                self._resample(self._waiting.read())
            self._waiting = AudioFifo()
            self._resample(None)
            self._resampler = None

    def _resample(self, frame: AudioFrame | None) -> None:
        assert self._resampler is not None
        for resampled in self._resampler.resample(frame):
            # [N, channels]. Mixed here, since FFmpeg's own mix of float sound is 3 dB louder.
            count = resampled.layout.nb_channels
            channels = np.asarray(resampled.to_ndarray(), np.float32).reshape(-1, count)
            one = channels[:, 0].copy()
            if self._channel == "mix":
                for other in channels.T[1:]:
                    one += other
                one /= count
            self._append(one)

    def _append(self, samples: NDArray[np.float32]) -> None:
        if len(samples):
            self._chunks.append(samples)
