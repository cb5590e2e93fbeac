"""`sync`: grounding without a learned model, by agreement of what is seen with what is heard.

Editors cut on the beat and let the picture move with the music, so a moment fits a clip when cuts
fall on onsets and the picture's motion rises and falls with the music's energy. Three terms, each a
correlation in [-1, 1] and 0 on average for an unrelated moment:

* cuts: how strong the onsets under the clip's cuts are, against the track's average moment;
* motion: normalised cross-correlation of the clip's motion level with the music's energy;
* bursts: the same for sudden rises of motion with the onset envelope.

The *agreement* is their weighted mean. A clip without cuts, or one that does not move, has fewer
terms. All starts of a track are scored at once on a 10 Hz grid through one FFT; the best few are
then refined on the onset envelope's own 16 ms grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mgsv.library import TrackCurves
from mgsv.media.rhythm import ENERGY_RANGE_DB, ONSET_DELAY, ONSET_RATE, at_rate
from mgsv.media.video import CURVE_RATE
from mgsv.methods.base import Detection, Placement, Query
from mgsv.moment import Moment

Array = npt.NDArray[np.float32]

VERSION = "1"

WEIGHTS = {"cuts": 0.5, "motion": 0.35, "bursts": 0.15}
"""Cuts count most: they are exact in time, and a cut beside the beat is what viewers notice."""
CUTS_FOR_FULL_WEIGHT = 4
"""A single cut lands on some strong onset almost anywhere; four at once are evidence."""

BEAT_BONUS = 0.03
"""For a start on a beat: decides between equals, never against a better agreement."""
BEAT_SIGMA = 0.04
"""Seconds. Listeners hear two events as one up to about 40 ms apart."""

SMOOTH_SECONDS = 0.7
"""Motion and energy are compared at the pace of a movement or a phrase, not frame by frame."""
SILENCE = 40.0 / ENERGY_RANGE_DB
"""A start 40 dB below the track's loud parts (95th percentile) is in silence."""
SILENCE_SECONDS = 0.5

SURROGATES = 20
CHANCE_QUANTILE = 0.95
CHANCE_TRACKS = 64
"""Chance is measured on at most this many tracks and extrapolated to the whole library."""

FREE_WIDTHS = (1.0, 0.75, 0.5)
"""With `fit="free"`, the share of the clip that the music may accompany."""

REFINE_STARTS = 6
REFINE_SECONDS = 0.12


@dataclass(frozen=True)
class ClipPattern:
    """The clip on the 10 Hz grid, ready to be slid along a track."""

    seconds: float
    motion: (
        Array  # [L] smoothed level, zero mean, unit norm; all zeros for a clip that stands still
    )
    bursts: Array  # [L] rises of motion, likewise
    cuts: Array  # [C] seconds

    @cached_property
    def weights(self) -> dict[str, float]:
        """The terms this clip can speak for, summing to 1; empty for a still clip without cuts."""
        confidence = {
            "cuts": min(1.0, len(self.cuts) / CUTS_FOR_FULL_WEIGHT),
            "motion": float(self.motion.any()),
            "bursts": float(self.bursts.any()),
        }
        raw = {name: WEIGHTS[name] * share for name, share in confidence.items() if share > 0}
        return {name: weight / sum(raw.values()) for name, weight in raw.items()}

    @classmethod
    def of(cls, seconds: float, motion: Array, cuts: Array) -> ClipPattern:
        """From a motion curve [T] at 10 Hz and cut times; `seconds` may be less than they cover."""
        length = max(1, round(seconds * CURVE_RATE))
        motion = motion[:length]
        # Log, since twice the movement looks like one step more, at any scale of the picture.
        level = np.log1p(motion / (np.median(motion) + 1e-4))
        return cls(
            seconds=seconds,
            motion=_unit(_smooth(level)),
            bursts=_unit(np.maximum(np.diff(level, prepend=level[:1]), 0.0)),
            cuts=cuts[(cuts > 0) & (cuts < seconds)].astype(np.float32),
        )

    def spectra(self, n: int) -> npt.NDArray[np.complex64]:
        """Conjugate spectra [3, n // 2 + 1] of the patterns, to correlate with; kept per n."""
        if n not in self._spectra:
            rows = np.zeros((3, n), np.float32)
            if len(self.cuts):
                cells = np.minimum((self.cuts * CURVE_RATE).astype(int), len(self.motion) - 1)
                np.add.at(rows[0], cells, 1.0 / len(self.cuts))
            rows[1, : len(self.motion)] = self.motion
            rows[2, : len(self.bursts)] = self.bursts
            self._spectra[n] = np.conj(np.fft.rfft(rows))
        return self._spectra[n]

    @cached_property
    def _spectra(self) -> dict[int, npt.NDArray[np.complex64]]:
        return {}


@dataclass(frozen=True)
class TrackPattern:
    """A track on the same grid."""

    features: TrackCurves
    onset: Array  # [T] mean onset strength per 0.1 s
    energy: Array  # [T] smoothed
    strength: (
        Array  # [T] rank in [0, 1] of the strongest onset within a cell and half a cell around
    )
    audible: npt.NDArray[np.bool_]  # [T] whether a start here is not in silence

    @property
    def seconds(self) -> float:
        return self.features.track.duration

    @classmethod
    def of(cls, features: TrackCurves) -> TrackPattern:
        onset = features.onset.astype(np.float32)
        energy = _smooth(at_rate(features.energy, ONSET_RATE, CURVE_RATE))
        return cls(
            features=features,
            onset=at_rate(onset, ONSET_RATE, CURVE_RATE),
            energy=energy,
            strength=_ranks(_cell_maxima(onset, len(energy))),
            audible=_audible(energy),
        )

    @cached_property
    def fine_strength(self) -> Array:
        """[62.5 Hz] rank in [0, 1] of the onset envelope."""
        return _ranks(self.features.onset.astype(np.float32))


class Sync:
    """The registered method. Scores lie in [-1, 1]: 1 is perfect agreement, 0 none."""

    name = "sync"
    wants_features = False
    score_meaning = (
        "agreement of cuts and motion with onsets and energy, from -1 to 1; "
        "unrelated moments average 0"
    )

    @property
    def fingerprint(self) -> str:
        return f"sync-{VERSION}"

    def score_tracks(self, query: Query, tracks: Sequence[TrackCurves]) -> Array:
        """The agreement of each track's best start [M]; -inf for tracks too short to serve."""
        clip = _pattern(query)
        return np.array(
            [
                -np.inf if features.track.too_short else _best(clip, TrackPattern.of(features))
                for features in tracks
            ],
            np.float32,
        )

    def detect(
        self, query: Query, tracks: Sequence[TrackCurves], placement: Placement
    ) -> list[Detection]:
        """The refined best moment on each track; refining may raise its score."""
        clip = _pattern(query)
        widths = _free_widths(query) if placement.fit == "free" else [clip]
        found = []
        for features in tracks:
            track = TrackPattern.of(features)
            options = [_detect(width, track, placement) for width in widths]
            if len(options) > 1:
                # A shorter window finds a good place more easily, so each is judged by how far it
                # beats what luck reaches with its own width.
                luck = [_surrogate_bests(width, [track]).mean() for width in widths]
                margins = [o.score - chance for o, chance in zip(options, luck, strict=True)]
                found.append(options[int(np.argmax(margins))])
            else:
                found.append(options[0])
        return found

    def chance(self, query: Query, tracks: Sequence[TrackCurves]) -> float | None:
        """The best agreement that 95 % of clips with as many cuts and as much motion, but at
        random times, stay below on these tracks; None for a clip with nothing to align."""
        clip = _pattern(query)
        usable = [features for features in tracks if not features.track.too_short]
        if not clip.weights or not usable:
            return None
        step = -(-len(usable) // CHANCE_TRACKS)
        sample = [TrackPattern.of(features) for features in usable[::step]]
        bests = _surrogate_bests(clip, sample)
        # The best of M tracks grows with ln M (Gumbel); the scale comes from the spread of bests.
        growth = np.std(bests) * np.sqrt(6) / np.pi * np.log(len(usable) / len(sample))
        return float(np.quantile(bests.max(axis=1), CHANCE_QUANTILE) + growth)


def agreement(clip: ClipPattern, track: TrackPattern) -> tuple[Array, dict[str, Array]]:
    """Agreement [starts] at starts 0, 0.1, 0.2 … s, and its terms; silent starts are -inf.

    A clip longer than the track is compared by the part that the track can accompany, from start 0.
    """
    length, starts = _overlap(clip, track)
    if length < len(clip.motion):
        clip = _cropped(clip, length / CURVE_RATE)
    # Circular correlation needs no room for wrapping: a start's window ends inside the track.
    n = _fft_size(len(track.onset))
    rows = np.zeros((3, n), np.float32)
    for row, curve in zip(rows, (track.strength, track.energy, track.onset), strict=True):
        row[: len(curve)] = curve
    raw = np.fft.irfft(np.fft.rfft(rows) * clip.spectra(n), n)[:, :starts].astype(np.float32)
    usual = float(track.strength.mean())
    terms = {
        "cuts": (raw[0] - usual) / max(1.0 - usual, 1e-6),
        "motion": raw[1] / _window_norms(track.energy, length, starts),
        "bursts": raw[2] / _window_norms(track.onset, length, starts),
    }
    terms = {name: terms[name] for name in clip.weights}
    total = np.zeros(starts, np.float32)
    for name, term in terms.items():
        total += np.float32(clip.weights[name]) * term
    audible = track.audible[:starts]
    if audible.any():
        total[~audible] = -np.inf
    return total, terms


def _best(clip: ClipPattern, track: TrackPattern) -> float:
    total, _ = agreement(clip, track)
    return float(total.max())


def _detect(clip: ClipPattern, track: TrackPattern, placement: Placement) -> Detection:
    total, terms = agreement(clip, track)
    beats = track.features.beats
    # The grid's last cell may reach past the track's end by a part of a cell.
    latest = max(0.0, track.seconds - clip.seconds)
    candidates = [min(start, latest) for start in _candidates(total, beats, placement)]
    cells = np.array([min(round(s * CURVE_RATE), len(total) - 1) for s in candidates])
    score = total[cells].copy()
    cut_terms = np.zeros(len(candidates), np.float32)
    if "cuts" in terms:
        cut_terms = _fine_cut_term(clip, track, np.array(candidates, np.float32))
        score += np.float32(clip.weights["cuts"]) * (cut_terms - terms["cuts"][cells])
    near = _beat_nearness(np.array(candidates, np.float32), beats)
    best = int(np.argmax(score + BEAT_BONUS * near))
    start = float(candidates[best])
    end = min(start + clip.seconds, track.seconds)
    evidence = {name: float(term[cells[best]]) for name, term in terms.items()}
    if "cuts" in terms:
        evidence["cuts"] = float(cut_terms[best])
        evidence["number_of_cuts"] = float(len(clip.cuts))
    evidence["start_on_beat"] = float(near[best])
    return Detection(Moment(start, max(start, end)), float(score[best]), evidence)


def _candidates(total: Array, beats: Array, placement: Placement) -> Iterator[float]:
    """Starts in seconds worth refining: around the best peaks of the grid, or the beats there."""
    last = (len(total) - 1) / CURVE_RATE
    if placement.start_on == "beat":
        on_grid = beats[(beats >= 0) & (beats <= last)]
        if len(on_grid):
            audible = np.isfinite(total[np.round(on_grid * CURVE_RATE).astype(int)])
            yield from map(float, on_grid[audible] if audible.any() else on_grid)
            return
    offsets = np.arange(-REFINE_SECONDS, REFINE_SECONDS + 1e-9, 1.0 / ONSET_RATE)
    for cell in _peaks(total, REFINE_STARTS):
        at = cell / CURVE_RATE
        yield at
        yield from (float(s) for s in at + offsets if 0 <= s <= last)
        yield from (float(b) for b in beats[np.abs(beats - at) <= REFINE_SECONDS] if 0 <= b <= last)


def _peaks(total: Array, count: int) -> list[int]:
    """The `count` best cells, none within half a second of a better one."""
    left = total.copy()
    reach = int(CURVE_RATE // 2)
    peaks: list[int] = []
    for _ in range(count):
        cell = int(np.argmax(left))
        if peaks and not np.isfinite(left[cell]):
            break
        peaks.append(cell)
        left[max(0, cell - reach) : cell + reach + 1] = -np.inf
    return peaks


def _fine_cut_term(clip: ClipPattern, track: TrackPattern, starts: Array) -> Array:
    """The cuts' term at exact `starts` [N], on the onset envelope's own grid."""
    strength = track.fine_strength
    # A film frame lasts up to 40 ms, so a cut may be shown half of that beside its onset.
    widened = np.maximum(strength, np.maximum(np.roll(strength, 1), np.roll(strength, -1)))
    blurred = (strength + widened) / 2
    at = (starts[:, None] + clip.cuts[None, :] + ONSET_DELAY) * ONSET_RATE
    hit = np.interp(at.ravel(), np.arange(len(blurred)), blurred).reshape(at.shape).mean(axis=1)
    usual = float(blurred.mean())
    return np.asarray((hit - usual) / max(1.0 - usual, 1e-6), np.float32)


def _beat_nearness(starts: Array, beats: Array) -> Array:
    """1 for a start on a beat, falling to 0 within about 0.1 s."""
    if not len(beats):
        return np.zeros(len(starts), np.float32)
    distance = np.abs(starts[:, None] - beats[None, :]).min(axis=1)
    return np.asarray(np.exp(-0.5 * (distance / BEAT_SIGMA) ** 2), np.float32)


def _surrogate_bests(clip: ClipPattern, tracks: Sequence[TrackPattern]) -> Array:
    """Best agreements [SURROGATES, M] of clips like this one in every respect but timing.

    Cuts fall at random times; the motion curve keeps its spectrum (how fast it changes) and gets
    random phases. The seed is fixed, so the same clip always meets the same chance.
    """
    rng = np.random.default_rng(0)
    stand_ins = [
        replace(
            clip,
            motion=_unit(_random_phases(clip.motion, rng)),
            bursts=_unit(rng.permutation(clip.bursts)),
            cuts=np.sort(rng.uniform(0, clip.seconds, len(clip.cuts))).astype(np.float32),
        )
        for _ in range(SURROGATES)
    ]
    return np.array([[_best(s, track) for track in tracks] for s in stand_ins], np.float32)


def _random_phases(curve: Array, rng: np.random.Generator) -> Array:
    spectrum = np.fft.rfft(curve)
    turned = np.abs(spectrum) * np.exp(2j * np.pi * rng.random(len(spectrum)))
    return np.fft.irfft(turned, len(curve)).astype(np.float32)


def _pattern(query: Query) -> ClipPattern:
    curves = query.curves
    return ClipPattern.of(query.seconds, curves.motion, curves.cuts)


def _free_widths(query: Query) -> list[ClipPattern]:
    curves = query.curves
    return [
        ClipPattern.of(query.seconds * share, curves.motion, curves.cuts) for share in FREE_WIDTHS
    ]


def _cropped(clip: ClipPattern, seconds: float) -> ClipPattern:
    length = max(1, round(seconds * CURVE_RATE))
    return replace(
        clip,
        seconds=seconds,
        motion=_unit(clip.motion[:length]),
        bursts=_unit(clip.bursts[:length]),
        cuts=clip.cuts[clip.cuts < seconds],
    )


def _overlap(clip: ClipPattern, track: TrackPattern) -> tuple[int, int]:
    """(cells compared, number of starts)."""
    length = min(len(clip.motion), len(track.onset))
    return length, len(track.onset) - length + 1


def _window_norms(curve: Array, length: int, starts: int) -> Array:
    """√(Σ (x − mean)²) of every window of `length` cells; inf where a window does not vary."""
    sums = np.concatenate([[0.0], np.cumsum(curve, dtype=np.float64)])
    squares = np.concatenate([[0.0], np.cumsum(np.square(curve, dtype=np.float64))])
    mean = (sums[length : length + starts] - sums[:starts]) / length
    spread = squares[length : length + starts] - squares[:starts] - length * mean**2
    floor = 1e-6 * max(float(squares[-1]), 1e-12)
    return np.where(spread > floor, np.sqrt(np.maximum(spread, floor)), np.inf).astype(np.float32)


def _cell_maxima(onset: Array, cells: int) -> Array:
    """Maxima over each 0.1 s cell and half a cell on both sides, so that no onset falls between."""
    step = ONSET_RATE / CURVE_RATE
    first = np.floor((np.arange(cells) - 0.5) * step + ONSET_DELAY * ONSET_RATE).astype(int)
    index = np.clip(first[:, None] + np.arange(int(2 * step) + 1), 0, len(onset) - 1)
    maxima: Array = onset[index].max(axis=1)
    return maxima


def _ranks(curve: Array) -> Array:
    """Each value's rank in (0, 1); equal values share their mean rank."""
    _, inverse, counts = np.unique(curve, return_inverse=True, return_counts=True)
    below = np.cumsum(counts) - counts
    return ((below + counts / 2) / len(curve))[inverse].astype(np.float32)


def _audible(energy: Array) -> npt.NDArray[np.bool_]:
    """Whether the half second after each cell is above the track's silence."""
    window = int(SILENCE_SECONDS * CURVE_RATE)
    padded = np.concatenate([energy, np.full(window - 1, energy[-1], np.float32)])
    ahead = np.lib.stride_tricks.sliding_window_view(padded, window).mean(axis=1)
    audible: npt.NDArray[np.bool_] = ahead > np.quantile(energy, 0.95) - SILENCE
    return audible


def _smooth(curve: Array) -> Array:
    """Hann-weighted mean over SMOOTH_SECONDS, the edges repeated."""
    width = round(SMOOTH_SECONDS * CURVE_RATE) | 1
    window = np.hanning(width + 2)[1:-1]
    padded = np.pad(curve, width // 2, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid").astype(np.float32)


def _unit(curve: Array) -> Array:
    """Zero mean and unit norm; all zeros for a curve that does not vary."""
    centred = curve - curve.mean()
    norm = float(np.linalg.norm(centred))
    if norm < 1e-6:
        return np.zeros_like(centred)
    unit: Array = centred / np.float32(norm)
    return unit


def _fft_size(length: int) -> int:
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
