"""How much two tracks are alike: near 1 for one recording in two formats, less for any two others.

A recording that was encoded anew, levelled or trimmed keeps its rhythm, its loudness over time and
the waveform of its strongest partials. A version without the voice shares the rhythm with the one
that has it, so curves can only rule likeness out, which costs a millisecond; waveforms settle it.

Each measure is the lower quartile, over parts of four seconds, of the correlation at the best lag:
three quarters of the track must agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mgsv.media.rhythm import ONSET_RATE

Floats = NDArray[np.floating]

WAVE_RATE = 2_500
"""Hz. The highest band that is compared ends at 1 kHz: above it, codecs replace the waveform by
noise of the same level.
"""
BANDS = ((100.0, 400.0), (400.0, 1000.0))
"""Hz. Each by itself, since one would drown the other."""
MAX_LAG = 10.0
"""Seconds of silence or applause that one may have more of at its start."""
PART = 4.0
_ENOUGH = 240.0  # seconds that tell the lag
_SMOOTH = 2.0  # frames, 32 ms: a lag is no whole number of frames
_NEAR = 0.05  # seconds by which the lag of curves may be off
_FINE = np.linspace(-0.5, 0.5, 17)  # of a sample


class Curves:
    """A track's onset strength and energy at `ONSET_RATE`, ready to be compared with others."""

    def __init__(self, onset: Floats, energy: Floats) -> None:
        reach = np.arange(-8, 9)
        weights = np.exp(-0.5 * (reach / _SMOOTH) ** 2)
        padded = np.pad(onset.astype(np.float32), 8)
        smooth = np.convolve(padded, weights / weights.sum(), "valid")[: len(onset)]
        self._curves = np.stack([smooth, energy.astype(np.float32)]).astype(np.float32)

    @property
    def seconds(self) -> float:
        return float(self._curves.shape[1] / ONSET_RATE)

    def lag(self, other: Curves) -> float:
        """Seconds that `other` has to be moved to the right to lie on this, at most `MAX_LAG`."""
        if min(self.seconds, other.seconds) < PART:
            return 0.0
        likeness = np.fft.irfft(self._spectrum * np.conj(other._spectrum))
        most = round(MAX_LAG * ONSET_RATE)
        lags = np.arange(-most, most + 1)
        return float(lags[likeness[lags].argmax()] / ONSET_RATE)

    def likeness(self, other: Curves) -> float:
        """Of the less alike of both curves, at the lag of the onsets; from -1 to 1."""
        return min(self._likenesses(other, self.lag(other)))

    def is_like(self, other: Curves, lag: float, least: float) -> bool:
        """Whether both curves are at least so much alike where `other` is moved by `lag`."""
        return all(alike >= least for alike in self._likenesses(other, lag))

    def _likenesses(self, other: Curves, lag: float) -> Iterator[float]:
        for a, b in zip(self._curves, other._curves, strict=True):
            yield _lower_quartile(*_overlap(a, b, lag, ONSET_RATE), ONSET_RATE)

    @cached_property
    def _spectrum(self) -> NDArray[np.complex64]:
        """Of the beginning, of the same length for every track."""
        onset = self._curves[0, : round(_ENOUGH * ONSET_RATE)]
        size = 1 << (2 * round(_ENOUGH * ONSET_RATE)).bit_length()
        return np.asarray(np.fft.rfft(onset - onset.mean(), size), np.complex64)


def wave_likeness(one: Floats, other: Floats, lag: float) -> float:
    """Of two waveforms [N] at `WAVE_RATE`, in the less alike of `BANDS`; from -1 to 1.

    lag: seconds by which `other` has to be moved to the right, about. A waveform and its negative
    are alike, scraps of less than a part are like nothing.
    """
    if min(len(one), len(other)) < PART * WAVE_RATE:
        return 0.0
    size = 1 << (len(one) + len(other)).bit_length()
    here, there = np.fft.rfft(one, size), np.fft.rfft(other, size)
    pitch = np.fft.rfftfreq(size, 1 / WAVE_RATE)
    turn = 2j * np.pi * np.fft.rfftfreq(size)  # per sample of lag
    whole = (pitch >= BANDS[0][0]) & (pitch < BANDS[-1][1])
    product = np.where(whole, here * np.conj(there), 0)

    agreement = np.abs(np.fft.irfft(product))
    near = np.arange(round((lag - _NEAR) * WAVE_RATE), round((lag + _NEAR) * WAVE_RATE) + 1)
    best = near[agreement[near].argmax()]
    fine = np.array([product[whole] @ np.exp(turn[whole] * (best + step)) for step in _FINE]).real
    finest = int(np.abs(fine).argmax())
    there = there * np.exp(-turn * (best + _FINE[finest])) * np.sign(fine[finest])

    start, stop = max(0, int(best) + 1), max(0, min(len(one), len(other) + int(best) - 1))
    alike = []
    for low, high in BANDS:
        band = (pitch >= low) & (pitch < high)
        a, b = (np.fft.irfft(np.where(band, waves, 0))[start:stop] for waves in (here, there))
        alike.append(_lower_quartile(a, b, WAVE_RATE))
    return min(alike)


def _overlap(one: Floats, other: Floats, lag: float, rate: float) -> tuple[Floats, Floats]:
    """What lies on each other where `other` is moved by `lag` seconds to the right."""
    steps = round(lag * rate)
    one, other = one[max(0, steps) :], other[max(0, -steps) :]
    length = min(len(one), len(other))
    return one[:length], other[:length]


def _lower_quartile(one: Floats, other: Floats, rate: float) -> float:
    """Of the correlations of the parts [N] in which something happens; 0 where there are none."""
    size = round(PART * rate)
    count = len(one) // size
    if not count:
        return 0.0
    a, b = (x[: count * size].reshape(count, size).astype(np.float64) for x in (one, other))
    a, b = (x - x.mean(axis=1, keepdims=True) for x in (a, b))
    powers = (a**2).sum(axis=1), (b**2).sum(axis=1)
    heard = [power > 0.01 * np.median(power) for power in powers]
    alive = heard[0] & heard[1]
    if not alive.any():
        return 0.0
    correlation = (a * b).sum(axis=1)[alive] / np.sqrt(powers[0] * powers[1])[alive]
    return float(np.quantile(correlation, 0.25))
