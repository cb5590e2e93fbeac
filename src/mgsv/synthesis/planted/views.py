"""The two views of latent states that a model reads, and the oracle who knows them.

The oracle reads the latent states back from both modalities and slides the video's over the
track's. Its mIoU is what noise and repeats leave possible, the ceiling beside which a trained model
is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mgsv.data.annotations import Annotations
from mgsv.data.folder import DataFolder
from mgsv.data.packed import FloatArray, PackedStore
from mgsv.synthesis.planted.options import PlantOptions, read_recipe
from mgsv.synthesis.planted.songs import states_at
from mgsv.synthesis.planted.worlds import STEP, world_named

CURVED_DIM = 8
"""Dimensions the nonlinear part of a view adds."""

HOP = 0.25
"""Seconds between the starts the oracle tries."""


@dataclass(frozen=True)
class View:
    """One modality's fixed projection of latent states [T, K] to features [T, D].

    features = [states, curve * tanh(states @ bend)] @ matrix + grain. `matrix` has full row rank,
    so the states come back exactly from features without grain.
    """

    matrix: FloatArray
    bend: FloatArray
    curve: float
    grain: float

    @classmethod
    def make(cls, seed: int, salt: int, dim: int, options: PlantOptions) -> View:
        rng = np.random.default_rng((seed, 3, salt))
        latent = options.latent_dim
        matrix = rng.standard_normal((latent + CURVED_DIM, dim)) / np.sqrt(latent)
        bend = rng.standard_normal((latent, CURVED_DIM)) / np.sqrt(latent) * 2
        return cls(matrix.astype(np.float32), bend.astype(np.float32), options.curve, options.grain)

    def project(self, states: FloatArray, rng: np.random.Generator) -> FloatArray:
        curved = self.curve * np.tanh(states @ self.bend)
        features = np.concatenate([states, curved], axis=-1) @ self.matrix
        return features + np.float32(self.grain) * rng.standard_normal(features.shape, np.float32)

    def states(self, features: FloatArray) -> FloatArray:
        """The latent states [..., K] that `features` [..., D] show, by least squares."""
        return np.asarray(features @ self._inverse, np.float32)

    @cached_property
    def _inverse(self) -> FloatArray:
        """[D, K] what gives the states back; the curved part is dropped."""
        return np.asarray(np.linalg.pinv(self.matrix)[:, : self.bend.shape[0]], np.float32)


def views(options: PlantOptions) -> tuple[View, View]:
    """The views of (frames, segments), which only an oracle may know."""
    world = world_named(options.world)
    return (
        View.make(options.seed, 1, world.frame_dim, options),
        View.make(options.seed, 2, world.segment_dim, options),
    )


# --- the oracle -----------------------------------------------------------------------------------


def predict_oracle(data: DataFolder, rows: Annotations) -> npt.NDArray[np.float64]:
    """[N, 2] moments in seconds for `rows` of the planted benchmark `data`."""
    frame_view, segment_view = views(read_recipe(data.root))
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
    padded = np.pad(track, ((0, 1), (0, 0)), mode="edge")  # a track may have but one segment
    there = states_at(padded, seconds.ravel()).reshape(*seconds.shape, -1)
    difference = there - video
    mean = difference.mean(axis=1, keepdims=True)
    cost = ((difference - mean) ** 2).sum(axis=(1, 2)) + (mean**2).sum(axis=(1, 2))
    return float(starts[cost.argmin()])
