"""Rhythm of a waveform: onset strength, loudness, tempo and beats, in plain numpy.

Onset strength is the spectral flux of a log-mel spectrogram. Beats come from the dynamic programme
of D. Ellis, "Beat tracking by dynamic programming" (Journal of New Music Research 36, 2007). The
waveform is gone through in chunks: an hour of it needs some megabytes beyond itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from mgsv.media.curves import sliding_windows

Curve = NDArray[np.float32]

# 16 ms steps at 16 kHz: finer than a listener tells a beat from its neighbour by (about 20 ms).
RATE = 16_000
HOP = 256
ONSET_RATE = RATE / HOP  # 62.5 Hz
# 64 ms windows and 128 mel bands up to 8 kHz, as usual for onset detection.
WINDOW = 1024
MEL_BANDS = 128
# 256 frames at a time are 1 MB, which stays in the processor's cache.
CHUNK_FRAMES = 256
# A frame shows an onset half a hop (8 ms) after it on average, and the window's taper hides its
# first 4 ms; the tests' metronomes measure the sum.
ONSET_DELAY = 0.012
# Flux is taken over log(1 + power / floor): below the floor, 60 dB under the track's mean power,
# changes count for nothing, so that neither hiss nor the recording's level matters.
FLOOR_DB = -60.0
# Energy 0 is this far below the track's loudest moment.
ENERGY_RANGE_DB = 60.0
# Tempi looked for. Listeners' preference among a beat's multiples is log-normal around 120 bpm, an
# octave wide (Ellis 2007, section 3.2).
MIN_TEMPO, MAX_TEMPO = 40.0, 240.0
PREFERRED_TEMPO, TEMPO_OCTAVES = 120.0, 1.0
# A multiple of the tempo that repeats nearly as well is the better beat: a metronome at 180 repeats
# just as well at 90, while the half beats of most music do not. Not above 182 bpm, where people tap
# to every other beat.
AS_WELL = 0.9
FASTEST_MULTIPLE = 182.0
# Weight of steady tempo against strong onsets in the dynamic programme, for an onset curve of
# standard deviation 1 (librosa's and Ellis' value).
TIGHTNESS = 100.0
# Fewer seconds than this hold no repetition to measure.
MIN_SECONDS = 2.0


@dataclass(frozen=True)
class Rhythm:
    """Rhythm of a track of `duration` seconds; curves at `ONSET_RATE`.

    onset: float32 [T], spectral flux at time t / 62.5 s, >= 0, nepers per band. energy: float32
    [T], loudness of [t, t + 1) / 62.5 s from 0 (60 dB below the track's loudest, or silence) to 1.
    tempo: beats per minute, 0 if none is found. beats: float32 [K], seconds, rising.
    """

    duration: float
    onset: Curve
    energy: Curve
    tempo: float
    beats: Curve


def analyse_rhythm(
    samples: NDArray[np.float32], rate: int = RATE, *, onset: Curve | None = None
) -> Rhythm:
    """The rhythm of a mono waveform [N]. `rate` must be 16 kHz; `read_audio` gives that.

    onset: its `onset_strength`, where that is known already.
    """
    if rate != RATE:
        raise ValueError(
            f"rhythm is analysed at {RATE} Hz, not {rate}: read the audio at that rate"
        )
    onset = onset_strength(samples) if onset is None else onset
    tempo = find_tempo(onset)
    return Rhythm(
        duration=len(samples) / rate,
        onset=onset,
        energy=_energy(samples),
        tempo=tempo,
        beats=track_beats(onset, tempo),
    )


def onset_strength(samples: NDArray[np.float32]) -> Curve:
    """Spectral flux of a 16 kHz waveform [N]: float32 [ceil(N / 256)].

    Frame n sees the 1,024 samples that end at n * 256, so an onset shows in the first frame after
    it and not before.
    """
    return np.asarray(band_flux(samples, ((0, MEL_BANDS),))[0], np.float32)


def band_flux(samples: NDArray[np.float32], bands: Sequence[tuple[int, int]]) -> Curve:
    """`onset_strength` of parts of the spectrum: float32 [len(bands), ceil(N / 256)].

    bands: (first, last + 1) of the `MEL_BANDS` mel bands, of which the lower ones are 23 Hz apart.
    """
    count = -(-len(samples) // HOP)
    power = _mean_power(samples)
    flux = np.zeros((len(bands), count), np.float32)
    if count == 0 or power == 0:
        return flux
    filters = slaney_mel_filters(WINDOW, MEL_BANDS, RATE)
    window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    # A mel band of noise at the track's mean power has about power * sum(window²) times its width.
    floor = power * 10 ** (FLOOR_DB / 10) * float((window**2).sum()) * float(filters.sum(0).mean())
    previous = np.zeros((1, MEL_BANDS), np.float32)
    for start, frames in _frames(samples, count):
        spectrum = np.fft.rfft(frames * window, axis=1)
        mel = (spectrum.real**2 + spectrum.imag**2).astype(np.float32) @ filters
        levels = np.concatenate([previous, np.log1p(mel / np.float32(floor))])
        rises = np.maximum(np.diff(levels, axis=0), 0)
        for row, (low, high) in zip(flux, bands, strict=True):
            row[start : start + len(frames)] = rises[:, low:high].mean(axis=1)
        previous = levels[-1:]
    return flux


@cache
def slaney_mel_filters(window: int, bands: int, rate: int) -> NDArray[np.float32]:
    """Triangles on Slaney's mel scale up to rate / 2, each of area 1: [window / 2 + 1, bands].

    Slaney's scale (Auditory Toolbox, 1998) is linear below 1 kHz, 200 / 3 Hz a mel, and above it
    27 mels to each factor of 6.4. Not to be written to: the array is kept.
    """
    knee = 1000 / (200 / 3)
    top = knee + 27 * np.log(rate / 2 / 1000) / np.log(6.4)
    mels = np.linspace(0, top, bands + 2)
    corners = np.where(mels < knee, mels * 200 / 3, 1000 * 6.4 ** ((mels - knee) / 27))
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    bins = np.linspace(0, rate / 2, window // 2 + 1)[:, None]
    rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
    triangles = np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)
    return np.asarray(triangles, np.float32)


def find_tempo(onset: Curve) -> float:
    """Beats per minute by autocorrelation of an onset curve at `ONSET_RATE`; 0 if there is none."""
    if len(onset) < MIN_SECONDS * ONSET_RATE or not onset.any():
        return 0.0
    shortest = int(60 * ONSET_RATE / MAX_TEMPO)
    longest = min(int(60 * ONSET_RATE / MIN_TEMPO), len(onset) // 2)
    lags = np.arange(shortest, longest + 1)
    likeness = autocorrelation(onset, longest + 2)
    tempi = 60 * ONSET_RATE / lags
    preference = np.exp(-0.5 * (np.log2(tempi / PREFERRED_TEMPO) / TEMPO_OCTAVES) ** 2)
    peak = (likeness[lags] >= likeness[lags - 1]) & (likeness[lags] >= likeness[lags + 1])
    scores = np.where(peak & (likeness[lags] > 0), likeness[lags] * preference, 0.0)
    if not scores.any():
        return 0.0
    best = int(lags[scores.argmax()])
    for parts in (2, 3):
        near = round(best / parts)
        candidates = [
            g for g in (near - 1, near, near + 1) if 60 * ONSET_RATE / g <= FASTEST_MULTIPLE
        ]
        faster = max(candidates, key=lambda g: float(likeness[g]), default=best)
        if likeness[faster] >= AS_WELL * likeness[best]:
            best = faster
            break
    return 60 * ONSET_RATE / _refined(likeness, best, longest)


def track_beats(onset: Curve, tempo: float) -> Curve:
    """Beats in seconds, float32 [K], of an onset curve at `ONSET_RATE`, at about `tempo` bpm."""
    if tempo <= 0 or not onset.any():
        return np.zeros(0, np.float32)
    period = 60 * ONSET_RATE / tempo
    local = _local_score(onset, period)
    # Lags of the beat before, from two periods back to half a period.
    lags = np.arange(-round(2 * period), -round(period / 2) + 1)
    penalty = TIGHTNESS * np.log(-lags / period) ** 2
    score, before = _best_chains(local, lags, penalty)
    beats = _trim(_follow(score, before), local) / ONSET_RATE - ONSET_DELAY
    return np.asarray(np.maximum(beats, 0), np.float32)


def _best_chains(
    local: NDArray[np.float64], lags: NDArray[np.int64], penalty: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """For each frame the score of the best chain of beats that ends there, and the beat before.

    score[t] = local[t] + max over lags of (score[t + lag] - penalty), or local[t] alone where
    nothing before adds to it; before[t] is -1 there. Solved in blocks: no lag reaches back by less
    than the shortest one, so as many frames depend only on finished ones.
    """
    count, reach, block = len(local), -int(lags[0]), -int(lags[-1])
    padded = np.full(reach + count, -np.inf)
    before = np.full(count, -1, np.int64)
    strong = local.max() * 0.01  # a chain does not begin in the silence before the first onset
    begun = False
    # A view: it shows what is filled in below.
    behind = np.lib.stride_tricks.sliding_window_view(padded, len(lags))
    for start in range(0, count, block):
        stop = min(start + block, count)
        options = behind[start:stop] - penalty  # [frames, lags]
        best = options.argmax(axis=1)
        gain = options[np.arange(stop - start), best]
        padded[reach + start : reach + stop] = local[start:stop] + np.maximum(gain, 0)
        linked = gain > 0
        if not begun:
            loud = np.flatnonzero(local[start:stop] >= strong)
            begun = len(loud) > 0
            linked[: loud[0] if begun else None] = False
        before[start:stop] = np.where(linked, np.arange(start, stop) + lags[best], -1)
    return padded[reach:], before


def _follow(score: NDArray[np.float64], before: NDArray[np.int64]) -> NDArray[np.int64]:
    """Frames of the best chain, from its first beat to its last.

    The last beat is the latest local maximum that scores at least half as high as they usually do.
    """
    inner = (score[1:-1] > score[:-2]) & (score[1:-1] >= score[2:])
    peaks = np.flatnonzero(inner) + 1
    if not len(peaks):
        return np.zeros(0, np.int64)
    beats = [int(peaks[score[peaks] >= 0.5 * np.median(score[peaks])][-1])]
    while before[beats[-1]] >= 0:
        beats.append(int(before[beats[-1]]))
    return np.array(beats[::-1])


def _trim(beats: NDArray[np.int64], local: NDArray[np.float64]) -> NDArray[np.int64]:
    """Leave out beats before the music starts and after it ends: weaker than half the usual one."""
    if not len(beats):
        return beats
    strength = local[beats]
    heard = np.flatnonzero(strength > 0.5 * np.sqrt(np.mean(strength**2)))
    return beats[heard[0] : heard[-1] + 1]


def _local_score(onset: Curve, period: float) -> NDArray[np.float64]:
    """The onset curve with standard deviation 1, smoothed over about 1/32 of a beat."""
    reach = int(np.ceil(period / 8))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) * 32 / period) ** 2)
    return np.convolve(onset / onset.std(), kernel)[reach : reach + len(onset)]


def autocorrelation(onset: Curve, lags: int) -> NDArray[np.float64]:
    """[lags], lag 0 first, per pair of frames and relative to lag 0, of the mean-free curve."""
    centred = onset.astype(np.float64) - onset.mean()
    size = 1 << int(np.ceil(np.log2(len(onset) + lags)))
    spectrum = np.fft.rfft(centred, size)
    products = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, size)[:lags]
    products /= len(onset) - np.minimum(np.arange(lags), len(onset) - 1)
    return np.asarray(products / max(products[0], 1e-12), np.float64)


def _refined(likeness: NDArray[np.float64], lag: int, longest: int) -> float:
    """The period in frames near `lag`, to a fraction of one.

    Read off the largest multiple within reach, where an error of half a frame weighs least, and
    there off the parabola through the peak.
    """
    multiples = max(1, longest // lag)
    period = float(lag)
    for multiple in range(1, multiples + 1):
        at = round(period * multiple)
        near = [g for g in (at - 1, at, at + 1) if 1 <= g < len(likeness) - 1]
        if not near:  # the period has grown, and the multiple lies beyond what is known
            break
        peak = max(near, key=lambda g: float(likeness[g]))
        left, top, right = likeness[peak - 1 : peak + 2]
        bend = left - 2 * top + right
        if bend >= 0:  # no peak here
            break
        period = (peak + float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5))) / multiple
    return period


def peaks(energy: NDArray[np.floating], per_second: float) -> NDArray[np.float64]:
    """[N] amplitudes from 0 to 1 of a stored `energy` curve: the loudest of each step, of which
    there are `per_second`, at most `ONSET_RATE`.
    """
    count = max(1, math.ceil(len(energy) / ONSET_RATE * per_second))
    edges = np.minimum(np.arange(count) * len(energy) // count, max(0, len(energy) - 1))
    level = np.maximum.reduceat(energy.astype(np.float64), edges) if len(energy) else np.zeros(1)
    return np.where(level > 0, 10 ** ((level - 1) * ENERGY_RANGE_DB / 20), 0.0)


def _energy(samples: NDArray[np.float32]) -> Curve:
    """Loudness 0 to 1 per hop, [ceil(N / 256)]."""
    count = -(-len(samples) // HOP)
    whole = len(samples) // HOP * HOP
    hops = samples[:whole].reshape(-1, HOP)
    power = np.einsum("ij,ij->i", hops, hops, dtype=np.float64) / HOP
    if whole < len(samples):
        power = np.append(power, np.mean(samples[whole:].astype(np.float64) ** 2))
    loudest = power.max(initial=0.0)
    if loudest == 0:
        return np.zeros(count, np.float32)
    level = 10 * np.log10(np.maximum(power / loudest, 1e-12))
    energy = np.maximum(0, 1 + level / ENERGY_RANGE_DB)
    return np.asarray(energy, np.float32)


def _mean_power(samples: NDArray[np.float32]) -> float:
    return float(np.dot(samples, samples)) / len(samples) if len(samples) else 0.0


def _frames(samples: NDArray[np.float32], count: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Chunks of frames [<= CHUNK_FRAMES, WINDOW] with the number of their first one.

    Frame n holds the samples before n * HOP; what lies outside the waveform is silence.
    """
    for start in range(0, count, CHUNK_FRAMES):
        stop = min(start + CHUNK_FRAMES, count)
        begin, end = start * HOP - WINDOW, (stop - 1) * HOP
        piece = np.pad(samples[max(begin, 0) : end], (max(-begin, 0), 0))
        yield start, sliding_windows(piece, WINDOW, HOP)
