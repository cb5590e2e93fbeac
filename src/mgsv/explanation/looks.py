"""How a clip looks where it is shown upright, square or wide: the middle of its pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mgsv.drawing import SOFT
from mgsv.explanation.facts import Facts
from mgsv.media.video import Frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHAPES = {"vertical, 9:16": 9 / 16, "square, 1:1": 1.0, "wide, 16:9": 16 / 9}
"""Width over height."""
EACH = 3
"""Pictures in each shape: the first, a middle and the last one of the film strip."""
BETWEEN, APART = 0.06, 0.3
"""Inches between two pictures, and between two shapes."""


def draw_looks(axes: Axes, facts: Facts, wide: float, tall: float) -> None:
    """wide, tall: of the panel, inches; the pictures get all of its height."""
    shown = pictures_of(facts.frames)
    at = 0.0
    for name, shape in SHAPES.items():
        begin = at
        for frame in shown:
            width = tall * shape
            axes.imshow(
                middle_of(frame.image, shape),
                extent=(at, at + width, 0.0, tall),
                aspect="auto",
                interpolation="antialiased",
            )
            at += width + BETWEEN
        axes.text(begin, -0.18, name, va="baseline", size=9, color=SOFT)
        at += APART - BETWEEN
    axes.set(xlim=(0.0, wide), ylim=(0.0, tall), xticks=[])
    axes.spines[["bottom", "top"]].set_visible(False)


def pictures_of(frames: tuple[Frame, ...]) -> list[Frame]:
    """At most `EACH`, evenly spaced, the first and the last among them."""
    places = np.linspace(0, len(frames) - 1, min(EACH, len(frames))).round().astype(int)
    return [frames[place] for place in places]


def middle_of(image: npt.NDArray[np.uint8], shape: float) -> npt.NDArray[np.uint8]:
    """The middle of an RGB picture [H, W, 3], as large as can be; shape: width over height."""
    height, width = image.shape[:2]
    kept_width = max(1, min(width, round(height * shape)))
    kept_height = max(1, min(height, round(width / shape)))
    left, top = (width - kept_width) // 2, (height - kept_height) // 2
    return image[top : top + kept_height, left : left + kept_width]
