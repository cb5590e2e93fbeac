"""A moment of a track, and the arithmetic between seconds and spans.

Two coordinate systems, as in the paper (MGSV, ICCV 2025, section 3):

* a *moment* is [start, end] in seconds on the track;
* a *span* is (centre, width), both divided by the 240 s canvas.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mgsv.clock import clock

Array = npt.NDArray[np.floating]

CANVAS_SECONDS = 240.0
"""Length of music a learned model sees at once; spans are relative to it."""


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """A stretch of a track, `start` <= `end`, in seconds from the track's first sample."""

    start: float
    end: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.start) and np.isfinite(self.end)) or self.end < self.start:
            raise ValueError(f"a moment needs finite start <= end, got [{self.start}, {self.end}]")

    @property
    def duration(self) -> float:
        return self.end - self.start

    def clamped(self, track_seconds: float) -> Moment:
        """The part of the moment that lies on a track of `track_seconds`."""
        start = min(max(self.start, 0.0), track_seconds)
        return Moment(start, max(start, min(self.end, track_seconds)))

    def shifted(self, seconds: float) -> Moment:
        return Moment(self.start + seconds, self.end + seconds)

    def iou(self, other: Moment) -> float:
        """Intersection over union in time, 0 where the union is empty."""
        return float(iou(np.array([self.start, self.end]), np.array([other.start, other.end])))

    def to_span(self, canvas: float = CANVAS_SECONDS) -> tuple[float, float]:
        """(centre, width) relative to `canvas` seconds."""
        return (self.start + self.end) / 2 / canvas, self.duration / canvas

    @classmethod
    def from_span(cls, centre: float, width: float, canvas: float = CANVAS_SECONDS) -> Moment:
        return cls((centre - width / 2) * canvas, (centre + width / 2) * canvas)

    def __str__(self) -> str:
        return f"{clock(self.start)}–{clock(self.end)}"


def iou(a: Array, b: Array) -> Array:
    """Intersection over union of moments [..., 2] = (start, end) in seconds, with broadcasting.

    The intersection is floored at 0, and an empty union gives 0, as in the authors' evaluation.
    """
    intersection = np.maximum(
        np.minimum(a[..., 1], b[..., 1]) - np.maximum(a[..., 0], b[..., 0]), 0.0
    )
    union = (a[..., 1] - a[..., 0]) + (b[..., 1] - b[..., 0]) - intersection
    return np.where(union > 0, intersection / np.where(union > 0, union, 1.0), 0.0)


def spans_to_moments(spans: Array, canvas: float = CANVAS_SECONDS) -> Array:
    """(centre, width) [..., 2] relative to `canvas` → (start, end) [..., 2] in seconds."""
    centre, half = spans[..., 0] * canvas, spans[..., 1] * canvas / 2
    return np.stack([centre - half, centre + half], axis=-1)


def moments_to_spans(moments: Array, canvas: float = CANVAS_SECONDS) -> Array:
    """(start, end) [..., 2] in seconds → (centre, width) [..., 2] relative to `canvas`."""
    start, end = moments[..., 0], moments[..., 1]
    return np.stack([(start + end) / 2, end - start], axis=-1) / canvas
