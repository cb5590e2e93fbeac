"""When pictures are shown, whatever the file's timestamps do."""

from __future__ import annotations

from fractions import Fraction

from av.video.frame import VideoFrame
from av.video.stream import VideoStream

# A frame may stay on screen for long (slides, screen recordings); a larger step in the timestamps
# is a clock that was reset or a damaged one. So is one that goes back by more than MAX_BACK.
MAX_STILL = 600.0
MAX_BACK = 1.0
# Where neither the frame nor the stream tells how long a frame lasts.
FALLBACK_FRAME_RATE = Fraction(25)
_MAX_RATE = 1000  # frames per second; a header that claims more is wrong


class FrameClock:
    """Presentation times from 0, rising, in ticks of the stream's time base.

    start: the file's time of the first picture placed. last, end: the ticks, counted from there, at
    which the last one appears and stops being shown.
    """

    def __init__(self, stream: VideoStream) -> None:
        self.start = 0
        self.end = Fraction(0)
        self._stream = stream
        self._offset: int | None = None  # the file's time at our 0
        self.last = 0
        self._steps: tuple[int, ...] = ()  # the last two, from one picture to the next
        assert stream.time_base is not None
        self._still = round(MAX_STILL / stream.time_base)
        self._back = round(MAX_BACK / stream.time_base)

    def place(self, frame: VideoFrame) -> int | None:
        """The tick at which `frame` appears; None if that is not after the frame before."""
        # Formats without presentation times tell when a frame was due for decoding; as it comes
        # out of the decoder, that is later than its presentation by the same time for all frames.
        stamp = frame.dts if frame.pts is None else frame.pts
        begin = Fraction(0)
        if self._offset is None:
            self._offset = self.start = stamp or 0
        else:
            begin = self._next() if stamp is None else Fraction(stamp - self._offset)
            if not self.last - self._back < begin < self.last + self._still:
                assert stamp is not None
                begin = self._next()
                self._offset = stamp - round(begin)
            if round(begin) <= self.last:
                return None
            if stamp is not None:
                self._steps = *self._steps[-1:], round(begin) - self.last
        self.last = round(begin)
        # Without stamps the ends add up, fractions of ticks included.
        self.end = begin + shown_for(frame.duration, self._stream)
        return self.last

    def _next(self) -> Fraction:
        """When the next frame appears, if it does not say so itself."""
        # The longer one may be a hole, which the pictures after it do not repeat.
        return Fraction(self.last + min(self._steps)) if self._steps else self.end

    def seconds(self, ticks: int | Fraction) -> float:
        assert self._stream.time_base is not None
        return float(ticks * self._stream.time_base)


def shown_for(duration: int | None, stream: VideoStream) -> Fraction:
    """Ticks a picture is shown: by its own duration, or the stream's mean rate."""
    assert stream.time_base is not None
    if duration and 0 < duration * stream.time_base < MAX_STILL:
        return Fraction(duration)
    return 1 / (claimed_rate(stream) * stream.time_base)


def claimed_rate(stream: VideoStream) -> Fraction:
    """Frames per second according to the header, for want of timestamps."""
    rate = stream.average_rate or stream.guessed_rate or FALLBACK_FRAME_RATE
    return rate if 0 < rate <= _MAX_RATE else FALLBACK_FRAME_RATE
