"""A clip's pictures on their way into a new file packet by packet, as they are.

Times in the new file count from the first picture that is shown; everything else about them, a
variable frame rate included, stays.
"""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream

from mgsv.media.extent import Extent, make_up_times

Timed = tuple[float, "av.Packet[VideoStream] | av.Packet[av.AudioStream]"]
"""A packet and when it is due, in seconds."""


def copy_pictures(
    container: InputContainer, stream: VideoStream, extent: Extent, output: OutputContainer
) -> Iterator[Timed]:
    """The packets as they are, moved to start at 0; adds the stream to `output` at once."""
    # All a header says about the stream comes along, side data such as the rotation included.
    target = output.add_stream_from_template(stream, opaque=True)
    if stream.codec_context.name == "hevc" and output.format.name in ("mp4", "mov"):
        target.codec_context.codec_tag = "hvc1"  # Apple's players take no other
    return _copied(container, stream, extent, target)


def _copied(
    container: InputContainer, stream: VideoStream, extent: Extent, target: VideoStream
) -> Iterator[Timed]:
    make_up_times(container, stream)
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError):
            return
        if not packet.size:
            continue
        assert packet.pts is not None
        packet.pts -= extent.start
        if packet.dts is not None:
            packet.dts -= extent.start
        due = packet.pts if packet.dts is None else packet.dts
        seconds = float(due * packet.time_base)
        packet.stream = target
        yield seconds, packet
