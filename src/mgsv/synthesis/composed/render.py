"""The file of a composed video, from the same plan as its features."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mgsv.media.isolated import read_still, render
from mgsv.media.pictures import Picture, write_film
from mgsv.moment import Moment
from mgsv.synthesis.composed.corpus import Item
from mgsv.synthesis.composed.features import blended, clip_frame_numbers
from mgsv.synthesis.composed.footage import CANVAS, Footage, clip_frames, sharp_window
from mgsv.synthesis.composed.plan import FRAME_RATE, FloatArray, Plan, Shot

ENLARGED = 2
"""Times that each side of a lossy film is enlarged: a codec does more harm to pictures as small as
the encoder's than to any video that people make.
"""


def film(
    plan: Plan,
    bank: Mapping[str, Footage],
    output: str | os.PathLike[str],
    *,
    crf: int | None = 23,
    track: Path | None = None,
    track_start: float = 0.0,
) -> None:
    """Write the video of `plan` to `output`, which must not exist.

    crf: H.264's quality, None for a lossless file (FFV1 in .mkv). track: its music, for a file with
    sound; track_start: seconds into it at which the plan's track begins (of an excerpt).
    """
    output = Path(output)
    enlarged = 1 if crf is None else ENLARGED
    if track is None:
        write_film(output, pictures(plan, bank), FRAME_RATE, crf=crf, enlarged=enlarged)
        return
    silent = output.with_name(f".{output.stem}.silent{output.suffix}")
    try:
        write_film(
            silent,
            pictures(plan, bank),
            FRAME_RATE,
            crf=crf,
            enlarged=enlarged,
            overwrite=True,
        )
        start = track_start + plan.music_start
        render(silent, track, Moment(start, start + plan.seconds), output)
    finally:
        silent.unlink(missing_ok=True)


def pictures(plan: Plan, bank: Mapping[str, Footage]) -> Iterator[Picture]:
    """Every frame of the video, uint8 RGB."""
    last: Picture | None = None
    for shot in plan.shots:
        first, end = (round(time * FRAME_RATE) for time in (shot.start, shot.end))
        times = np.arange(first, end) / FRAME_RATE
        shown = _shot(plan, shot, bank[shot.source], times)
        picture = None
        for picture, opacity in zip(shown, shot.opacity(times), strict=True):
            if last is not None and opacity < 1:
                picture = blended(last, picture[None], np.array([opacity]))[0]
            yield picture
        last = picture


def _shot(plan: Plan, shot: Shot, footage: Footage, times: FloatArray) -> Iterator[Picture]:
    """What a shot shows at `times` [n], at full opacity."""
    lights = plan.light_at(times)
    if footage.is_clip:
        yield from _clip(footage.item, clip_frame_numbers(shot, times), lights)
        return
    canvas = read_still(footage.item.path, *CANVAS)
    for window, light in zip(plan.windows(shot, times), lights, strict=True):
        yield sharp_window(canvas, window, light)


def _clip(
    item: Item, numbers: npt.NDArray[np.intp], lights: npt.NDArray[np.float64]
) -> Iterator[Picture]:
    """The frames `numbers` [n], which never fall, at brightness `lights` [n]."""
    frames = enumerate(clip_frames(item))
    number, frame = next(frames)
    for wanted, light in zip(numbers, lights, strict=True):
        while number < wanted:
            number, frame = next(frames)
        yield np.asarray(np.round(frame * np.float32(light)), np.uint8)
