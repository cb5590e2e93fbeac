"""Whether this machine's FFmpeg can do what the package needs: tried, not looked up."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction

import av
import av.error
import numpy as np
from av.container import OutputContainer

DECODERS = (
    *("h264", "hevc", "vp8", "vp9", "libdav1d", "mpeg4", "mpeg2video", "theora"),
    *("aac", "mp3float", "opus", "vorbis", "flac", "alac", "wmav2"),
)
FILTERS = ("ebur128", "volume", "alimiter", "afade", "sidechaincompress", "amix", "aresample")


def check_codecs() -> dict[str, str]:
    """What is checked → "works", or why not. The encoders write a short file that is read back."""
    outcome = {
        f"decode {name}": "works" if name in av.codecs_available else "missing" for name in DECODERS
    }
    for name, encode in {"h264": _encode_video, "aac": _encode_audio}.items():
        try:
            works = _reads_back(encode)
            outcome[f"encode {name}"] = "works" if works else "reads back as nothing"
        except (av.error.FFmpegError, ValueError) as error:
            outcome[f"encode {name}"] = f"fails: {error}"
    return outcome | {
        f"filter {name}": "works" if name in av.filter.filters_available else "missing"
        for name in FILTERS
    }


def ffmpeg_versions() -> dict[str, str]:
    """PyAV's version and those of the FFmpeg libraries inside it."""
    libraries = {
        name: ".".join(map(str, version)) for name, version in sorted(av.library_versions.items())
    }
    return {"av": av.__version__} | libraries


def _reads_back(encode: Callable[[OutputContainer], None]) -> bool:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        encode(output)
    file.seek(0)
    with av.open(file, "r") as written:
        return any(True for _ in written.decode(written.streams[0]))


def _encode_video(output: OutputContainer) -> None:
    stream = output.add_stream("libx264", rate=Fraction(10))
    stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
    for value in range(0, 250, 50):
        picture = np.full((64, 64, 3), value, np.uint8)
        output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    output.mux(stream.encode(None))


def _encode_audio(output: OutputContainer) -> None:
    stream = output.add_stream("aac", rate=48_000, layout="stereo")
    tone = np.sin(np.arange(9600) * 0.05).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]), format="fltp")
    frame.sample_rate = 48_000
    output.mux(stream.encode(frame))
    output.mux(stream.encode(None))
