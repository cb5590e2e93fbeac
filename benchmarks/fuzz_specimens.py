"""Small real files to start from, of every container and codec that PyAV can write.

Less than a second each, 64 x 48 pixels where the codec can go so low, so that thousands of variants
of them can be decoded in minutes.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

SECONDS = 0.8
os.environ.setdefault("SVT_LOG", "1")  # errors alone: the AV1 encoder is talkative


@dataclass(frozen=True)
class Recipe:
    """How to make a specimen.

    name: with the ending that such files have. container: FFmpeg's writer. video, audio: encoders,
    "" for none. layout: of the sound. rate: Hz. size, fps, pixels: of the picture. options: of the
    container.
    """

    name: str
    container: str
    video: str = ""
    audio: str = ""
    layout: str = "stereo"
    rate: int = 44_100
    size: tuple[int, int] = (64, 48)
    fps: int = 12
    pixels: str = "yuv420p"
    options: tuple[tuple[str, str], ...] = ()

    @property
    def format(self) -> str:
        """What the results are counted under."""
        return self.name.rpartition(".")[0]


SHORT_PAGES = (("page_duration", "100000"),)

RECIPES = (
    Recipe("mp4-h264-aac.mp4", "mp4", "libx264", "aac"),
    Recipe("mp4-hevc-aac51.mp4", "mp4", "libx265", "aac", layout="5.1"),
    Recipe("mp4-av1-opus.mp4", "mp4", "libsvtav1", "libopus", rate=48_000),
    Recipe(
        "mp4-fragmented.mp4",
        "mp4",
        "mpeg4",
        "aac",
        options=(("movflags", "frag_keyframe+empty_moov"),),
    ),
    Recipe("mov-prores-pcm.mov", "mov", "prores_ks", "pcm_s16be", pixels="yuv422p10le"),
    Recipe("mov-qtrle-alac.mov", "mov", "qtrle", "alac", pixels="rgb24"),
    Recipe(
        "mov-mjpeg-pcm71.mov",
        "mov",
        "mjpeg",
        "pcm_s24le",
        layout="7.1",
        rate=16_000,
        pixels="yuvj420p",
    ),
    Recipe("3gp-h263-amr.3gp", "3gp", "h263", "libopencore_amrnb", "mono", 8000, (128, 96)),
    Recipe("mkv-vp9-opus.mkv", "matroska", "libvpx-vp9", "libopus", rate=48_000),
    Recipe("mkv-h264-flac.mkv", "matroska", "libx264", "flac"),
    Recipe("mkv-ffv1-vorbis.mkv", "matroska", "ffv1", "vorbis"),
    Recipe("avi-cinepak-ac3.avi", "avi", "cinepak", "ac3", pixels="rgb24", rate=48_000),
    Recipe("webm-vp8-vorbis.webm", "webm", "libvpx", "vorbis"),
    Recipe("avi-mpeg4-mp3.avi", "avi", "mpeg4", "libmp3lame"),
    Recipe("avi-huffyuv-adpcm.avi", "avi", "huffyuv", "adpcm_ms", pixels="yuv422p"),
    Recipe("wmv-wmv2-wmav2.wmv", "asf", "wmv2", "wmav2"),
    Recipe("ts-h264-aac.ts", "mpegts", "libx264", "aac"),
    Recipe("ts-mpeg2-mp2.ts", "mpegts", "mpeg2video", "mp2", rate=48_000, fps=25),
    Recipe("mpg-mpeg1-mp2.mpg", "mpeg", "mpeg1video", "mp2", fps=25),
    Recipe("flv-flv1-mp3.flv", "flv", "flv", "libmp3lame"),
    Recipe("gif.gif", "gif", "gif", pixels="rgb8", fps=10),
    Recipe("apng.apng", "apng", "apng", pixels="rgba", fps=10),
    Recipe("mxf-mpeg2-pcm.mxf", "mxf", "mpeg2video", "pcm_s16le", "mono", 48_000, fps=25),
    Recipe("nut-mpeg4-flac.nut", "nut", "mpeg4", "flac"),
    Recipe("rm-rv10-ac3.rm", "rm", "rv10", "ac3", rate=48_000),
    Recipe("ivf-vp8.ivf", "ivf", "libvpx"),
    Recipe("h264.h264", "h264", "libx264"),
    Recipe("wav-pcm.wav", "wav", "", "pcm_s16le"),
    Recipe("wav-float51.wav", "wav", "", "pcm_f32le", layout="5.1", rate=16_000),
    Recipe("wav-adpcm.wav", "wav", "", "adpcm_ima_wav"),
    Recipe("w64.w64", "w64", "", "pcm_s16le"),
    Recipe("aiff.aiff", "aiff", "", "pcm_s16be"),
    Recipe("au.au", "au", "", "pcm_s16be"),
    Recipe("caf-alac.caf", "caf", "", "alac"),
    Recipe("flac.flac", "flac", "", "flac"),
    Recipe("flac71.flac", "flac", "", "flac", layout="7.1", rate=16_000),
    Recipe("mp3.mp3", "mp3", "", "libmp3lame"),
    Recipe("ogg-vorbis.ogg", "ogg", "", "vorbis", options=SHORT_PAGES),
    Recipe("ogg-opus51.opus", "ogg", "", "libopus", "5.1", 48_000, options=SHORT_PAGES),
    Recipe("ogg-flac.oga", "ogg", "", "flac", options=SHORT_PAGES),
    Recipe("m4a-aac.m4a", "ipod", "", "aac"),
    Recipe("m4a-alac.m4a", "ipod", "", "alac"),
    Recipe("mka-wavpack.mka", "matroska", "", "wavpack"),
    Recipe("wma-wmav1.wma", "asf", "", "wmav1"),
    Recipe("wma-wmav2.wma", "asf", "", "wmav2"),
    Recipe("aac.aac", "adts", "", "aac"),
    Recipe("ac3.ac3", "ac3", "", "ac3", layout="5.1", rate=48_000),
    Recipe("eac3.eac3", "eac3", "", "eac3", rate=48_000),
    Recipe("amr.amr", "amr", "", "libopencore_amrnb", "mono", 8000),
    Recipe("tta.tta", "tta", "", "tta"),
    Recipe("wv.wv", "wv", "", "wavpack"),
)


@dataclass(frozen=True)
class Specimen:
    """A file to mutate."""

    format: str
    ending: str
    is_video: bool
    data: bytes


def specimens(folder: Path) -> list[Specimen]:
    """All of them; made in `folder` unless they lie there."""
    found = []
    for recipe in RECIPES:
        path = folder / recipe.name
        if not path.exists():
            partial = path.with_name(f"partial-{path.name}")
            write(recipe, partial)
            partial.replace(path)
        found.append(Specimen(recipe.format, path.suffix, bool(recipe.video), path.read_bytes()))
    found.append(Specimen("dsf", ".dsf", False, dsf()))
    return found


def write(recipe: Recipe, path: Path) -> Path:
    """Write the file that `recipe` describes, as FFmpeg does by itself."""
    with av.open(str(path), "w", format=recipe.container, options=dict(recipe.options)) as output:
        video = audio = None
        if recipe.video:
            video = output.add_stream(recipe.video, rate=Fraction(recipe.fps))
            assert isinstance(video, av.VideoStream)
            video.width, video.height = recipe.size
            video.pix_fmt = recipe.pixels
            fast = {"libx264": {"preset": "ultrafast"}, "libsvtav1": {"preset": "13"}}
            fast["libx265"] = {"preset": "ultrafast", "x265-params": "log-level=none"}
            video.options = fast.get(recipe.video, {})
        if recipe.audio:
            audio = output.add_stream(recipe.audio, rate=recipe.rate)
            assert isinstance(audio, av.AudioStream)
            audio.layout = recipe.layout
            audio.codec_context.options = {"strict": "-2"}
            if recipe.audio.startswith("wma"):
                audio.codec_context.bit_rate = 96_000
        if video is not None:
            for frame in pictures(recipe):
                output.mux(video.encode(frame))
            output.mux(video.encode())
        if audio is not None:
            for sound in blocks(recipe):
                output.mux(audio.encode(sound))
            output.mux(audio.encode())
    return path


def pictures(recipe: Recipe) -> Iterator[av.VideoFrame]:
    """Two shots of random tiles that scroll."""
    width, height = recipe.size
    random = np.random.default_rng(0)
    tiles = random.integers(0, 256, (2, 6, 8, 3), np.uint8)
    rows, columns = np.arange(height) * 6 // height, np.arange(width) * 8 // width
    count = round(SECONDS * recipe.fps)
    for number in range(count):
        image = np.roll(tiles[2 * number // count][rows][:, columns], number, axis=1)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame = frame.reformat(format=recipe.pixels)
        frame.pts, frame.time_base = number, Fraction(1, recipe.fps)
        yield frame


def blocks(recipe: Recipe) -> Iterator[av.AudioFrame]:
    """Chords with a beat."""
    samples = tune(recipe.rate)
    channels = len(av.AudioLayout(recipe.layout).channels)
    for at in range(0, len(samples), 1024):
        block = np.repeat(samples[at : at + 1024], channels)[None]
        frame = av.AudioFrame.from_ndarray(block, format="flt", layout=recipe.layout)
        frame.sample_rate, frame.time_base = recipe.rate, Fraction(1, recipe.rate)
        frame.pts = at
        yield frame


def tune(rate: int, seconds: float = SECONDS) -> NDArray[np.float32]:
    """float32 [N]: chords that change four times a second, and a little noise."""
    random = np.random.default_rng(1)
    time = np.arange(round(seconds * rate)) / rate
    pitches = 110 * 2 ** (random.integers(0, 36, (round(seconds * 4) + 1, 3)) / 12)
    step = (time * 4).astype(int)
    chord = np.sin(2 * np.pi * pitches[step] * time[:, None]).sum(axis=1) / 3
    noise = random.normal(0, 0.02, len(time))
    return np.asarray(0.5 * chord * np.exp(-4 * (time * 4 % 1) / 4) + noise, np.float32)


def dsf() -> bytes:
    """DSD, which FFmpeg cannot write: one second of a tone at 1 bit, stereo, 2.8 MHz."""
    rate, block = 2_822_400, 4096
    blocks = rate // 5 // 8 // block
    bits = np.random.default_rng(2).integers(0, 256, (blocks, 2, block), np.uint8)
    body = bits.tobytes()
    fmt = struct.pack(
        "<4sQIIIIIIQII", b"fmt ", 52, 1, 0, 2, 2, rate, 1, blocks * block * 8, block, 0
    )
    data = struct.pack("<4sQ", b"data", 12 + len(body)) + body
    head = struct.pack("<4sQQQ", b"DSD ", 28, 28 + len(fmt) + len(data), 0)
    return head + fmt + data
