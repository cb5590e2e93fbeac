"""How well what is seen goes with what is heard, for every start of a clip on a track.

Editors cut on the beat and let the picture move with the music, so a moment fits a clip when cuts
fall on onsets and the picture's motion rises and falls with the music's energy. Three terms, each
at most 1 and 0 on average for an unrelated moment:

* cuts: how strong the onsets under the clip's cuts are, against the track's average moment;
* motion: normalised cross-correlation of the clip's motion level with the music's energy;
* bursts: the same for sudden rises of motion with the onset envelope.

The *agreement* is their weighted mean. A clip without cuts, or one that does not move, has fewer
terms. All starts of a track are scored at once through FFTs: motion and bursts on a 10 Hz grid,
cuts on the onset envelope's 16 ms grid, of which each 0.1 s cell takes the best place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from mgsv.library import TrackCurves
from mgsv.media.curves import at_rate, distances, sliding_windows
from mgsv.media.rhythm import ENERGY_RANGE_DB, ONSET_DELAY, ONSET_RATE
from mgsv.media.video import CURVE_RATE
from mgsv.methods.base import Query

Array = npt.NDArray[np.float32]
Seconds = npt.NDArray[np.floating]
Spectra = npt.NDArray[np.complex64]

WEIGHTS = {"cuts": 0.5, "motion": 0.35, "bursts": 0.15}
"""Cuts count most: they are exact in time, and a cut beside the beat is what viewers notice."""
CUTS_FOR_FULL_WEIGHT = 4
"""A single cut lands on some strong onset almost anywhere; four at once are evidence."""

BEAT_SIGMA = 0.04
"""Seconds. Listeners hear two events as one up to about 40 ms apart."""

CELL_STEPS = np.arange(-3, 4)
"""16 ms steps around a cell's centre: 0.1 s is 6.25 of them."""

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

    @property
    def cells(self) -> int:
        """Tenths of a second."""
        return len(self.onset)

    def last_step(self, length: int) -> int:
        """The last 16 ms step at which a clip of `length` cells may start."""
        last = round((self.cells - length) / CURVE_RATE * ONSET_RATE)
        return min(last, len(self.strength) - 1)

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

    def curve_spectra(self, n: int) -> Spectra:
        """Spectra [2, n // 2 + 1] of energy and onset at 10 Hz, padded to `n`."""
        if ("curves", n) not in self._spectra:
            self._spectra["curves", n] = _spectrum(np.stack([self.energy, self.onset]), n)
        return self._spectra["curves", n]

    def strength_spectrum(self, n: int) -> Spectra:
        """Spectrum [n // 2 + 1] of the strength at 62.5 Hz, padded to `n`."""
        if ("strength", n) not in self._spectra:
            self._spectra["strength", n] = _spectrum(self.strength, n)
        return self._spectra["strength", n]

    def window_norms(self, length: int, starts: int) -> npt.NDArray[np.float64]:
        """[2, starts] norms of energy and onset about their mean, over windows of `length`."""
        norms = self._norms.get(length)
        if norms is None:
            curves = (self.energy, self.onset)
            norms = np.stack([window_norms(curve, length, starts) for curve in curves])
            self._norms.clear()  # the next clip has another length
            self._norms[length] = norms
        return norms

    @cached_property
    def _spectra(self) -> dict[tuple[str, int], Spectra]:
        return {}

    @cached_property
    def _norms(self) -> dict[int, npt.NDArray[np.float64]]:
        return {}


@dataclass(frozen=True)
class Agreement:
    """Agreement of a clip with every start of a track. Cell i stands for starts about i / 10 s.

    total: [S], each cell's best; -inf in silence. curves: [S], the weighted terms of motion and
    bursts, the same all over a cell. cuts: the cuts' term at starts j / 62.5 s, or None for a clip
    without cuts. terms: motion and bursts apart, [S] each. weights: of the terms, summing to 1.
    """

    total: Array
    curves: Array
    cuts: Array | None
    terms: dict[str, Array]
    weights: dict[str, float]

    def at(self, starts: Seconds) -> Array:
        """Agreement at exact `starts` [N] in seconds."""
        weight = self.weights.get("cuts", 0.0)
        agreement = self.curves[self.cells(starts)] + weight * self.cuts_at(starts)
        return np.asarray(agreement, np.float32)

    def cuts_at(self, starts: Seconds) -> Array:
        """The cuts' term at exact `starts` [N]; 0 for a clip without cuts."""
        if self.cuts is None:
            return np.zeros(len(starts), np.float32)
        steps = np.arange(len(self.cuts))
        return np.asarray(np.interp(starts * ONSET_RATE, steps, self.cuts), np.float32)

    def term_at(self, name: str, starts: Seconds) -> Array:
        """The term `motion` or `bursts` at exact `starts` [N]; 0 where the clip has none."""
        if name not in self.terms:
            return np.zeros(len(starts), np.float32)
        cells = np.arange(len(self.terms[name]))
        return np.asarray(np.interp(starts * CURVE_RATE, cells, self.terms[name]), np.float32)

    def cells(self, starts: Seconds) -> npt.NDArray[np.int_]:
        """The cell of each start [N]."""
        cells = np.rint(starts * CURVE_RATE).astype(int)
        return np.asarray(np.minimum(cells, len(self.total) - 1))


def pattern_of(query: Query, share: float = 1.0) -> ClipPattern:
    """The first `share` of a clip."""
    return ClipPattern.of(query.seconds * share, query.curves.motion, query.curves.cuts)


def agree(clip: ClipPattern, track: TrackPattern) -> Agreement:
    """Slide `clip` along `track`.

    A clip longer than the track is compared by the part that the track can accompany, from start 0.
    """
    clip = clip.cropped(track.cells)
    length = len(clip.motion)
    starts = track.cells - length + 1
    weights = term_weights(clip)
    total = np.zeros(starts, np.float32)
    terms = {}
    if "motion" in weights or "bursts" in weights:
        # Circular correlation needs no room for wrapping: a start's window ends inside the track.
        n = fft_size(len(track.onset))
        sums = np.fft.irfft(track.curve_spectra(n) * clip.curve_spectra(n), n)[:, :starts]
        terms["motion"], terms["bursts"] = sums / track.window_norms(length, starts)
        terms = {name: term.astype(np.float32) for name, term in terms.items() if name in weights}
        for name, term in terms.items():
            total += np.float32(weights[name]) * term
    curves, cuts = total, None
    if "cuts" in weights:
        n = fft_size(len(track.strength))
        hits = np.fft.irfft(track.strength_spectrum(n) * clip.cut_spectrum(n), n)
        usual = float(track.strength.mean())
        last = track.last_step(length)
        cuts = ((hits[: last + 1] - usual) / max(1.0 - usual, 1e-6)).astype(np.float32)
        total = curves + np.float32(weights["cuts"]) * cuts[_cell_steps(starts, last)].max(axis=1)
    audible = track.audible[:starts]
    if audible.any():
        total = np.where(audible, total, np.float32(-np.inf))
    return Agreement(total, curves, cuts, terms, weights)


def term_weights(clip: ClipPattern) -> dict[str, float]:
    """Weights of the terms that the clip can speak for; none for a still clip without cuts."""
    confidence = {
        "cuts": cut_confidence(clip),
        "motion": float(clip.motion.any()),
        "bursts": float(clip.bursts.any()),
    }
    raw = {name: WEIGHTS[name] * share for name, share in confidence.items() if share > 0}
    return {name: weight / sum(raw.values()) for name, weight in raw.items()}


def cut_confidence(clip: ClipPattern) -> float:
    """How much the cuts can tell, 0 to 1."""
    return min(1.0, len(clip.cuts) / CUTS_FOR_FULL_WEIGHT)


def nearness(starts: Seconds, times: Seconds) -> Array:
    """[N] 1 for a start on one of `times` [K], falling to 0 within about 0.1 s; 0 without any."""
    return np.asarray(np.exp(-0.5 * (distances(starts, times) / BEAT_SIGMA) ** 2), np.float32)


def unit(curve: Array) -> Array:
    """Zero mean and unit norm; all zeros for a curve that does not vary."""
    centred = curve - curve.mean()
    norm = float(np.linalg.norm(centred))
    return np.asarray(centred / norm if norm >= 1e-6 else np.zeros_like(centred), np.float32)


def _spectrum(curves: Array, n: int) -> Spectra:
    return np.asarray(np.fft.rfft(curves, n), np.complex64)


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
    ahead = sliding_windows(padded, window, 1).mean(axis=1)
    return np.asarray(ahead > np.quantile(energy, 0.95) - SILENCE)


def _smooth(curve: Array) -> Array:
    """Hann-weighted mean over SMOOTH_SECONDS, the edges repeated."""
    width = round(SMOOTH_SECONDS * CURVE_RATE) | 1
    window = np.hanning(width + 2)[1:-1]
    padded = np.pad(curve, width // 2, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid").astype(np.float32)


def _cell_steps(starts: int, last: int) -> npt.NDArray[np.int_]:
    """[starts, 7] indices of the 16 ms steps that belong to each 0.1 s cell."""
    centres = np.rint(np.arange(starts) * (ONSET_RATE / CURVE_RATE)).astype(int)
    return np.asarray(np.clip(centres[:, None] + CELL_STEPS, 0, last))


def window_norms(curve: Array, length: int, starts: int) -> npt.NDArray[np.float64]:
    """√(Σ (x − mean)²) of every window of `length` cells; inf where a window does not vary."""
    sums = np.concatenate([[0.0], np.cumsum(curve, dtype=np.float64)])
    squares = np.concatenate([[0.0], np.cumsum(np.square(curve, dtype=np.float64))])
    mean = (sums[length : length + starts] - sums[:starts]) / length
    spread = squares[length : length + starts] - squares[:starts] - length * mean**2
    floor = 1e-6 * max(float(squares[-1]), 1e-12)
    return np.where(spread > floor, np.sqrt(np.maximum(spread, floor)), np.inf)


@cache
def fft_size(length: int) -> int:
    """The smallest 2^a·3^b·5^c that is at least `length`: sizes that the FFT is fast at."""
    best = 1 << (length - 1).bit_length()
    five = 1
    while five < best:
        three = five
        while three < best:
            two = three << max(0, (-(-length // three) - 1).bit_length())
            best = min(best, two)
            three *= 3
        five *= 5
    return best
