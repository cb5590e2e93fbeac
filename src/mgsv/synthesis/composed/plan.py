"""The plan of a composed video: which track from where, and what is shown when.

A plan says everything, so that features (`footage`) and a file (`filming`) can both be made of it.
Times of a plan are seconds of the video and lie on its frames, `FRAME_RATE` a second. What changes
within a second — camera, light — passes at whole seconds through places that the bank of views
knows: there, and only there, the encoder looks.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mgsv.errors import DataError

FloatArray = npt.NDArray[np.float64]

FRAME_RATE = 30
"""Frames per second of a composed video, the commonest rate of MGSV-EC."""

WIDTH, HEIGHT = 448, 256
"""Pixels of a composed video: the encoder's shorter side, so that nothing is resized again."""

VIEWS = np.array(
    [
        (0.5, 0.5, 1.0),
        *((x, 0.5, 0.75) for x in (0.0, 0.5, 1.0)),
        *((0.5, y, 0.75) for y in (0.0, 1.0)),
        *((x, 0.5, 0.55) for x in (0.15, 0.5, 0.85)),
    ]
)
"""[P, 3] the views of a picture, as (x, y, size): size is the window's share of the picture's
sides, x and y where in the room left over it lies, 0 left or top."""

LIGHTS = np.array([0.5, 0.7, 1.0])
"""Brightness (factor on every pixel) at which the bank knows each view."""

CLIP_STEPS = 2
"""Views of a clip per second."""

CALM = 0.1
"""Seconds around a whole second in which the hand-made movements fade to nothing."""

PUNCH_SECONDS = 0.12
"""Time in which a punch comes before its beat, and fades to 1 / e after it."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture or clip from `start` to `end`.

    source: its id in the bank. views: of a picture, where the camera is at the whole seconds
    floor(start), …, ceil(end), between which it moves evenly; of a clip, which of its views those
    seconds show, one every 1 / `CLIP_STEPS` s. sway: how far the camera swings to either side, as a
    share of the picture's width; sway_rate: swings per second, a whole number. soft: seconds from
    `start` on in which the shot fades in over the last frame of the one before; 0 is a hard cut.
    """

    source: str
    start: float
    end: float
    views: tuple[int, ...]
    sway: float = 0.0
    sway_rate: int = 1
    soft: float = 0.0

    def opacity(self, times: npt.ArrayLike) -> FloatArray:
        """How much of the shot is seen at `times` [n] of the video, 0 to 1."""
        since = np.asarray(times, np.float64) - self.start
        return np.clip(since / self.soft, 0, 1) if self.soft else np.ones_like(since)


@dataclass(frozen=True)
class Plan:
    """A composed video and the moment it uses.

    track: id. music_start: of the moment on the track, seconds; it is as long as the video.
    offset: seconds by which everything in the picture comes later than its rule says. synced: the
    edit follows the moment; otherwise it was made to nothing. light: brightness at each whole
    second 0, …, ceil(seconds). punches: seconds at which the camera is closer by `punch` (share of
    the window), hurrying there and back.
    """

    video_id: str
    split: str
    composer: str
    track: str
    music_start: float
    seconds: float
    offset: float
    synced: bool
    shots: tuple[Shot, ...]
    light: tuple[float, ...]
    punches: tuple[float, ...] = ()
    punch: float = 0.0

    @property
    def frames(self) -> int:
        """Frames of the video."""
        return round(self.seconds * FRAME_RATE)

    @property
    def cuts(self) -> tuple[float, ...]:
        """Seconds at which a new shot begins, without the first."""
        return tuple(shot.start for shot in self.shots[1:])

    def light_at(self, times: npt.ArrayLike) -> FloatArray:
        """Brightness at `times` [n]."""
        places = np.asarray(times, np.float64)
        return np.asarray(np.interp(places, np.arange(len(self.light)), self.light), np.float64)

    def windows(self, shot: Shot, times: FloatArray) -> FloatArray:
        """[n, 4] what the camera sees of a picture: left, top, right, bottom as shares of it."""
        seconds = int(shot.start) + np.arange(len(shot.views))
        x, y, size = (np.interp(times, seconds, VIEWS[list(shot.views), n]) for n in range(3))
        calm = np.minimum(np.abs(times - np.round(times)) / CALM, 1.0)
        if self.punch and self.punches:
            since = times[:, None] - np.array(self.punches)[None]
            coming = np.maximum(1 + since / PUNCH_SECONDS, 0)  # a jump within a frame is a cut
            near = np.where(since < 0, coming, np.exp(-np.maximum(since, 0) / PUNCH_SECONDS))
            size = size * (1 - self.punch * near.max(axis=1) * calm)
        left = x * (1 - size) + shot.sway * np.sin(2 * np.pi * shot.sway_rate * times) * calm
        left, top = np.clip(left, 0, 1 - size), y * (1 - size)
        return np.stack([left, top, left + size, top + size], axis=1)


def plan_line(plan: Plan) -> str:
    """`plan` as a line of JSON; derived values that a reader wants stand beside the fields."""
    return json.dumps({**asdict(plan), "cuts": plan.cuts}, ensure_ascii=False) + "\n"


def read_plans(path: Path) -> list[Plan]:
    """The plans in the file `path`; DataError naming the line that cannot be read."""
    plans = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(path, "cannot be read", "compose the data anew") from error
    for number, line in enumerate(lines, 1):
        try:
            plans.append(_plan(json.loads(line)))
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(path, f"line {number} is no plan", "compose the data anew") from error
    return plans


def _plan(values: dict[str, Any]) -> Plan:
    values.pop("cuts")
    shots = tuple(Shot(**{**shot, "views": tuple(shot["views"])}) for shot in values.pop("shots"))
    light, punches = (tuple(values.pop(name)) for name in ("light", "punches"))
    return Plan(shots=shots, light=light, punches=punches, **values)
