"""Tracks and clips made of numbers, for tests of methods: no files behind them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from mgsv.library import Track, TrackFeatures
from mgsv.media.rhythm import ENERGY_RANGE_DB, ONSET_DELAY, ONSET_RATE
from mgsv.media.video import CURVE_RATE, VideoCurves, VideoInfo
from mgsv.methods.base import Query


def track(
    name: str, onset: npt.ArrayLike, energy: npt.ArrayLike, beats: npt.ArrayLike = ()
) -> TrackFeatures:
    """A track whose curves at 62.5 Hz are given; energy from 0 to 1."""
    onset16 = np.asarray(onset, np.float16)
    return TrackFeatures(
        track=Track(
            id=name,
            path=Path(f"{name}.mp3"),
            duration=len(onset16) / ONSET_RATE,
            tempo=0.0,
            tags=(),
        ),
        segments=np.zeros((1, 1), np.float16),
        segment_mask=np.ones(1, bool),
        onset=onset16,
        energy=np.asarray(energy, np.float16),
        beats=np.asarray(beats, np.float32),
    )


def random_track(name: str, seconds: float, seed: int, beat: float = 0.5) -> TrackFeatures:
    """Onsets of random strength on a beat, energy that wanders by some 10 dB (0.16)."""
    rng = np.random.default_rng(seed)
    length = round(seconds * ONSET_RATE)
    beats = np.arange(0.1, seconds - 0.1, beat)
    onset = rng.exponential(0.05, length)
    onset[np.round((beats + ONSET_DELAY) * ONSET_RATE).astype(int)] += rng.exponential(
        2.0, len(beats)
    )
    slow = np.convolve(rng.normal(0, 1, length + 400), np.hanning(400), mode="valid")[:length]
    return track(name, onset, np.clip(0.6 + 0.08 * slow / slow.std(), 0, 1), beats)


def query(seconds: float, cuts: npt.ArrayLike = (), motion: npt.ArrayLike | None = None) -> Query:
    """A clip with these cuts and this motion curve at 10 Hz (standing still where not given)."""
    length = round(seconds * CURVE_RATE)
    curves = VideoCurves(
        duration=seconds,
        motion=np.zeros(length, np.float32) if motion is None else np.asarray(motion, np.float32),
        light=np.full(length, 0.5, np.float32),
        cuts=np.asarray(cuts, np.float32),
    )
    return Query(VideoInfo(Path("clip.mp4"), seconds, 640, 360, 0, 25.0, "h264", False), curves)


def query_for(features: TrackFeatures, start: float, seconds: float, cuts: int = 10) -> Query:
    """A clip cut on the strongest onsets of a moment, moving with its energy."""
    at = np.arange(len(features.onset)) / ONSET_RATE - ONSET_DELAY
    inside = np.flatnonzero((at > start + 0.2) & (at < start + seconds - 0.2))
    strongest = inside[np.argsort(-features.onset[inside].astype(float))[:cuts]]
    grid = start + (np.arange(round(seconds * CURVE_RATE)) + 0.5) / CURVE_RATE
    loudness = np.interp(grid, at, features.energy.astype(float))
    return query(
        seconds, np.sort(at[strongest] - start), 10 ** (loudness * ENERGY_RANGE_DB / 20) / 1000
    )
