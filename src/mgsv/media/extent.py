"""Which pictures of a file are shown, and when: what a player does, not what the header says.

Headers can be wrong, and a file holds pictures that nobody sees: those that a trim without encoding
has left for others to refer to, and those at the start of a broadcast recording that refer to what
was not recorded.
"""

from __future__ import annotations

import contextlib
import enum
from dataclasses import dataclass
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from mgsv.errors import MediaError
from mgsv.files import StrPath
from mgsv.media.source import GEN_PTS, decoded, is_cut_off, open_media, packets, video_stream
from mgsv.media.timing import MAX_STILL, FrameClock, shown_for

# Packets among which to look for the first picture, all kept until then: 10 s between keyframes.
_PATIENCE = 1000


class Hidden(enum.Flag):
    """Which packets are decoded for others to refer to, but never shown.

    BEFORE the first picture's time; AFTER the last one's, but decoded before it; AMONG the rest.
    """

    NONE = 0
    BEFORE = enum.auto()
    AFTER = enum.auto()
    AMONG = enum.auto()


@dataclass(frozen=True, slots=True)
class Extent:
    """The part of a video stream that is shown.

    start: presentation time of the first picture, in ticks of `time_base` seconds. seconds: from
    there to the end of the last one. last: how long that one is shown. pictures: how many there
    are. timed: every packet says when it is shown, and the times can be trusted. packets: as many
    lead up to the last picture shown (those without data not counted). hidden: what is among them
    without being shown.
    """

    start: int
    time_base: Fraction
    seconds: float
    last: float
    pictures: int
    timed: bool
    packets: int
    hidden: Hidden

    @property
    def origin(self) -> float:
        """Presentation time of the first picture in seconds, on the clock the sound has too."""
        return float(self.start * self.time_base)

    @property
    def frame_rate(self) -> float:
        """Mean pictures per second."""
        return self.pictures / self.seconds


def read_extent(path: StrPath) -> Extent:
    """The extent of the file's main moving picture.

    Goes through the file once, decoding no more than the first pictures where the packets tell
    their times, everything where they do not. Raises `MediaError` if it is no video or none of it
    can be decoded.
    """
    with open_media(path) as container:
        return survey(container, video_stream(container, path), path)


def survey(container: InputContainer, stream: VideoStream, path: StrPath) -> Extent:
    """As `read_extent`, of an open file; `container` is at its end afterwards."""
    make_up_times(container, stream)
    tally = _Tally(stream)
    with contextlib.suppress(av.FFmpegError):  # cut short: what comes before the break counts
        for packet in packets(container, stream):
            tally.add(packet)
    extent = tally.extent()
    if extent is not None:
        return extent
    with open_media(path) as again:
        return _decoded_extent(again, video_stream(again, path), path)


def make_up_times(container: InputContainer, stream: VideoStream) -> None:
    """Have missing presentation times filled in where that gives the right ones.

    AVI files and DVDs have few of them. FFmpeg derives the others from the pictures' types, which
    it sees in these codecs; in later ones it would take the order of decoding for that of showing.
    """
    if stream.codec_context.name in ("mpeg1video", "mpeg2video", "mpeg4"):
        container.flags |= GEN_PTS


class Leading:
    """The packets before the first picture shown, one after the other."""

    def __init__(self) -> None:
        self._key: int | None = None  # presentation time of the latest keyframe

    def is_lost(self, packet: av.Packet[VideoStream], start: int) -> bool:
        """Whether `packet` refers to what is not there, so that no player shows it before `start`.

        To be called for every packet of the stream, in its order.
        """
        assert packet.pts is not None
        if packet.is_keyframe:
            self._key = packet.pts
            return False
        early = packet.pts < start and (self._key is None or packet.pts < self._key)
        return early and not packet.is_discard


class _Tally:
    """What is known of a stream from its packets so far."""

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self._waiting: list[av.Packet[VideoStream]] = []  # until the first picture comes out
        self._start: int | None = None
        self._trusted = True
        self._leading = Leading()
        self._dts: int | None = None  # of the packet before
        self._last: int | None = None
        self._end = Fraction(0)
        self._pictures = self._packets = self._shown_packets = 0
        self._hidden = Hidden.NONE
        self._unshown: int | None = None  # first time of the hidden since the last shown packet
        self._within: int | None = None  # first time of the hidden before it

    def add(self, packet: av.Packet[VideoStream]) -> None:
        if self._start is not None:
            self._count(packet)
        elif self._trusted:
            self._waiting.append(packet)
            self._look_for_first(packet)
            if len(self._waiting) > _PATIENCE:
                self._trusted = False
                self._waiting.clear()

    def extent(self) -> Extent | None:
        """None where the packets alone do not tell."""
        if not self._trusted or self._start is None or self._last is None:
            return None
        assert self._stream.time_base is not None
        hidden = self._hidden
        if self._within is not None:
            hidden |= Hidden.AFTER if self._within > self._last else Hidden.AMONG
        return Extent(
            self._start,
            self._stream.time_base,
            float((self._end - self._start) * self._stream.time_base),
            float((self._end - self._last) * self._stream.time_base),
            self._pictures,
            timed=True,
            packets=self._shown_packets,
            hidden=hidden,
        )

    def _look_for_first(self, packet: av.Packet[VideoStream]) -> None:
        if is_cut_off(packet):
            return
        try:
            frames = packet.decode()
        except av.FFmpegError:
            return
        if not frames:
            return
        self._start = frames[0].pts
        self._trusted = self._start is not None
        for early in self._waiting:
            self._count(early)
        self._waiting.clear()

    def _count(self, packet: av.Packet[VideoStream]) -> None:
        if not packet.size or is_cut_off(packet) or not self._trusted:
            return
        self._packets += 1
        if packet.pts is None or not self._follows(packet) or _is_packed(packet):
            self._trusted = False
            return
        assert self._start is not None
        lost = self._leading.is_lost(packet, self._start)
        if packet.pts < self._start:
            self._hidden |= Hidden.NONE if lost else Hidden.BEFORE
            return
        if packet.is_discard:
            self._unshown = _earlier(packet.pts, self._unshown)
            return
        self._pictures += 1
        self._shown_packets = self._packets
        if self._last is None or packet.pts > self._last:
            self._last = packet.pts
            self._end = packet.pts + shown_for(packet.duration, self._stream)
        if self._unshown is not None:
            self._within = _earlier(self._unshown, self._within)
            self._unshown = None

    def _follows(self, packet: av.Packet[VideoStream]) -> bool:
        """Whether the clock has gone on since the packet before, and not jumped."""
        before, self._dts = self._dts, packet.dts
        if before is None or packet.dts is None:
            return True
        assert self._stream.time_base is not None
        return 0 <= (packet.dts - before) * self._stream.time_base < MAX_STILL


def _is_packed(packet: av.Packet[VideoStream]) -> bool:
    """Whether it holds two pictures, as DivX does it in AVI: then its times are wrong."""
    if packet.stream.codec_context.name != "mpeg4":
        return False
    return bytes(packet).count(b"\0\0\1\xb6") > 1


def _earlier(time: int, other: int | None) -> int:
    return time if other is None else min(time, other)


def _decoded_extent(container: InputContainer, stream: VideoStream, path: StrPath) -> Extent:
    """The extent by decoding every picture."""
    clock, pictures = FrameClock(stream), 0
    for frame in decoded(container, stream):
        if isinstance(frame, av.VideoFrame):
            pictures += clock.place(frame) is not None
    if not pictures:
        raise MediaError(path, "none of its frames can be decoded", "get or export it again")
    assert stream.time_base is not None
    return Extent(
        clock.start,
        stream.time_base,
        clock.seconds(clock.end),
        clock.seconds(clock.end - clock.last),
        pictures,
        timed=False,
        packets=0,
        hidden=Hidden.NONE,
    )
