"""The planted benchmark's oracle: how well its moments can be found by one who knows the views.

It reads the latent states back from both modalities and slides the video's over the track's. Its
mIoU is what noise and repeats leave possible, the ceiling beside which a trained model is read.
"""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt

from mgsv.data.annotations import Annotations
from mgsv.data.folder import DataFolder
from mgsv.data.packed import FloatArray, PackedStore
from mgsv.synthesis.planted.benchmark import read_recipe, views
from mgsv.synthesis.planted.songs import STATES, STEP, states_at

HOP = 0.25
"""Seconds between the starts the oracle tries."""


def predict_oracle(folder: str | os.PathLike[str], rows: Annotations) -> npt.NDArray[np.float64]:
    """[N, 2] moments in seconds for `rows` of the planted benchmark in `folder`."""
    data = DataFolder.open(folder)
    frame_view, segment_view = views(read_recipe(folder))
    frames, segments = PackedStore(data.packed("frames")), PackedStore(data.packed("segments"))
    moments = np.empty((len(rows), 2))
    for n, row in enumerate(rows):
        video = frame_view.states(frames.read(row.video_id).features)
        track = segment_view.states(segments.read(row.music_id).features)
        start = best_start(video, track, row.music_total_duration - row.video_seconds)
        moments[n] = start, start + row.video_seconds
    return moments


def best_start(video: FloatArray, track: FloatArray, latest: float) -> float:
    """The start in seconds, at most `latest`, where track and video differ least.

    `video` [F, K] lies at whole seconds, `track` [S, K] at multiples of 2.5 s. A video's constant
    look shifts all its seconds alike, so the mean difference counts once and not once per second.
    """
    starts = np.arange(0, max(latest, 0) + HOP, HOP)
    starts = starts[starts <= max(latest, 0)]
    seconds = np.minimum(starts[:, None] + np.arange(len(video)), (len(track) - 1) * STEP)
    padded = np.pad(track, ((0, max(0, STATES - len(track))), (0, 0)), mode="edge")
    there = states_at(padded, seconds.ravel()).reshape(*seconds.shape, -1)
    difference = there - video
    mean = difference.mean(axis=1, keepdims=True)
    cost = ((difference - mean) ** 2).sum(axis=(1, 2)) + (mean**2).sum(axis=(1, 2))
    return float(starts[cost.argmin()])
