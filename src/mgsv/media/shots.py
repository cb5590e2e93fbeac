"""What a video's picture does over time: motion, light and cuts, from small pictures of its frames.

Each frame comes in once, as a thumbnail and its time; only the thumbnails of the last fraction of a
second are kept.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mgsv.media.curves import spread_evenly

# Samples per second of `VideoCurves`. 0.1 s is the precision to which music is placed.
CURVE_RATE = 10.0

# The thumbnail: every pixel the mean of an area, so that noise and grain vanish and what is left is
# composition. 64 x 36 (16:9) luma over 32 x 18 of each chroma plane, as planar 4:2:0 stores them:
# uint8 [54, 64].
THUMB_WIDTH, THUMB_HEIGHT = 64, 36
Thumb = NDArray[np.uint8]

# Cuts. `change` is the mean absolute difference of two thumbnails, in grey levels (0 to 255).
#
# Unrelated pictures differ by 20 to 80 levels; neighbours within a calm shot by less than 3.
MIN_CHANGE = 10.0
# In fast motion each change is as large as those around it, while a cut stands out: it must exceed
# the second largest other change nearby by this factor. (The second largest, since a neighbouring
# cut may be near. Not a mean: footage with repeated frames is still, still, still, change.)
MIN_CONTRAST = 2.5
NEARBY = 0.3  # seconds to each side
NEARBY_FRAMES = 3  # but at least so many frames, where there are few per second
# After a flash (a lightning, a camera's) the old picture returns, after a cut it does not: no frame
# of the time before the change may resemble one of the time after it.
FLASH = 0.2  # seconds to each side
RETURNED = 0.5  # resembling: less than this share of the change itself
# Of changes closer than this (A, white frame, B) the largest is the cut. The shortest shots editors
# use are about 0.2 s.
MIN_SHOT = 0.15


@dataclass(frozen=True)
class VideoCurves:
    """A video's picture over time. Sample t covers [t / 10, (t + 1) / 10) seconds.

    duration: seconds. motion: float32 [T], mean absolute change of luma per second, where 1 is from
    black to white; the jump of a cut is no motion and left out. light: float32 [T], mean luma, 0
    black to 1 white. cuts: float32 [C], seconds of the first frame of each new shot, rising.
    """

    duration: float
    motion: NDArray[np.float32]
    light: NDArray[np.float32]
    cuts: NDArray[np.float32]

    def after(self, seconds: float) -> VideoCurves:
        """Those of the video without its first `seconds`, which are fewer than it has."""
        first = min(round(seconds * CURVE_RATE), len(self.motion) - 1)
        cuts = self.cuts[self.cuts > seconds] - np.float32(seconds)
        return VideoCurves(self.duration - seconds, self.motion[first:], self.light[first:], cuts)


class _Recent(NamedTuple):
    """A frame near enough to matter for finding cuts."""

    number: int  # from 0
    time: float
    thumb: NDArray[np.int16]
    change: float  # from the frame before, all planes


class CurveBuilder:
    """Collects thumbnails in order of time and gives the curves at the end."""

    def __init__(self) -> None:
        self._times = array("d")
        self._moved = array("d")  # mean absolute luma difference from the frame before, 0 to 1
        self._lights = array("d")
        self._recent: deque[_Recent] = deque()
        self._next = 1  # the first frame not yet judged; frame 0 opens the video
        self._cuts: list[tuple[int, float]] = []  # frame, change

    def add(self, time: float, thumb: Thumb) -> None:
        """Take the frame shown from `time` (seconds, rising) on; thumb: uint8 [54, 64]."""
        picture = thumb.astype(np.int16)
        luma = picture[:THUMB_HEIGHT]
        moved = change = 0.0
        if self._recent:
            difference = np.abs(picture - self._recent[-1].thumb)
            moved = float(difference[:THUMB_HEIGHT].mean()) / 255
            change = float(difference.mean())
        self._times.append(time)
        self._moved.append(moved)
        self._lights.append(float(luma.mean()) / 255)
        self._recent.append(_Recent(len(self._times) - 1, time, picture, change))
        self._judge(final=False)

    def finish(self, end: float) -> VideoCurves:
        """The curves of a video whose last frame is shown until `end` seconds."""
        self._judge(final=True)
        times = np.array([*self._times, end])
        cuts = [number for number, _ in self._cuts]
        motion = spread_evenly(times, self._motion_steps(cuts), CURVE_RATE)
        light = spread_evenly(times, np.array(self._lights) * np.diff(times), CURVE_RATE)
        cut_times = np.array([self._times[i] for i in cuts], np.float32)
        return VideoCurves(float(end), motion, light, cut_times)

    def _motion_steps(self, cuts: list[int]) -> NDArray[np.float64]:
        """Luma moved during each frame's time on screen, [frames], cuts bridged.

        The difference between frames i and i + 1 happened while i was shown. At a cut that
        difference is no motion, so the speed of the frames around it is used.
        """
        moved = np.array([*self._moved[1:], 0.0])
        shown = np.diff(np.array(self._times))
        for step in (i - 1 for i in cuts):
            around = [s for s in (step - 1, step + 1) if 0 <= s < len(shown) and s + 1 not in cuts]
            speed = float(np.mean([moved[s] / shown[s] for s in around])) if around else 0.0
            moved[step] = speed * shown[step]
        return moved

    def _judge(self, final: bool) -> None:
        """Decide which frames open a new shot, each once enough is known of what follows it."""
        newest = self._recent[-1] if self._recent else None
        while newest is not None and self._next <= newest.number:
            first = self._recent[0].number
            here = self._recent[self._next - first]
            seen = newest.number - here.number >= NEARBY_FRAMES and newest.time - here.time > NEARBY
            if not seen and not final:
                return
            if self._is_cut(here):
                self._keep(here)
            self._next += 1
            while (
                self._next - self._recent[0].number > NEARBY_FRAMES + 1
                and here.time - self._recent[1].time > NEARBY
            ):
                self._recent.popleft()

    def _is_cut(self, here: _Recent) -> bool:
        if here.change < MIN_CHANGE:
            return False
        others = sorted(
            r.change
            for r in self._recent
            if r.number not in (0, here.number)
            and (abs(r.time - here.time) <= NEARBY or abs(r.number - here.number) <= NEARBY_FRAMES)
        )
        if len(others) > 1 and here.change < MIN_CONTRAST * others[-2]:
            return False
        before = [r for r in self._recent if r.number < here.number]
        before = [r for r in before if here.time - r.time <= FLASH] or before[-1:]
        after = [r for r in self._recent if r.number >= here.number and r.time - here.time <= FLASH]
        nearest = min(float(np.abs(a.thumb - b.thumb).mean()) for a in before for b in after)
        return nearest > RETURNED * here.change

    def _keep(self, here: _Recent) -> None:
        """Add a cut, or let it replace or yield to one just before it."""
        if self._cuts and here.time - self._times[self._cuts[-1][0]] < MIN_SHOT:
            if here.change <= self._cuts[-1][1]:
                return
            self._cuts.pop()
        self._cuts.append((here.number, here.change))
