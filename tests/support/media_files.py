"""Real media files for the tests, written with PyAV: any codec pair, rotation, timing, content."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

VIDEO_CODECS = {"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9", "mpeg4": "mpeg4"}
AUDIO_CODECS = {
    "aac": "aac",
    "mp3": "libmp3lame",
    "opus": "libopus",
    "flac": "flac",
    "wav": "pcm_s16le",
}
FASTEST = {
    "libx264": {"preset": "ultrafast", "crf": "18"},
    "libx265": {"preset": "ultrafast", "crf": "18", "x265-params": "log-level=none"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
    "mpeg4": {"qscale": "3"},
}
Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Clip:
    """What a made-up video shows.

    colours: RGB of each shot, plain; or None for a random texture of its own per shot. cuts:
    seconds of each new shot. speed: width scrolled per second at a time. flashes: seconds at which
    the picture is white for `flash_seconds`. paint: replaces all that, time -> RGB [H, W, 3].
    """

    seconds: float = 2.0
    rate: float = 25.0
    width: int = 160
    height: int = 96
    cuts: Sequence[float] = ()
    colours: Sequence[tuple[int, int, int]] | None = None
    speed: Callable[[float], float] = field(default=lambda _time: 0.0)
    flashes: Sequence[float] = ()
    flash_seconds: float = 0.08
    paint: Callable[[float], Image] | None = None
    seed: int = 0

    def times(self) -> list[float]:
        return [i / self.rate for i in range(round(self.seconds * self.rate))]

    def picture(self, time: float, scrolled: float) -> Image:
        """The picture at `time` after scrolling by `scrolled` widths."""
        if self.paint is not None:
            return self.paint(time)
        if any(f <= time + 1e-6 < f + self.flash_seconds for f in self.flashes):
            return np.full((self.height, self.width, 3), 255, np.uint8)
        shot = sum(time >= cut - 1e-6 for cut in self.cuts)
        if self.colours is not None:
            image = np.empty((self.height, self.width, 3), np.uint8)
            image[:] = self.colours[shot % len(self.colours)]
            return image
        tiles = np.random.default_rng((self.seed, shot)).integers(0, 256, (6, 10, 3), np.uint8)
        rows = np.arange(self.height) * 6 // self.height
        columns = (np.arange(self.width) / self.width + scrolled) % 1
        return tiles[rows][:, (columns * 10).astype(int)]


def write_video(
    path: Path,
    clip: Clip | None = None,
    *,
    codec: str = "h264",
    audio: NDArray[np.float32] | None = None,
    audio_codec: str = "aac",
    audio_rate: int = 48_000,
    audio_delay: float = 0.0,
    muted: Sequence[tuple[float, float]] = (),
    more_audio: Sequence[NDArray[np.float32]] = (),
    times: Sequence[float] | None = None,
    time_base: Fraction = Fraction(1, 12_800),
    start: float = 0.0,
    rotation: int = 0,
    mirrored: bool = False,
    pixel_aspect: Fraction | None = None,
    container: str | None = None,
    timecode: str = "",
) -> Path:
    """Write `clip` to `path` (the suffix names the container) and return the path.

    audio: [channels, N] or [N], full scale ±1. times: seconds of each frame, for variable frame
    rates. start: added to every timestamp, audio_delay to those of the sound. muted: (start, end)
    in seconds of the sound where it has no packets; the times go on. more_audio: further sound
    tracks, like `audio`. rotation: degrees clockwise a player has to turn the picture, after
    mirroring it left to right if `mirrored`. timecode: of the first picture, as the container
    keeps it.
    """
    clip = clip or Clip()
    times = clip.times() if times is None else times
    options = {"strict": "-2"}  # opus and flac in mp4 once counted as experimental
    with av.open(str(path), "w", format=container, options=options) as output:
        if timecode:
            output.metadata["timecode"] = timecode
        name = VIDEO_CODECS.get(codec, codec)
        video = output.add_stream(name, rate=Fraction(clip.rate).limit_denominator(1001))
        video.width, video.height = clip.width, clip.height
        video.pix_fmt = "yuvj420p" if name == "mjpeg" else "yuv420p"
        video.options = FASTEST.get(name, {})
        video.codec_context.time_base = time_base
        if pixel_aspect is not None:
            video.codec_context.sample_aspect_ratio = pixel_aspect
        if rotation or mirrored:
            video.set_display_matrix(display_matrix(rotation, mirrored))
        sounds = [samples for samples in (audio, *more_audio) if samples is not None]
        tracks = [_add_audio(output, audio_codec, audio_rate, samples) for samples in sounds]
        scrolled, before = 0.0, times[0] if len(times) else 0.0
        for time in times:
            scrolled += clip.speed(before) * (time - before)
            before = time
            frame = av.VideoFrame.from_ndarray(clip.picture(time, scrolled), format="rgb24")
            frame.pts = round((time + start) / time_base)
            frame.time_base = time_base
            output.mux(video.encode(frame))
        output.mux(video.encode())
        for track, samples in zip(tracks, sounds, strict=True):
            _encode_audio(output, track, samples, audio_rate, start + audio_delay, muted)
    return path


def write_audio(
    path: Path,
    samples: NDArray[np.float32],
    rate: int = 44_100,
    codec: str = "wav",
    container: str | None = None,
    muted: Sequence[tuple[float, float]] = (),
) -> Path:
    """Write [channels, N] or [N] samples to `path` and return it. muted: as in `write_video`."""
    with av.open(str(path), "w", format=container, options={"strict": "-2"}) as output:
        stream = _add_audio(output, codec, rate, samples)
        _encode_audio(output, stream, samples, rate, 0.0, muted)
    return path


def write_song_with_cover(path: Path) -> Path:
    """An mp3 with sound and a cover picture, which FFmpeg shows as a video stream."""
    with av.open(str(path), "w") as output:
        sound = _add_audio(output, "mp3", 44_100, sine(1.0, 44_100))
        cover = output.add_stream("png", rate=1)
        cover.width = cover.height = 64
        cover.pix_fmt = "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        output.mux(cover.encode(image))
        output.mux(cover.encode())
        _encode_audio(output, sound, sine(1.0, 44_100), 44_100, 0.0)
    return path


def display_matrix(rotation: int, mirrored: bool = False) -> list[int]:
    """FFmpeg's nine numbers that make a player mirror, then turn by `rotation` clockwise."""
    cos = {0: 1, 90: 0, 180: -1, 270: 0}[rotation]
    sin = {0: 0, 90: 1, 180: 0, 270: -1}[rotation]
    flip = -1 if mirrored else 1
    one = 1 << 16
    return [flip * cos * one, flip * sin * one, 0, -sin * one, cos * one, 0, 0, 0, 1 << 30]


def sine(
    seconds: float, rate: int, pitch: float = 440.0, level: float = 0.5
) -> NDArray[np.float32]:
    """float32 [N]."""
    time = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * pitch * time)).astype(np.float32)


def clicks(
    seconds: float, beats: Sequence[float] | NDArray[np.float64], rate: int = 16_000
) -> NDArray[np.float32]:
    """A metronome over faint hiss: a 50 ms click at each of `beats` (seconds). float32 [N]."""
    count = round(seconds * rate)
    samples = np.random.default_rng(0).normal(0, 1e-4, count)
    time = np.arange(round(0.05 * rate)) / rate
    click = 0.5 * np.sin(2 * np.pi * 1000 * time) * np.exp(-time * 160)
    for beat in beats:
        at = round(beat * rate)
        piece = click[: max(0, count - at)]
        samples[at : at + len(piece)] += piece
    return samples.astype(np.float32)


def _add_audio(
    output: av.container.OutputContainer, codec: str, rate: int, samples: NDArray[np.float32]
) -> av.audio.AudioStream:
    channels = 1 if samples.ndim == 1 else len(samples)
    named = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}
    layout = named.get(channels, f"{channels} channels")
    stream = output.add_stream(AUDIO_CODECS.get(codec, codec), rate=rate)
    assert isinstance(stream, av.audio.AudioStream)
    stream.layout = layout
    if codec.startswith("wma"):  # it has no default
        stream.bit_rate = 64_000 * channels
    return stream


def _encode_audio(
    output: av.container.OutputContainer,
    stream: av.audio.AudioStream,
    samples: NDArray[np.float32],
    rate: int,
    start: float,
    muted: Sequence[tuple[float, float]] = (),
) -> None:
    planes = np.atleast_2d(samples).astype(np.float32)
    layout = stream.layout.name
    for at in range(0, planes.shape[1], 1024):
        if any(begin <= at / rate < end for begin, end in muted):
            continue
        block = planes[:, at : at + 1024].T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(block, format="flt", layout=layout)
        frame.sample_rate = rate
        frame.time_base = Fraction(1, rate)
        frame.pts = at + round(start * rate)
        output.mux(stream.encode(frame))
    output.mux(stream.encode())
