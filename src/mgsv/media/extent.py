"""Which pictures of a file are shown, and when."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from mgsv.errors import MediaError
from mgsv.media.output import StrPath

_DEFAULT_RATE = Fraction(25)
_MAX_RATE = 1000  # frames per second; a header that claims more is wrong


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a video stream lies in time, from its packets, as headers can be wrong.

    start: presentation time of the first picture, in the stream's time base. seconds: from there to
    the end of the last one. timed: every packet says when it is shown, so that it can be copied.
    """

    start: int
    seconds: float
    timed: bool


def survey(container: InputContainer, stream: VideoStream, path: StrPath) -> Extent:
    """Go through the packets of `stream` without decoding; `container` is at its end afterwards."""
    assert stream.time_base is not None
    step = round(1 / (claimed_rate(stream) * stream.time_base))
    first: int | None = None
    end, count, timed = 0, 0, True
    with contextlib.suppress(av.FFmpegError):  # cut short: what comes before the break counts
        for packet in container.demux(stream):
            if not packet.size:
                continue
            count += 1
            if packet.pts is None:
                timed = False
                continue
            if not packet.is_discard:  # decoded for others to refer to, but never shown
                first = packet.pts if first is None else min(first, packet.pts)
                end = max(end, packet.pts + (packet.duration or step))
    if not count:
        raise MediaError(path, "it holds no pictures", "the file is damaged; export it again")
    if first is None or not timed:
        return Extent(0, count * float(1 / claimed_rate(stream)), timed=False)
    return Extent(first, float((end - first) * stream.time_base), timed)


def claimed_rate(stream: VideoStream) -> Fraction:
    """Frames per second, for want of timestamps and as a hint to the encoder."""
    rate = stream.average_rate or stream.guessed_rate or _DEFAULT_RATE
    return rate if 0 < rate <= _MAX_RATE else _DEFAULT_RATE
