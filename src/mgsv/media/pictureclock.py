"""When a file shows its pictures, from its packets; nothing but the first picture is decoded.

Time 0 is the first picture, and clocks that are reset go on where they were, as in `video`: the
sound of the same file is laid along this.
"""

from __future__ import annotations

import contextlib
import math
import os
from dataclasses import dataclass
from typing import NamedTuple

import av
from av.video.stream import VideoStream

from mgsv.media.source import open_media, packets, video_stream
from mgsv.media.timing import FALLBACK_FRAME_RATE, MAX_BACK, MAX_STILL

NEAR = 10.0
"""Seconds before and after a run of pictures in which sound still belongs to it."""


class PictureRun(NamedTuple):
    """Pictures between two resets of the file's clock.

    first, last: presentation times at which its first picture begins and its last one ends, in
    seconds. zero: what the presentation time of the clip's first picture would be on this clock.
    """

    first: float
    last: float
    zero: float


@dataclass(frozen=True, slots=True)
class PictureClock:
    """runs: in order; none where the file has no times. seconds: until the last picture ends."""

    runs: tuple[PictureRun, ...]
    seconds: float

    def run_at(self, time: float, since: int = 0) -> int | None:
        """The number of the run that sound of the presentation time `time` goes with.

        That is the first one from `since` on whose pictures are shown then or nearly so; None where
        there is none.
        """
        for number, run in enumerate(self.runs[since:], since):
            if run.first - NEAR <= time <= run.last + NEAR:
                return number
        return None

    def place(self, time: float) -> float:
        """Seconds after the first picture (negative: before) of the presentation time `time`."""
        if not self.runs:
            return 0.0
        return time - self.runs[self.run_at(time) or 0].zero


def read_picture_clock(path: str | os.PathLike[str], most: float = math.inf) -> PictureClock:
    """Go through the file `path`, or until its pictures last longer than `most` seconds.

    Raises `MediaError` if it is no readable video.
    """
    with open_media(path) as container:
        stream = video_stream(container, path)
        collector = _Collector(stream)
        with contextlib.suppress(av.FFmpegError):  # cut short: what comes before the break counts
            for packet in packets(container, stream):
                collector.add(packet)
                if collector.seconds > most:
                    break
    return collector.clock()


class _Collector:
    def __init__(self, stream: VideoStream) -> None:
        rate = float(stream.average_rate or 0)
        self._step = 1 / rate if rate > 0 else float(1 / FALLBACK_FRAME_RATE)
        self._spans: list[list[float]] = []  # [first, last] of each run
        self._before = 0.0  # seconds of the runs before the present one
        self._previous = 0.0  # time of the previous packet, in the order of decoding
        self._untimed = 0
        self._seen: float | None = None  # time of the first picture that can be decoded

    @property
    def seconds(self) -> float:
        """How long the pictures last so far."""
        if not self._spans:
            return self._untimed * self._step
        first, last = self._spans[-1]
        return self._before + last - first

    def add(self, packet: av.Packet[VideoStream]) -> None:
        if self._seen is None and packet.pts is not None:
            with contextlib.suppress(av.FFmpegError):
                for frame in packet.decode():
                    if not frame.is_corrupt and self._seen is None:
                        self._seen = frame.time
        if not packet.size or packet.is_discard:  # decoded for others to refer to, never shown
            return
        shown = packet.dts if packet.pts is None else packet.pts
        if shown is None:
            self._untimed += 1
            return
        base = float(packet.time_base)
        time = place = shown * base
        if packet.dts is not None and abs(packet.dts - shown) * base < NEAR:
            place = packet.dts * base  # always grows, as long as the clock goes on
        end = time + (packet.duration * base if packet.duration else self._step)
        if not self._spans or not self._previous - MAX_BACK < place < self._previous + MAX_STILL:
            if self._spans:
                self._before = self.seconds
            self._spans.append([time, end])
        span = self._spans[-1]
        span[0], span[1], self._previous = min(span[0], time), max(span[1], end), place

    def clock(self) -> PictureClock:
        if not self._spans:
            return PictureClock((), self.seconds)
        # Pictures that refer to ones from before the file's beginning cannot be shown.
        first, last = self._spans[0]
        if self._seen is not None and first < self._seen < last:
            self._spans[0][0] = self._seen
        runs: list[PictureRun] = []
        seconds = 0.0
        for first, last in self._spans:
            runs.append(PictureRun(first, last, first - seconds))
            seconds += last - first
        return PictureClock(tuple(runs), seconds)
