"""The one door through which media files are opened: plain local files in known formats.

FFmpeg takes far more than files: addresses, devices, and scripts (playlists, concat lists,
manifests) that name further files to open, recognised by content, so an `.mp4` name proves nothing.
Here FFmpeg never sees a path. It reads from a Python file object, may recognise only self-contained
formats, and a request for anything further (QuickTime's external references, say) is answered with
an empty file.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import stat
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mgsv.errors import MediaError
from mgsv.media.extensions import STILL_EXTENSIONS
from mgsv.portable import open_to_read, seeker

# Demuxers that read one file. Not here, on purpose: hls, dash, concat, sdp, rtsp, image2 (file
# sequences), vobsub, lavfi (runs filter scripts), devices, subtitles and still images.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,mpegvideo,avi,flv,asf,ogg,nut,mxf,dv,"
    "h264,hevc,ivf,m4v,gif,rm,wav,w64,mp3,flac,aac,aiff,au,caf,ac3,eac3,dts,amr,ape,wv,tta,tak,"
    "mpc,mpc8,dsf,apng"
)
# Those whose files may be put one after the other, each part with a clock of its own. They have no
# header; their duration is that of the last timestamp.
SPLICED = frozenset({"mpegts", "mpeg", "ogg"})
# Demuxers of one still picture each, for `pictures` alone. No SVG, which is a program.
STILL_FORMATS = "jpeg_pipe,png_pipe,webp_pipe,bmp_pipe,tiff_pipe"
_STILLS = STILL_EXTENSIONS | {
    "jp2",
    "jxl",
    "ppm",
    "pgm",
    "pbm",
    "tga",
    "gif",
    "avif",
    "heic",
    "svg",
}
# 8192 x 8192, twice 8K UHD (7680 x 4320). A few header bytes can claim any size, and a decoder
# allocates what they claim: 100 MB per picture here, for each of the pictures in flight.
MAX_PIXELS = 8192 * 8192
# Bytes in a second of the slowest media: FLAC's silence, say, takes ten. What claims to last longer
# has a damaged header.
LEAST_BYTES = 1
# FFmpeg's flag, which PyAV sets, for making up presentation times where a file has none. What it
# makes up for pictures that are stored out of order is wrong.
GEN_PTS = 0x0001
# Fewer turns of the interpreter's lock than with PyAV's 32 KiB.
READ_BYTES = 256 * 1024

_OPTIONS = {
    "protocol_whitelist": "none",  # no protocol has this name, so none is allowed
    "max_pixels": str(MAX_PIXELS),
}
_SIGNATURE = 32  # bytes of a file that tell a picture
_WEBP_MOVES = 0x02  # among the flags of its extended form
_STILL_SIGNATURES = (
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"RIFF....WEBP", "WebP"),
    (rb"II\*\0|MM\0\*", "TIFF"),
    (rb"BM.{4}\0{4}", "BMP"),
)
_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)")
_PROBLEMS = {
    errno.ENOENT: ("there is no such file", "check the name"),
    errno.ENOTDIR: ("there is no such file", "check the name"),
    errno.ENAMETOOLONG: ("its name is too long", "check the name"),
    errno.ELOOP: ("its symbolic links form a loop", "give the file itself"),
    errno.EACCES: ("it may not be read", "change its permissions"),
    errno.EPERM: ("it may not be read", "change its permissions"),
}


@contextlib.contextmanager
def open_media(path: str | os.PathLike[str], formats: str = FORMATS) -> Iterator[InputContainer]:
    """Open the plain local file `path` for reading and close it at the end of the `with` block.

    Raises `MediaError` for anything but a readable, non-empty, regular file in one of `formats`,
    and turns FFmpeg errors that leave the block into one as well.
    """
    with _open_regular(path) as file:
        try:
            container = av.open(
                file,
                options=_OPTIONS | {"format_whitelist": formats},
                buffer_size=READ_BYTES,
                io_open=_nothing,
                metadata_errors="replace",
            )
        except (av.FFmpegError, ValueError) as error:
            file.seek(0, os.SEEK_SET)
            raise MediaError(path, *_unreadable(file.read(_SIGNATURE))) from error
        assert isinstance(container, InputContainer)
        container.flags &= ~GEN_PTS
        with container:
            try:
                yield container
            except av.FFmpegError as error:
                raise MediaError(
                    path,
                    f"it cannot be decoded ({error.strerror})",
                    "the file is damaged; get or export it again",
                ) from error


def video_stream(container: InputContainer, path: str | os.PathLike[str]) -> VideoStream:
    """The container's main moving picture; raises `MediaError` if it has none or an absurd one.

    Cover art in music files is stored as a video stream too, and is not one.
    """
    streams = [s for s in container.streams.video if Disposition.attached_pic not in s.disposition]
    if not streams:
        raise MediaError(path, "it has no moving picture", "give a video file")
    best = container.streams.best("video")
    stream = next((s for s in streams if best is not None and s.index == best.index), streams[0])
    context: Any = stream.codec_context  # None without a decoder, whatever the stubs say
    if context is None:
        raise MediaError(path, "its video codec is not known here", "convert it to mp4 (h264)")
    width, height = stream.width, stream.height
    if not width or not height:
        raise MediaError(path, "it holds no readable picture", "get or export it again")
    if width * height > MAX_PIXELS:
        raise MediaError(
            path,
            f"it claims pictures of {width} x {height}, more than {MAX_PIXELS} pixels",
            "scale the video down first",
        )
    context.options = {"max_pixels": str(MAX_PIXELS)}  # the size may change along the stream
    stream.thread_type = "AUTO"
    return stream


def claimed_duration(container: InputContainer, stream: Stream) -> float:
    """Seconds that `stream` lasts according to the header; 0 if it does not tell.

    Headers can be wrong, so this serves as a hint and to notice files that are cut short. A claim
    of more than the file can hold counts as none.
    """
    own = own_duration(container, stream)
    if own is not None:
        return own
    ticks = container.duration or 0
    if _is_matroska(container):  # its duration is the time of the end
        ticks -= container.start_time or 0
    return _credible(container, ticks / av.time_base) or 0.0


def promised_after(container: InputContainer, stream: Stream, first: float) -> float:
    """Seconds from `first`, where `stream` begins to be shown, to its end by the header.

    first: a presentation time in seconds. 0 where the header does not tell the end. A stream may
    begin late, which headers count in or not; and where they tell the end of the whole file too,
    as after a trim that left the stream as it was, the earlier one counts.
    """
    ends = []
    own = own_duration(container, stream)
    if own is not None and stream.time_base is not None:
        ends.append(float((stream.start_time or 0) * stream.time_base) + own)
    whole = _credible(container, (container.duration or 0) / av.time_base)
    if whole:
        # In Matroska and QuickTime this is the time of the end.
        from_zero = _is_matroska(container) or "mov" in container.format.name
        begin = 0 if from_zero else container.start_time or 0
        ends.append(begin / av.time_base + whole)
    return max(0.0, min(ends) - first) if ends else 0.0


def own_duration(container: InputContainer, stream: Stream) -> float | None:
    """Seconds that the header claims for `stream` alone; None where it tells of the whole only."""
    if stream.time_base is None:
        return None
    if _is_matroska(container) and (end := _CLOCK.fullmatch(stream.metadata.get("DURATION", ""))):
        hours, minutes, seconds = map(float, end.groups())
        start = float((stream.start_time or 0) * stream.time_base)
        return _credible(container, 3600 * hours + 60 * minutes + seconds - start)
    if stream.duration is not None:
        return _credible(container, float(stream.duration * stream.time_base))
    return None


def _credible(container: InputContainer, seconds: float) -> float | None:
    """`seconds`, at least 0; None where the file is too small for them."""
    return max(0.0, seconds) if seconds <= container.size / LEAST_BYTES else None


def _is_matroska(container: InputContainer) -> bool:
    return "matroska" in container.format.name


def packets(container: InputContainer, stream: Stream) -> Iterator[av.Packet[Any]]:
    """The packets of `stream` in order, and an empty one that makes its decoder finish.

    Raises `av.FFmpegError` where the container itself is broken.
    """
    source = container.demux(stream)
    finished = False
    while True:
        try:
            packet = next(source)
        except StopIteration:
            return
        except IndexError:  # PyAV's, at the end, where a stream has come up that was not announced
            if not finished:
                packet = av.Packet()
                packet.stream, packet.time_base = stream, stream.time_base or Fraction(1)
                yield packet
            return
        finished = not packet.size
        yield packet


def decoded(
    container: InputContainer,
    stream: VideoStream | AudioStream,
    decoder: VideoCodecContext | None = None,
) -> Iterator[VideoFrame | AudioFrame | None]:
    """Decoded frames of `stream` in order; None in the place of what cannot be decoded.

    decoder: the one to use in the place of the stream's own.
    """
    source = packets(container, stream)
    while True:
        try:
            packet = next(source)
        except StopIteration:
            return
        except av.FFmpegError:  # the container itself is broken from here on
            yield None
            return
        if is_cut_off(packet):
            yield None
            continue
        try:
            frames = packet.decode() if decoder is None else decoder.decode(packet)
        except av.FFmpegError:
            yield None
            continue
        for frame in frames:
            assert isinstance(frame, VideoFrame | AudioFrame)
            yield frame


def is_cut_off(packet: av.Packet[Any]) -> bool:
    """Whether the file ends within this packet of a picture.

    Not for a decoder: PyAV would lose the frames that are still in it together with this one. In
    MPEG transport streams the same flag means that something was lost, and most of it decodes.
    """
    stream = packet.stream
    return packet.is_corrupt and stream.type == "video" and stream.container.format.name != "mpegts"


def _open_regular(path: str | os.PathLike[str]) -> io.FileIO:
    """Open `path` for reading if it is a regular file with something in it.

    Asked before opening, since opening a device can have effects, and again afterwards, since the
    name may mean something else by then; without blocking, since a FIFO waits for its writer.
    """
    try:
        _require_regular(path, Path(path).stat())
        descriptor = open_to_read(path)
    except OSError as error:
        unknown = (f"it cannot be opened ({error.strerror})", "check the file")
        raise MediaError(path, *_PROBLEMS.get(error.errno or 0, unknown)) from error
    except ValueError as error:  # a NUL in the name
        raise MediaError(path, "this is not a file name", "check the name") from error
    # Unbuffered, since FFmpeg buffers; and written in C throughout, since a Ctrl-C that arrives in
    # Python code called back from FFmpeg is lost.
    file = io.FileIO(descriptor, "rb")
    try:
        _require_regular(path, os.fstat(descriptor))
        # Damaged files ask for places that no file can have. Python's own seek would raise; PyAV
        # puts what is raised inside a callback by, and prints it or raises it later, in another
        # file's turn if need be.
        file.seek = seeker(descriptor)  # type: ignore[method-assign]
        # FFmpeg uses a name only to guess the format by its ending. A picture's would lead it to
        # its reader of file sequences, which opens files by itself, and whose refusal crashes.
        suffix = Path(path).suffix.lower()
        file.name = "media" + ("" if suffix.removeprefix(".") in _STILLS else suffix)
    except BaseException:
        file.close()
        raise
    return file


def _require_regular(path: str | os.PathLike[str], status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise MediaError(path, "it is a folder", "give a media file")
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(path, "it is not a regular file", "copy its content into one")
    if status.st_size == 0:
        raise MediaError(path, "the file is empty", "get or export it again")


def _unreadable(head: bytes) -> tuple[str, str]:
    """Problem and remedy of a file that begins with `head` and cannot be opened."""
    if head.startswith(b"RIFF") and head[8:16] == b"WEBPVP8X" and head[20] & _WEBP_MOVES:
        return "it is an animated WebP, which cannot be decoded here", "convert it to mp4 or gif"
    for pattern, kind in _STILL_SIGNATURES:
        if re.match(pattern, head, re.DOTALL):
            return f"it is a still picture ({kind})", "give a video or a music file"
    return (
        "it is not a media file, or is damaged or incomplete",
        "see whether it plays elsewhere, and export or convert it to mp4, mp3, flac or wav",
    )


def _nothing(_url: str, _flags: int, _options: dict[str, str]) -> io.BytesIO:
    """What FFmpeg gets when a media file asks for another one to be opened.

    Not an exception: PyAV prints a second one that is raised before it could report the first.
    """
    return io.BytesIO()
