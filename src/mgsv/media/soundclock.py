"""Where each decoded piece of sound lies in time, whatever the file's timestamps do.

A jump in the timestamps is either sound that is missing (a microphone was muted, packets were lost)
or a clock that was reset (recordings put one after the other). A long one is compared with the
pictures of the same file: if their clock continues through it, sound is missing.
"""

from __future__ import annotations

import functools
import os

import av
from av.audio.frame import AudioFrame
from av.container import InputContainer

from mgsv.errors import MediaError
from mgsv.media.pictureclock import PictureClock, read_picture_clock
from mgsv.media.source import SPLICED
from mgsv.media.timing import MAX_BACK, MAX_STILL

# A shorter hole in the timestamps is rounding in the container; what is missing in one that is no
# longer than `MAX_GAP` needs no second opinion.
MIN_GAP, MAX_GAP = 0.02, 10.0
# More holes and jumps, or resets in the picture, are in no recording: then the times are damaged.
# Each costs time, and a hole before every frame would take minutes.
MOST_JUMPS, MOST_RUNS = 5000, 1000
# MPEG's clock of 33 bits. FFmpeg continues counting where it wraps, but takes times from just
# before 0, as those of the samples that warm up a codec, for ones from just before the end.
_MPEG, _TURN, _BEFORE_TURN = ("mpegts", "mpeg"), 2**33 / 90_000, 60.0


class SoundClock:
    """Follows the frames of one sound stream, in order.

    path, container: the file, and where it is open. origin: presentation time that counts as 0;
    None = that of the first frame.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        container: InputContainer,
        origin: float | None = None,
    ) -> None:
        self._path = path
        self._container = container
        self._origin = origin  # moves when the file's clock is reset
        self._run: int | None = None  # of the pictures, that the sound is at
        self._begun = False
        self._late = False  # more was heard before a reset than there is room for
        self._jumps = 0
        self.start: float | None = None
        """Presentation time of the first frame."""
        self.now = 0.0
        """Seconds at which the frames taken so far end, holes included."""

    def take(self, frame: AudioFrame) -> float | None:
        """Seconds of silence to put before `frame`; negative only before the very first one.

        None if the frame is to be left out, as something else is heard at its time already.
        """
        gap = self._gap_before(frame)
        seconds = frame.samples / frame.sample_rate
        if self._late:
            if gap <= -seconds / 2:
                return None
            self._late = False
        if self._begun:
            gap = max(0.0, gap)
        self._begun = True
        self.now += gap + seconds
        return gap

    def _gap_before(self, frame: AudioFrame) -> float:
        if frame.time is None:
            return 0.0
        time = self._unwrapped(frame.time)
        if self.start is None:
            self.start = time
        if self._origin is None:
            self._origin = time
        gap = time - self._origin - self.now
        if not self._begun:
            # Without an `origin`, this is 0. A first time that is out of the question is damaged.
            return gap if abs(gap) <= MAX_GAP or self._covered(time) else 0.0
        if abs(gap) < MIN_GAP:
            return 0.0
        back = MAX_GAP if self._late else MAX_BACK
        self._jumps += not -back <= gap <= 0
        if self._jumps > MOST_JUMPS:
            self._origin = time - self.now
            return 0.0
        return gap if -back <= gap <= MAX_GAP else self._after_jump(time, gap)

    def _after_jump(self, time: float, gap: float) -> float:
        """The gap to `time` once it is known what the jump means."""
        assert self._origin is not None
        runs, before = self._pictures.runs, self._origin + self.now
        if self._run is None and self._covered(before):
            self._run = self._pictures.run_at(before) or 0
        since = 0 if self._run is None else self._run if gap > 0 else self._run + 1
        run = self._pictures.run_at(time, since)
        if run is None:
            if gap > 0 and self._holds(time, gap):
                return gap
        elif self._run is None:  # what came before had times of its own; it ends where this begins
            self._run, self.start = run, time - self.now
        else:
            self._origin += runs[run].zero - runs[self._run].zero
            self._late = run != self._run
            self._run = run
            gap = time - self._origin - self.now
            if gap >= -MAX_GAP:
                return gap
        self._late = False
        self._origin = time - self.now
        return 0.0

    def _unwrapped(self, time: float) -> float:
        if self._container.format.name in _MPEG and time >= _TURN - _BEFORE_TURN:
            runs = self._pictures.runs
            if runs and max(run.last for run in runs) < _TURN - _BEFORE_TURN:
                return time - _TURN
        return time

    @functools.cached_property
    def _pictures(self) -> PictureClock:
        try:
            clock = read_picture_clock(self._path)
        except MediaError:  # there are none
            return PictureClock((), 0.0)
        return clock if len(clock.runs) <= MOST_RUNS else PictureClock((), 0.0)

    def _covered(self, time: float) -> bool:
        """Whether `time` is in the file's own timeline, or not far from its pictures."""
        runs = self._pictures.runs
        if any(run.first - MAX_STILL < time < run.last + MAX_STILL for run in runs):
            return True
        return not (runs and self._container.format.name in SPLICED) and self._holds(time, 0.0)

    def _holds(self, time: float, gap: float) -> bool:
        """Whether the file's own timeline, by its header, has `time` in it and is not broken."""
        form = self._container.format.name
        if form in SPLICED and gap >= MAX_STILL:
            return False
        if not self._container.duration:
            return True
        start = 0 if "matroska" in form else self._container.start_time or 0
        return time <= (start + self._container.duration) / av.time_base + MAX_BACK
