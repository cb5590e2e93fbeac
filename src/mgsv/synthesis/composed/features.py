"""The features of a composed video, without the video: from the bank's rows and a miniature of it.

What the encoder sees at a whole second is a view of the bank. What happens in between is measured
by `media.shots`, as of a file, from a thumbnail of every frame.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from mgsv.data.folder import FRAME_SLOTS
from mgsv.encoders.motion import APPEARANCE_DIM, motion_features
from mgsv.media.shots import CurveBuilder, VideoCurves
from mgsv.media.video import ROUNDING
from mgsv.synthesis.composed.footage import Footage, Planes, dimmed, still_thumbnails
from mgsv.synthesis.composed.plan import CLIP_STEPS, FRAME_RATE, FloatArray, Plan, Shot


def video_features(plan: Plan, bank: Mapping[str, Footage]) -> npt.NDArray[np.float32]:
    """float32 [F, D]: what the default video encoder gives of the file's first 50 s."""
    seconds = min(math.ceil(plan.seconds - ROUNDING), FRAME_SLOTS)
    lights = plan.light_at(np.arange(seconds))
    rows = []
    number = 0
    for second, light in enumerate(lights.tolist()):
        while plan.shots[number].end <= second + 1e-6:
            number += 1
        shot = plan.shots[number]
        row = bank[shot.source].row(shot.views[second - int(shot.start)], light)
        if (seen := float(shot.opacity(second))) < 1:
            # What the encoder says of two pictures at once is not known; few seconds fall there.
            before = plan.shots[number - 1]
            row = (1 - seen) * bank[before.source].row(before.views[-1], light) + seen * row
        rows.append(row)
    return np.hstack([np.stack(rows), motion_features(video_curves(plan, bank), seconds)])


def video_curves(plan: Plan, bank: Mapping[str, Footage]) -> VideoCurves:
    """Motion, light and cuts of the video, by the code that measures them in a file."""
    builder = CurveBuilder()
    last: Planes | None = None
    for shot in plan.shots:
        first, end = (round(time * FRAME_RATE) for time in (shot.start, shot.end))
        times = np.arange(first, end) / FRAME_RATE
        thumbs = shot_thumbnails(plan, shot, bank[shot.source], times)
        if last is not None:
            thumbs = blended(last, thumbs, shot.opacity(times))
        for time, thumb in zip(times.tolist(), thumbs, strict=True):
            builder.add(time, thumb)
        last = thumbs[-1]
    return builder.finish(plan.seconds)


def shot_thumbnails(plan: Plan, shot: Shot, footage: Footage, times: FloatArray) -> Planes:
    """uint8 [n, 54, 64] thumbnails of a shot at `times` [n] of the video."""
    if footage.is_clip:
        return dimmed(footage.planes[clip_frame_numbers(shot, times)], plan.light_at(times))
    windows, inverse = np.unique(plan.windows(shot, times), axis=0, return_inverse=True)
    return dimmed(still_thumbnails(footage, windows)[inverse.ravel()], plan.light_at(times))


def blended(last: Planes, pictures: Planes, opacity: FloatArray) -> Planes:
    """uint8 pictures [n, ...] that fade in by `opacity` [n] over the one before them."""
    mixed = pictures.copy()
    for n in np.flatnonzero(opacity < 1):
        mixed[n] = np.round((1 - opacity[n]) * last + opacity[n] * pictures[n])
    return mixed


def clip_frame_numbers(shot: Shot, times: FloatArray) -> npt.NDArray[np.intp]:
    """[n] which frame of a clip, at `FRAME_RATE`, a shot shows; it stands still at its end."""
    passed = times - int(shot.start) + shot.views[0] / CLIP_STEPS
    last = shot.views[-1] * FRAME_RATE // CLIP_STEPS
    return np.minimum(np.round(passed * FRAME_RATE).astype(np.intp), last)


# --- what a codec does to them --------------------------------------------------------------------
#
# Measured by `benchmarks/compose.py likeness`, which prints the figures.

FLOOR, SHARE = 0.05, 0.2
"""Deviation of an appearance value x: FLOOR + SHARE x, and never below 0 in the sum."""

LASTING = 0.45
"""Share of that variance that stays the same over a shot, whose frames resemble each other."""

MOTION = (0.045, 0.05, 0.04, 0.0, 0.0, 0.001, 0.005, 0.003)
"""Deviations of `motion.CHANNELS`."""


def with_codec_noise(
    features: npt.NDArray[np.float32], plan: Plan, rng: np.random.Generator, scale: float = 1.0
) -> npt.NDArray[np.float32]:
    """Features [F, D] of `plan` as its file might give them; `scale` 1 is H.264's default."""
    appearance, motion = np.split(features, [APPEARANCE_DIM], axis=1)
    starts = [shot.start for shot in plan.shots]
    shots = np.searchsorted(starts, np.arange(len(features)) + 1e-6) - 1
    lasting = rng.standard_normal((len(starts), APPEARANCE_DIM), np.float32)[shots]
    fresh = rng.standard_normal(appearance.shape, np.float32)
    deviation = np.float32(scale) * (FLOOR + np.float32(SHARE) * appearance)
    noise = deviation * (np.sqrt(LASTING) * lasting + np.sqrt(1 - LASTING) * fresh)
    shaken = motion + scale * np.array(MOTION) * rng.standard_normal(motion.shape)
    return np.hstack([np.maximum(appearance + noise, 0), shaken]).astype(np.float32)
