"""Tracks and clips made of numbers, for tests of methods: no files behind them."""

from __future__ import annotations

from dataclasses import replace
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


PERIOD = 0.5
"""Seconds between the beats of `song`."""


def song(seconds: float = 80.0, seed: int = 0, first: float = 0.2) -> TrackFeatures:
    """Four beats a bar at 120 bpm, the first of each stronger; a section every 16 s, each with a
    sound and a loudness of its own.
    """
    rng = np.random.default_rng(seed)
    beats = np.arange(first, seconds - 0.1, PERIOD)
    onset = rng.exponential(0.03, round(seconds * ONSET_RATE))
    strength = rng.uniform(0.3, 1.2, len(beats))
    strength[::4] += 1.0
    onset[np.rint((beats + ONSET_DELAY) * ONSET_RATE).astype(int)] += strength
    section = ((np.arange(len(onset)) / ONSET_RATE - first) // 16).clip(0).astype(int)
    levels = rng.uniform(0.6, 0.9, section.max() + 1)
    slow = np.convolve(rng.normal(size=len(onset) + 99), np.hanning(100), "valid")
    energy = levels[section] + 0.02 * slow / slow.std()
    made = track(f"song{seed}", onset, np.clip(energy, 0, 1), beats)
    rows = (((np.arange(np.ceil(seconds / 2.5)) + 0.5) * 2.5 - first) // 16).clip(0).astype(int)
    sounds = rng.normal(size=(rows.max() + 1, 12))
    segments = (sounds[rows] + rng.normal(0, 0.2, (len(rows), 12))).astype(np.float16)
    return replace(made, segments=segments, segment_mask=np.ones(len(rows), bool))


def edit_of(features: TrackFeatures, start: float, *, late: float = 0.0, seed: int = 0) -> Query:
    """A 12 s clip cut on a third of the beats from `start` on, each `late` seconds after its beat
    and shown by the next frame of 25 a second; its motion follows the energy.
    """
    rng = np.random.default_rng(seed)
    beats = features.beats[(features.beats > start + 0.3) & (features.beats < start + 11.5)]
    strength = features.onset[np.rint((beats + ONSET_DELAY) * ONSET_RATE).astype(int)]
    chosen = beats[strength.astype(float) + rng.uniform(0, 0.6, len(beats)) > 1.1]
    cuts = np.ceil((chosen - start + late) * 25 - 1e-6) / 25
    at = start - late + np.arange(120) / 10
    loud = np.interp(at, np.arange(len(features.energy)) / ONSET_RATE, features.energy)
    return query(12.0, cuts, np.exp(8 * loud + rng.normal(0, 0.3, 120)))
