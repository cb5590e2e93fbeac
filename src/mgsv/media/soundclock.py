"""Where each decoded piece of sound lies in time, whatever the file's timestamps do."""

from __future__ import annotations

from av.audio.frame import AudioFrame

# A shorter hole in the timestamps is rounding in the container; a longer one is a clock that was
# reset, not missing sound.
MIN_GAP, MAX_GAP = 0.02, 10.0


class SoundClock:
    """Goes along with the frames of one sound stream, in order.

    origin: presentation time that counts as 0; None = that of the first frame.
    """

    def __init__(self, origin: float | None = None) -> None:
        self._origin = origin
        self.now = 0.0
        """Seconds at which the frames taken so far end, holes included."""

    def take(self, frame: AudioFrame) -> float:
        """Seconds of silence to put before `frame`; negative only before the very first one."""
        gap = self._gap_before(frame)
        self.now += gap + frame.samples / frame.sample_rate
        return gap

    def _gap_before(self, frame: AudioFrame) -> float:
        if frame.time is None:
            return 0.0
        if self._origin is None:
            self._origin = frame.time
        gap = frame.time - self._origin - self.now
        if self.now == 0.0 or MIN_GAP <= gap <= MAX_GAP:
            return gap
        if abs(gap) > MAX_GAP:
            self._origin = frame.time - self.now
        return 0.0
