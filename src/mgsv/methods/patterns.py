"""A clip and a track as curves on common grids, ready to be slid along each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mgsv.library import TrackCurves
from mgsv.media.rhythm import ENERGY_RANGE_DB, ONSET_DELAY, ONSET_RATE, at_rate
from mgsv.media.video import CURVE_RATE

Array = npt.NDArray[np.float32]
Spectra = npt.NDArray[np.complex64]

SMOOTH_SECONDS = 0.7
"""Motion and energy are compared at the pace of a movement or a phrase, not frame by frame."""
STRONG_ONSET = 0.98
"""Quantile. At two strong onsets a second, one 16 ms step in 30 holds one."""
SILENCE = 40.0 / ENERGY_RANGE_DB
"""A start 40 dB below the track's loud parts (95th percentile) is in silence."""
SILENCE_SECONDS = 0.5


@dataclass(frozen=True)
class ClipPattern:
    """What of a clip can agree with music.

    motion: [L] at 10 Hz, smoothed level of motion, zero mean and unit norm; all zeros for a clip
    that stands still. bursts: [L], sudden rises of motion, likewise. cuts: [C] seconds.
    """

    seconds: float
    motion: Array
    bursts: Array
    cuts: Array

    @classmethod
    def of(cls, seconds: float, motion: Array, cuts: Array) -> ClipPattern:
        """From a motion curve [T] at 10 Hz and cut times; `seconds` may be less than they cover."""
        length = max(1, round(seconds * CURVE_RATE))
        motion = motion[:length]
        # Log, since twice the movement looks like one step more, at any scale of the picture.
        level = np.log1p(motion / (np.median(motion) + 1e-4))
        return cls(
            seconds=seconds,
            motion=unit(_smooth(level)),
            bursts=unit(np.maximum(np.diff(level, prepend=level[:1]), 0.0)),
            cuts=cuts[(cuts > 0) & (cuts < seconds)].astype(np.float32),
        )

    def cropped(self, cells: int) -> ClipPattern:
        """The first `cells` tenths of a second, or all where there are no more."""
        if cells >= len(self.motion):
            return self
        seconds = cells / CURVE_RATE
        return replace(
            self,
            seconds=seconds,
            motion=unit(self.motion[:cells]),
            bursts=unit(self.bursts[:cells]),
            cuts=self.cuts[self.cuts < seconds],
        )

    def curve_spectra(self, n: int) -> Spectra:
        """Conjugate spectra [2, n // 2 + 1] of motion and bursts at 10 Hz, padded to `n`."""
        if ("curves", n) not in self._spectra:
            rows = np.zeros((2, n), np.float32)
            rows[:, : len(self.motion)] = self.motion, self.bursts
            self._spectra["curves", n] = np.conj(np.fft.rfft(rows))
        return self._spectra["curves", n]

    def cut_spectrum(self, n: int) -> Spectra:
        """Conjugate spectrum [n // 2 + 1] of the cuts as impulses at 62.5 Hz that sum to 1."""
        if ("cuts", n) not in self._spectra:
            impulses = np.zeros(n, np.float32)
            at = (self.cuts + ONSET_DELAY) * ONSET_RATE
            below = at.astype(int)
            share = (at - below) / max(1, len(at))
            np.add.at(impulses, below % n, 1 / max(1, len(at)) - share)
            np.add.at(impulses, (below + 1) % n, share)
            self._spectra["cuts", n] = np.conj(np.fft.rfft(impulses))
        return self._spectra["cuts", n]

    @cached_property
    def _spectra(self) -> dict[tuple[str, int], Spectra]:
        return {}


@dataclass(frozen=True)
class TrackPattern:
    """What of a track can agree with a clip.

    onset, energy: [T] at 10 Hz, mean onset strength and smoothed energy. strength: [N] at 62.5 Hz,
    onset strength from 0 to 1. audible: [T], whether a start there is not in silence.
    """

    features: TrackCurves
    onset: Array
    energy: Array
    strength: Array
    audible: npt.NDArray[np.bool_]

    @property
    def seconds(self) -> float:
        return self.features.track.duration

    @property
    def beats(self) -> Array:
        return self.features.beats

    @classmethod
    def of(cls, features: TrackCurves) -> TrackPattern:
        onset = features.onset.astype(np.float32)
        energy = _smooth(at_rate(features.energy, ONSET_RATE, CURVE_RATE))
        return cls(
            features=features,
            onset=at_rate(onset, ONSET_RATE, CURVE_RATE),
            energy=energy,
            strength=_strength(onset),
            audible=_audible(energy),
        )


def unit(curve: Array) -> Array:
    """Zero mean and unit norm; all zeros for a curve that does not vary."""
    centred = curve - curve.mean()
    norm = float(np.linalg.norm(centred))
    return np.asarray(centred / norm if norm >= 1e-6 else np.zeros_like(centred), np.float32)


def _strength(onset: Array) -> Array:
    """Onset strength from 0 to 1, where 1 is a strong onset of this track.

    The root, since an onset four times as strong does not sound four times as strong. Half of a
    neighbouring step's strength counts too: a film frame lasts 40 ms, so a cut may be shown half of
    that beside its onset.
    """
    strong = float(np.quantile(onset, STRONG_ONSET)) or float(onset.max()) or 1.0
    strength = np.sqrt(np.clip(onset / strong, 0.0, 1.0))
    around = np.maximum(strength, np.maximum(np.roll(strength, 1), np.roll(strength, -1)))
    return np.asarray((strength + around) / 2, np.float32)


def _audible(energy: Array) -> npt.NDArray[np.bool_]:
    """Whether the half second after each cell is above the track's silence."""
    window = int(SILENCE_SECONDS * CURVE_RATE)
    padded = np.concatenate([energy, np.full(window - 1, energy[-1], np.float32)])
    ahead = np.lib.stride_tricks.sliding_window_view(padded, window).mean(axis=1)
    return np.asarray(ahead > np.quantile(energy, 0.95) - SILENCE)


def _smooth(curve: Array) -> Array:
    """Hann-weighted mean over SMOOTH_SECONDS, the edges repeated."""
    width = round(SMOOTH_SECONDS * CURVE_RATE) | 1
    window = np.hanning(width + 2)[1:-1]
    padded = np.pad(curve, width // 2, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid").astype(np.float32)
