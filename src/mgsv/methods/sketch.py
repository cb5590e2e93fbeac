"""A track in a few kilobytes: as much of it as tells, at a glance, whether an edit could fit.

Beats and onsets are kept 50 times a second in 4 bits each, the loudness 5 times a second in 8, and
the structure's marks as they are. So the sketches of a whole library can be gone through for each
clip, and the marks, which take longest to find, are there for the tracks that are looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mgsv.library import TrackCurves
from mgsv.media.curves import at_rate
from mgsv.media.rhythm import ONSET_RATE
from mgsv.media.structure import Structure
from mgsv.media.video import CURVE_RATE
from mgsv.methods.editing import bumps
from mgsv.methods.placement import Music
from mgsv.methods.synchrony import TrackPattern, fft_size

VERSION = "1"

RATE = 25.0
"""Starts per second that are looked at, an editor's frames."""
SPARSE = 5
"""Of a shaken clip every fifth start is looked at, as in the survey."""
PHASES = 2
"""Beats and onsets are kept so many times as finely: an onset is hardly longer than a frame."""
ENERGY_RATE = 5.0
"""Per second: loudness is compared at the pace of a phrase."""
LEVELS = 16
"""Of beats and of onsets. More would be finer than the frames that cuts fall on allow."""
BINS, BIN = 250, 0.05
"""Their power is kept in so many bands of so many Hz."""

FIELDS: Mapping[str, tuple[str, int]] = {
    # [n] at RATE, from 0 on and from half a step on. The high half of a byte is how near the first
    # beat of a bar, or another beat, is; the low half, how strong the onset is.
    "even": ("|u1", 1),
    "odd": ("|u1", 1),
    "levels": ("<f4", 1),  # [2 * LEVELS] how often each level of beats, and of onsets, occurs
    "power": ("<f2", 1),  # [2 * BINS] variance of both by frequency
    "energy": ("|u1", 1),  # [n] at ENERGY_RATE, 0 to 1 as 0 to 255
    "facts": ("<f4", 1),  # seconds, and where the music starts
    "downbeats": ("<f4", 1),
    "borders": ("<f4", 1),
    "phrases": ("<f4", 1),
}
"""What is kept of a track; see `media.structure.Structure` for the last three."""

MARKS = ("downbeats", "borders", "phrases")

Row = Mapping[str, npt.NDArray[Any]]


def sketch_of(music: Music, origin: float) -> Row:
    """The sketch of a track; origin: where the music starts, in seconds."""
    track, structure = music.pattern, music.structure
    # Whole groups of starts, so that those of a shaken clip are the same in any company.
    count = SPARSE * int(np.ceil(track.seconds * RATE / SPARSE))
    beats, onsets = (_levels(curve, PHASES * count) for curve in (bumps(music), track.strength))
    energy = at_rate(track.energy, CURVE_RATE, ENERGY_RATE)
    both = beats << 4 | onsets
    return {
        "even": both[::PHASES],
        "odd": both[1::PHASES],
        "levels": np.concatenate([np.bincount(x, minlength=LEVELS) for x in (beats, onsets)]),
        "power": np.concatenate([_power(x / (LEVELS - 1)) for x in (beats, onsets)]),
        "energy": np.rint(np.clip(energy, 0, 1) * 255).astype(np.uint8),
        "facts": np.array([track.seconds, origin], np.float32),
        "downbeats": structure.downbeats,
        "borders": structure.borders,
        "phrases": structure.phrases,
    }


def music_of(features: TrackCurves, row: Row) -> Music:
    """A track as placing looks at it, its structure from its sketch."""
    downbeats, borders, phrases = (np.array(row[name], np.float32) for name in MARKS)
    return Music(TrackPattern.of(features), Structure(downbeats, borders, phrases))


def _levels(curve: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.uint8]:
    """[count] a curve from 0 to 1 at the onsets' rate, at PHASES * RATE in 4 bits."""
    places = np.arange(count) * (ONSET_RATE / (PHASES * RATE))
    values = np.interp(places, np.arange(len(curve)), curve, right=0.0)
    return np.asarray(np.rint(np.clip(values, 0, 1) * (LEVELS - 1)), np.uint8)


def _power(level: npt.NDArray[np.float64]) -> npt.NDArray[np.float16]:
    """[BINS] variance of a curve at PHASES * RATE by frequency; the last band has the rest."""
    spectrum = np.abs(np.fft.rfft(level - level.mean(), fft_size(len(level)))) ** 2
    frequency = np.fft.rfftfreq(fft_size(len(level)), 1 / (PHASES * RATE))
    bands = np.minimum((frequency / BIN + 0.5).astype(int), BINS - 1)
    total = np.bincount(bands, spectrum, BINS)
    return np.asarray(total * (level.var() / max(float(total.sum()), 1e-9)), np.float16)
