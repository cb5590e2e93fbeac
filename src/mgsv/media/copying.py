"""A clip's pictures on their way into a new file packet by packet, as they are.

Times in the new file count from the first picture that is shown; everything else about them, a
variable frame rate included, stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream

from mgsv.media.extent import Extent, Hidden, Leading, make_up_times
from mgsv.media.source import packets
from mgsv.media.timing import shown_for

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""FFmpeg's writer for each ending an output may have."""

_MP4 = frozenset({"h264", "hevc", "mpeg4", "av1", "libdav1d", "libaom-av1"})
PICTURES = {
    "mp4": _MP4,
    "mov": frozenset({"h264", "hevc", "mpeg4", "mjpeg", "prores"}),
    "matroska": _MP4
    | {"vp8", "vp9", "libvpx", "libvpx-vp9", "mpeg2video", "theora", "mjpeg", "ffv1"},
}
"""Codecs (by decoder) of pictures that go into a container untouched: what players expect to find
there, which for mp4 is less than the format allows."""

LEAVES_OUT = {
    "mp4": Hidden.BEFORE | Hidden.AFTER,
    "mov": Hidden.BEFORE | Hidden.AFTER,
    "matroska": Hidden.NONE,
}
"""What may lead up to the last picture without being shown: QuickTime's edit lists leave it out."""

Timed = tuple[float, "av.Packet[Any]"]
"""A packet and when it is due, in seconds."""


def obstacle(stream: VideoStream, extent: Extent, suffix: str) -> str | None:
    """Why a file of that ending cannot take the pictures as they are; None if it can."""
    container, codec = CONTAINERS[suffix], stream.codec_context.name
    if codec not in PICTURES[container]:
        return f"players do not expect {codec} in {suffix} files"
    if not extent.timed:
        return "its pictures' times are missing or out of order"
    if extent.hidden & ~LEAVES_OUT[container]:
        return f"a copy in {suffix} would show pictures that were trimmed away"
    return None


def copy_pictures(
    container: InputContainer,
    stream: VideoStream,
    extent: Extent,
    output: OutputContainer,
    *,
    plain: bool = False,
) -> Iterator[Timed]:
    """The packets as they are, moved to start at 0; adds the stream to `output` at once.

    plain: without what cameras put between the pictures of H.264, such as date and place; decoding
        does not need it.
    """
    # All a header says about the stream comes along, side data such as the rotation included.
    target = output.add_stream_from_template(stream, opaque=True)
    if stream.codec_context.name == "hevc" and output.format.name in ("mp4", "mov"):
        target.codec_context.codec_tag = "hvc1"  # Apple's players take no other
    copied = _copied(container, stream, extent, target)
    if not plain or stream.codec_context.name != "h264":
        return copied
    # The filter writes the packets in another form, which the target's header has to tell.
    strip = BitStreamFilterContext("filter_units=remove_types=6", stream, target)
    target.codec_context.codec_tag = "\0\0\0\0"  # the muxer's choice, not the source's
    return _filtered(copied, strip, target)


def _filtered(
    copied: Iterator[Timed], through: BitStreamFilterContext, target: VideoStream
) -> Iterator[Timed]:
    for due, packet in copied:
        for left in through.filter(packet):
            left.stream = target
            yield due, left


def _copied(
    container: InputContainer, stream: VideoStream, extent: Extent, target: VideoStream
) -> Iterator[Timed]:
    make_up_times(container, stream)
    source = packets(container, stream)
    count, leading = 0, Leading()
    while count < extent.packets:
        try:
            packet = next(source)
        except (StopIteration, av.FFmpegError):
            return
        if not packet.size:
            continue
        count += 1
        if leading.is_lost(packet, extent.start):
            continue
        assert packet.pts is not None
        packet.pts -= extent.start
        if packet.dts is not None:
            packet.dts -= extent.start
        if not packet.duration:
            packet.duration = round(shown_for(None, stream))
        due = packet.pts if packet.dts is None else packet.dts
        seconds = float(due * packet.time_base)
        packet.stream = target
        yield seconds, packet
