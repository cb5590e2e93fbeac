"""The bank of views: what the video encoder makes of pictures and clips, computed once.

Each picture is seen through the windows of `plan.VIEWS`, each clip every half second, both at the
brightnesses of `plan.LIGHTS`. Beside the rows lies what a miniature rendering needs, small planes
of the picture or thumbnails of the clip's frames, and how the picture looks as a few numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mgsv.encoders.motion import EfficientNetMotion
from mgsv.encoders.registry import batches
from mgsv.errors import MediaError
from mgsv.media.isolated import VideoScan, probe_video, read_still
from mgsv.media.pictures import Picture, centre
from mgsv.media.shots import THUMB_HEIGHT, THUMB_WIDTH
from mgsv.synthesis.composed.corpus import Arrays, Item, cached
from mgsv.synthesis.composed.plan import (
    CLIP_STEPS,
    FRAME_RATE,
    HEIGHT,
    LIGHTS,
    VIEWS,
    WIDTH,
    FloatArray,
)

Planes = npt.NDArray[np.uint8]

VERSION = 3
"""Of the views and what is kept of them; raised with every change."""

CANVAS = (2 * WIDTH, 2 * HEIGHT)
"""Pixels of a picture in the bank: enough for the closest view to be about sharp."""

SMALL = 2
"""Pixels of the canvas to a side of one pixel of its small luma plane: with 4, a twelfth of the
motion would be blurred away."""

SMALLEST = 200
"""Pixels a picture or clip must have on each side."""

MAX_CLIP_SECONDS = 60
"""Of a clip; what follows is not used."""

LOOKS = ("light", "warmth", "colour", "detail", "nature")
"""How a picture looks: mean luma; mean red − blue; spread of its colours (Hasler and Süsstrunk,
2003); mean step between neighbouring small pixels; what ImageNet's classes say of it: living
things, food and landscapes against things that people make."""

# ImageNet's 1,000 classes: 0 to 397 are animals, 924 to 969 food, 970 to 997 landscapes, people and
# plants; nearly all others are artefacts.
NATURE = np.r_[0:398, 924:998]


@dataclass(frozen=True)
class Footage:
    """A picture or clip of the bank.

    rows: float32 [views, lights, D]. planes: of a picture the small canvas, uint8 [384, 448]: luma
    [256, 448] over both chroma planes [128, 224]; of a clip the thumbnails of its frames at
    `FRAME_RATE`, [n, 54, 64]. Both lie as planar 4:2:0 does. looks: float32 [len(LOOKS)].
    """

    item: Item
    rows: npt.NDArray[np.float32]
    planes: Planes
    looks: npt.NDArray[np.float32]

    @property
    def is_clip(self) -> bool:
        return self.item.kind == "clip"

    @property
    def views(self) -> int:
        return len(self.rows)

    def row(self, view: int, light: float) -> npt.NDArray[np.float32]:
        """[D] the encoder's features of `view` at a brightness, between the two known nearest."""
        place = float(np.interp(light, LIGHTS, np.arange(len(LIGHTS))))
        low = min(int(place), len(LIGHTS) - 2)
        near = self.rows[view, low : low + 2]
        return np.asarray(near[0] + np.float32(place - low) * (near[1] - near[0]), np.float32)

    def integrals(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Running sums over the planes of a picture, a row and a column of zeros first. Not kept:
        they would take eight times the memory.
        """
        luma, chroma = np.split(self.planes, [CANVAS[1] // SMALL])
        planes = (luma, *chroma.reshape(2, len(luma) // 2, -1))
        return tuple(  # type: ignore[return-value]
            np.pad(plane.cumsum(0, dtype=np.float64).cumsum(1), ((1, 0), (1, 0)))
            for plane in planes
        )


def view_pictures(item: Item) -> tuple[list[Picture], Planes]:
    """The views of a picture or clip at full light, and its planes. MediaError if unusable."""
    if item.kind == "clip":
        frames = list(clip_frames(item))
        thumbs = np.stack([thumbnail(frame) for frame in frames])
        every = FRAME_RATE // CLIP_STEPS
        return frames[::every], thumbs
    canvas = read_still(item.path, *CANVAS, smallest=SMALLEST)
    small = (CANVAS[0] // SMALL, CANVAS[1] // SMALL)
    return [sharp_window(canvas, window) for window in view_windows()], _planes(canvas, *small)


def clip_frames(item: Item) -> Iterator[Picture]:
    """The frames of a clip at `FRAME_RATE`, covering `WIDTH` x `HEIGHT`."""
    info = probe_video(item.path)
    if min(info.width, info.height) < SMALLEST:
        size = f"{info.width} x {info.height} pixels are too few"
        raise MediaError(item.path, size, f"give a clip of at least {SMALLEST} on each side")
    scale = max(WIDTH / info.width, HEIGHT / info.height)
    shorter = int(np.ceil(min(info.width, info.height) * scale))
    for frame in VideoScan(item.path, shorter, per_second=FRAME_RATE):
        if frame.time >= MAX_CLIP_SECONDS:
            return
        yield centre(frame.image, WIDTH, HEIGHT)


def view_windows() -> FloatArray:
    """[P, 4] left, top, right, bottom of `VIEWS`."""
    x, y, size = VIEWS.T
    left, top = x * (1 - size), y * (1 - size)
    return np.stack([left, top, left + size, top + size], axis=1)


def sharp_window(canvas: Picture, window: FloatArray, light: float = 1.0) -> Picture:
    """uint8 [HEIGHT, WIDTH, 3]: what a window [4] of a canvas shows, between its pixels linearly.

    At most two pixels of the canvas come to one of the result, so nothing is skipped.
    """
    left, top, right, bottom = window
    rows = _between(top, bottom, HEIGHT, canvas.shape[0])
    columns = _between(left, right, WIDTH, canvas.shape[1])
    y, y_share = rows
    wide = canvas[y] + y_share[:, None, None] * (canvas[y + 1].astype(np.float32) - canvas[y])
    x, x_share = columns
    picture = wide[:, x] + x_share[None, :, None] * (wide[:, x + 1] - wide[:, x])
    return np.asarray(np.round(picture * np.float32(light)), np.uint8)


def _between(
    low: float, high: float, count: int, size: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Pixel centres of `count` samples of [low, high): the pixel before each, and the share."""
    centres = (low + (np.arange(count) + 0.5) / count * (high - low)) * size - 0.5
    centres = np.clip(centres, 0, size - 1.001)
    before = centres.astype(np.intp)
    return before, (centres - before).astype(np.float32)


# --- miniatures -----------------------------------------------------------------------------------


def thumbnail(picture: Picture) -> Planes:
    """uint8 [54, 64]: the thumbnail `media.shots` would be given of a frame."""
    return _planes(picture, THUMB_WIDTH, THUMB_HEIGHT)


def still_thumbnails(footage: Footage, windows: FloatArray) -> FloatArray:
    """[n, 54, 64] thumbnails of a picture through `windows` [n, 4], at full light, not rounded."""
    luma, *chroma = footage.integrals()
    small = [_box_means(plane, windows, THUMB_WIDTH // 2, THUMB_HEIGHT // 2) for plane in chroma]
    rows = np.concatenate([plane.reshape(len(windows), -1) for plane in small], axis=1)
    return np.concatenate(
        [
            _box_means(luma, windows, THUMB_WIDTH, THUMB_HEIGHT),
            rows.reshape(len(windows), THUMB_HEIGHT // 2, THUMB_WIDTH),
        ],
        axis=1,
    )


def dimmed(thumbs: npt.NDArray[np.floating] | Planes, light: FloatArray) -> Planes:
    """Thumbnails [n, 54, 64] at brightness [n]; chroma lies around 128."""
    middle = np.zeros(THUMB_HEIGHT * 3 // 2)
    middle[THUMB_HEIGHT:] = 128
    centred = thumbs - middle[:, None]
    return np.asarray(np.round(centred * light[:, None, None] + middle[:, None]), np.uint8)


def _box_means(integral: FloatArray, windows: FloatArray, width: int, height: int) -> FloatArray:
    """[n, height, width] means over equal boxes of each window, by the running sums."""
    size_y, size_x = (size - 1 for size in integral.shape)
    left, top, right, bottom = windows.T
    y = (top[:, None] + np.linspace(0, 1, height + 1) * (bottom - top)[:, None]) * size_y
    x = (left[:, None] + np.linspace(0, 1, width + 1) * (right - left)[:, None]) * size_x
    y0 = np.minimum(y.astype(np.intp), size_y - 1)
    x0 = np.minimum(x.astype(np.intp), size_x - 1)
    # The running sums at the corners of the boxes, each between four that are known.
    flat, at = integral.ravel(), y0[:, :, None] * (size_x + 1) + x0[:, None, :]
    share = (x - x0)[:, None, :]
    above, below = (
        flat.take(row) + share * (flat.take(row + 1) - flat.take(row))
        for row in (at, at + size_x + 1)
    )
    corners = above + (y - y0)[:, :, None] * (below - above)
    sums = np.diff(np.diff(corners, axis=1), axis=2)
    areas = (y[:, 1] - y[:, 0]) * (x[:, 1] - x[:, 0])
    return np.asarray(sums / areas[:, None, None])


def _planes(picture: Picture, width: int, height: int) -> Planes:
    """[height * 3 / 2, width]: luma and both chroma planes, shrunk, as planar 4:2:0 stores them."""
    red, green, blue = _shrunk(picture, width, height)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue  # BT.601, FFmpeg's choice for RGB
    chroma = [
        128 + plane.reshape(height // 2, 2, width // 2, 2).mean((1, 3)).ravel()
        for plane in ((blue - luma) / 1.772, (red - luma) / 1.402)
    ]
    planes = np.concatenate([luma.ravel(), *chroma]).reshape(height * 3 // 2, width)
    return np.asarray(np.clip(np.round(planes), 0, 255), np.uint8)


def _shrunk(picture: Picture, width: int, height: int) -> FloatArray:
    """[3, height, width] means over equal boxes of the picture."""
    sums = picture.transpose(2, 0, 1).cumsum(1, dtype=np.float64).cumsum(2)
    whole = np.array([[0.0, 0.0, 1.0, 1.0]])
    return np.concatenate(
        [
            _box_means(plane, whole, width, height)
            for plane in np.pad(sums, ((0, 0), (1, 0), (1, 0)))
        ]
    )


# --- the bank -------------------------------------------------------------------------------------


class Bank:
    """Footage by id, made from its files when first used and kept in the folder `cache`.

    What is kept is named by the file's content and the encoder's fingerprint, so a cache may serve
    any number of folders, and an interrupted run resumes where it stopped. half: compute in
    bfloat16.
    """

    def __init__(self, cache: Path, half: bool = False) -> None:
        self._folder = cache / ("footage-half" if half else "footage")
        self._half = half
        self._encoder = EfficientNetMotion()

    def footage(self, item: Item) -> Footage:
        """`item` in the bank. MediaError where the file cannot be used."""
        maker = f"{self._encoder.fingerprint}-{VERSION}"
        found = cached(self._folder, item.content, maker, lambda: self._make(item))
        return Footage(item, found["rows"], found["planes"], found["looks"])

    def _make(self, item: Item) -> Arrays:
        import torch

        from mgsv.encoders.networks.efficientnet import BATCH, picture_features

        pictures, planes = view_pictures(item)
        lit = (
            np.asarray(np.round(picture * np.float32(light)), np.uint8)
            for picture in pictures
            for light in LIGHTS
        )
        with torch.autocast("cpu", torch.bfloat16, enabled=self._half):
            rows = np.concatenate([picture_features(batch) for batch in batches(lit, BATCH)])
        rows = rows.reshape(len(pictures), len(LIGHTS), -1)
        return {"rows": rows, "planes": planes, "looks": _looks(pictures, rows[:, -1])}


def _looks(pictures: list[Picture], rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """float32 [len(LOOKS)] of a picture's or clip's views [P] and their rows [P, D]."""
    import torch

    from mgsv.encoders.networks.efficientnet import shared_network

    small = np.stack([_shrunk(picture, THUMB_WIDTH, THUMB_HEIGHT) for picture in pictures]) / 255
    red, green, blue = small.transpose(1, 0, 2, 3)
    luma = small.mean(1)
    opponents = np.stack([red - green, (red + green) / 2 - blue])
    with torch.inference_mode():
        classes = shared_network().classify(torch.from_numpy(rows)).softmax(-1).mean(0)
    return np.array(
        [
            luma.mean(),
            (red - blue).mean(),
            opponents.std(axis=(2, 3)).mean(),
            np.abs(np.diff(luma, axis=2)).mean(),
            float(classes.numpy()[NATURE].sum()),
        ],
        np.float32,
    )
