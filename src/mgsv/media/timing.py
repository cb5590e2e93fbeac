"""When pictures are shown, whatever the file's timestamps do."""

from __future__ import annotations

from av.video.frame import VideoFrame
from av.video.stream import VideoStream

# A frame may stay on screen for long (slides, screen recordings); a larger step in the timestamps
# is a clock that was reset or a damaged one. So is one that goes back by more than MAX_BACK.
MAX_STILL = 600.0
MAX_BACK = 1.0
# Where neither the frame nor the stream tells how long a frame lasts.
FALLBACK_FRAME_RATE = 25.0


class PictureClock:
    """Presentation times from 0, rising, whatever the file's timestamps do.

    end: seconds at which the last frame taken stops being shown.
    """

    def __init__(self) -> None:
        self.end = 0.0
        self._offset: float | None = None  # the file's time at our 0
        self._last = 0.0

    def time(self, frame: VideoFrame, stream: VideoStream) -> float | None:
        """Seconds at which `frame` appears; None if that is not after the frame before."""
        stamp = frame.time if frame.pts is not None else None
        if self._offset is None:
            self._offset = stamp or 0.0
            time = 0.0
        else:
            time = self.end if stamp is None else stamp - self._offset
            if not self._last - MAX_BACK < time < self._last + MAX_STILL:
                assert stamp is not None
                time, self._offset = self.end, stamp - self.end
            if time <= self._last:
                return None
        self._last, self.end = time, time + self._shown_for(frame, stream)
        return time

    @staticmethod
    def _shown_for(frame: VideoFrame, stream: VideoStream) -> float:
        """Seconds, by the frame's own duration or the stream's mean rate."""
        if frame.duration and frame.time_base:
            own = float(frame.duration * frame.time_base)
            if 0 < own < MAX_STILL:
                return own
        rate = float(stream.average_rate or 0)
        return 1 / rate if rate > 0 else 1 / FALLBACK_FRAME_RATE
