"""Bars: which beats are first ones, from the low band, the harmony and the accents around each.

A kick drum and a bass that begin on the one, a snare on two and four, chords that change with the
bar: each beat has numbers for these, its cues. A logistic model says how likely they are for each
place in a bar; the best path through the places counts. `recipes/metre.py` fits the model on music
whose bars are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mgsv.media.curves import edges_at, rises
from mgsv.media.rhythm import ONSET_DELAY, ONSET_RATE, RATE, autocorrelation, band_flux

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

BANDS = {"low": (0, 8), "middle": (8, 60), "high": (90, 128), "all": (0, 128)}
"""Parts of the mel bands: up to 190 Hz, to 1.6 kHz, and from 3.6 kHz on."""
REACH = 3
"""16 ms samples to either side of a beat in which its onset may lie."""
CUE_LIMIT = 3.0
"""Deviations: no single beat counts for more."""
CONTEXT = 1
"""Beats to either side whose cues also tell of a beat's place."""
JUMP = 8.0
"""Log-likelihood that a bar of another length costs: trackers drop or invent a beat now and then,
and the count must recover."""

LONGEST_LAG = 5.0
"""Seconds: four beats at the slowest tempo."""

TONE_WINDOW, TONE_HOP = 4096, 1024
TONE_RATE = RATE / TONE_HOP
LOWEST, TONES, BASS = 28, 72, 24
"""Semitones from E1 (MIDI 28, 41 Hz) on; the lowest two octaves are the bass."""
TONE_GAIN = 50.0
"""Amplitude that is loud to the ear against the logarithm's 1."""
SPANS = (1, 2, 4)
"""Beats before and after a beat whose harmony is compared."""
FRAMES_AT_ONCE = 64
FRAMES_A_PRODUCT = 8
"""So few that the product stays on one core: tracks are analysed on all cores at once."""


@dataclass(frozen=True)
class Spectra:
    """What bars are counted from.

    onsets: by `BANDS`, [T] at `ONSET_RATE`. energy: [T], as in `Rhythm`. tones: [U, 72] loudness of
    semitones at `TONE_RATE`.
    """

    onsets: dict[str, Floats]
    energy: Floats
    tones: Floats

    @classmethod
    def of(
        cls,
        samples: NDArray[np.float32],
        energy: NDArray[np.floating],
        flux: NDArray[np.float32] | None = None,
    ) -> Spectra:
        """Of a 16 kHz waveform [N]. energy: `Rhythm.energy`. flux: [4, T] the `band_flux` of
        `BANDS`, where that is known already.
        """
        if flux is None:
            flux = band_flux(samples, tuple(BANDS.values()))
        onsets = dict(zip(BANDS, flux.astype(np.float64), strict=True))
        return cls(onsets, np.asarray(energy, np.float64), _tones(samples))

    @cached_property
    def repetition(self) -> dict[str, Floats]:
        """Autocorrelation of the onsets, by `BANDS`, [R] at `ONSET_RATE` for up to 5 s."""
        longest = min(round(LONGEST_LAG * ONSET_RATE), len(self.energy))
        return {
            name: autocorrelation(curve.astype(np.float32), longest)
            for name, curve in self.onsets.items()
        }

    @cached_property
    def tones_before(self) -> Floats:
        """[U + 1, 72] the sum of all tones before each frame."""
        return np.concatenate([np.zeros((1, TONES)), np.cumsum(self.tones, axis=0)])

    @cached_property
    def usual_onsets(self) -> dict[str, tuple[float, float]]:
        """Mean of `onsets_at` over all times, and its deviation, by `BANDS`."""
        kernel = np.ones(2 * REACH + 1)
        levels = [np.sqrt(np.convolve(curve, kernel, "same")) for curve in self.onsets.values()]
        return {
            name: (float(level.mean()), max(float(level.std()), 1e-9))
            for name, level in zip(BANDS, levels, strict=True)
        }


def cues_of(sound: Spectra, beats: Floats) -> Floats:
    """[K, 14] cues of each of K >= 2 beats (seconds), in deviations from the track's mean.

    Onsets of the four bands on the beat; low and high ones half a beat later; change of chroma and
    of the bass over one, two and four beats; change of loudness and business over four.
    """
    between = beats + np.diff(beats, append=2 * beats[-1] - beats[-2]) / 2
    columns = [onsets_at(curve, beats) for curve in sound.onsets.values()]
    columns += [onsets_at(sound.onsets[name], between) for name in ("low", "high")]
    tones = _tones_by_beat(sound, beats)
    chroma = tones.reshape(len(tones), -1, 12).sum(axis=1)
    for rows in (chroma, tones[:, :BASS]):
        columns += [_change(rows - rows.mean(axis=1, keepdims=True), span) for span in SPANS]
    at = edges_at(beats, ONSET_RATE, len(sound.energy))
    places = np.arange(len(beats))
    before = at[np.maximum(places - 4, 0)]
    after = at[np.minimum(places + 4, len(beats) - 1)]
    columns += [
        np.abs(rises(curve, before, at, after)) for curve in (sound.energy, sound.onsets["all"])
    ]
    cues = np.stack(columns, axis=1)
    spread = cues.std(axis=0)
    cues = (cues - cues.mean(axis=0)) / np.where(spread > 1e-9, spread, np.inf)
    return np.asarray(np.clip(cues, -CUE_LIMIT, CUE_LIMIT))


def with_neighbours(cues: Floats) -> Floats:
    """[K, 14 * (2 * CONTEXT + 1)]: the cues of the beats around each, 0 beyond the ends."""
    padded = np.pad(cues, ((CONTEXT, CONTEXT), (0, 0)))
    return np.hstack([padded[k : k + len(cues)] for k in range(2 * CONTEXT + 1)])


def onsets_at(curve: Floats, times: Floats) -> Floats:
    """[N] the root of the onset strength within `REACH` of each time."""
    at = np.rint((times + ONSET_DELAY) * ONSET_RATE).astype(int)
    around = at[:, None] + np.arange(-REACH, REACH + 1)
    return np.asarray(np.sqrt(curve[np.clip(around, 0, len(curve) - 1)].sum(axis=1)))


def count(cues: Floats, weights: Floats) -> tuple[float, Places]:
    """(how well the beats can be counted, [K] each beat's place in its bar from 0 on).

    cues: [K, C], with neighbours. weights: [C, metre]. The value is the path's log-likelihood per
    beat above that of places drawn evenly.
    """
    metre = weights.shape[1]
    scores = cues @ weights
    scores -= np.logaddexp.reduce(scores, axis=1, keepdims=True) - np.log(metre)
    # Lists: numpy takes longer to begin with three numbers than Python to be done with them.
    best, *later = scores.tolist()
    came_from: list[list[int]] = []
    for score in later:
        top = best.index(max(best))
        jumped = best[top] - JUMP
        before = [best[-1], *best[:-1]]  # of the path whose last beat was one place earlier
        came_from.append([n - 1 if steady >= jumped else top for n, steady in enumerate(before)])
        best = [max(steady, jumped) + gain for steady, gain in zip(before, score, strict=True)]
    place = best.index(max(best))
    places = [place]
    for choices in reversed(came_from):
        place = choices[place] % metre
        places.append(place)
    return max(best) / len(scores), np.array(places[::-1], np.intp)


def _tones(samples: NDArray[np.float32]) -> Floats:
    """[ceil(N / TONE_HOP), 72] log amplitude of semitones, of windows centred on each frame."""
    count = -(-len(samples) // TONE_HOP)
    frequencies = np.fft.rfftfreq(TONE_WINDOW, 1 / RATE)
    pitch = 69 + 12 * np.log2(np.maximum(frequencies, 1.0) / 440)
    bands = np.maximum(0, 1 - np.abs(pitch[:, None] - (LOWEST + np.arange(TONES))))
    used = int(np.flatnonzero(bands.any(axis=1))[-1]) + 1  # above it lies most of the spectrum
    bands = bands[:used].astype(np.float32)
    window = np.hanning(TONE_WINDOW).astype(np.float32)
    padded = np.pad(samples, (TONE_WINDOW // 2, TONE_WINDOW))
    tones = np.zeros((count, TONES))
    for start in range(0, count, FRAMES_AT_ONCE):
        at = np.arange(start, min(start + FRAMES_AT_ONCE, count))[:, None] * TONE_HOP
        spectrum = np.fft.rfft(padded[at + np.arange(TONE_WINDOW)] * window, axis=1)[:, :used]
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
        for part in range(0, len(at), FRAMES_A_PRODUCT):
            rows = slice(part, part + FRAMES_A_PRODUCT)
            tones[start:][rows] = np.log1p(TONE_GAIN * np.sqrt(power[rows] @ bands))
    return tones


def _tones_by_beat(sound: Spectra, beats: Floats) -> Floats:
    """[K, 72] the mean from each beat to the next."""
    last = 2 * beats[-1] - beats[-2]
    edges = edges_at(np.append(beats, last), TONE_RATE, len(sound.tones))
    total = sound.tones_before
    lengths = np.maximum(np.diff(edges), 1)
    return np.asarray((total[edges[1:]] - total[edges[:-1]]) / lengths[:, None])


def _change(rows: Floats, span: int) -> Floats:
    """[K] 1 - the cosine of the `span` rows from each on and of those before it; 0 at the start."""
    total = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)])
    places = np.arange(len(rows))
    after = total[np.minimum(places + span, len(rows))] - total[places]
    before = total[places] - total[np.maximum(places - span, 0)]
    lengths = np.linalg.norm(after, axis=1) * np.linalg.norm(before, axis=1)
    alike = (after * before).sum(axis=1) / np.maximum(lengths, 1e-9)
    return np.where(lengths > 1e-9, 1 - alike, 0.0)
