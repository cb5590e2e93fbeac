"""Where the music of a track can go on at another place: bars that sound alike.

S. Wenner et al., "Scalable music: automatic music retargeting and synthesis" (Computer Graphics
Forum 32, 2013), search a graph of beats for a path of the wanted length; `media.arrange` does so on
bars. What is compared here is what is heard before and after each bar line.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from mgsv.media.bars import TONE_RATE, Spectra
from mgsv.media.curves import edges_at, window_means
from mgsv.media.loudness import SILENCE_LUFS
from mgsv.media.metre import analyse_metre
from mgsv.media.rhythm import ONSET_RATE, RATE, Rhythm
from mgsv.media.structure import Structure, analyse_structure

Floats = NDArray[np.float64]

PARTS = 4
"""Of a bar: what is compared is the mean of each."""
PLAIN_BAR = 2.0
"""Seconds, where no bars are found."""
FEWEST_BARS = 3
"""Fewer are no metre."""
SILENT = 0.1
"""Energy (`Rhythm`) below which nothing is heard: 54 dB under the loudest."""
ROW_SECONDS = 2.5
"""Of the rows in which sections are looked for, as in a library."""

K_RATE = 48_000
K_FILTERS = (
    (
        (1.53512485958697, -2.69169618940638, 1.19839281085285),
        (1.0, -1.69065929318241, 0.73248077421585),
    ),
    ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621)),
)
"""Coefficients of ITU-R BS.1770's filters, at `K_RATE`: a shelf for the head, and a high-pass."""
LOUDNESS_STEP = 0.6
"""LU by which the music may be louder or softer behind a join than it would have been."""
STEP_WEIGHT = 4.0
"""What each LU above that costs, where the usual difference of two bars costs 1."""
KEPT = 32
"""Ways into each bar that are looked at: those that sound best."""
ROWS_AT_ONCE = 256

ALIGNED = 0.03
"""Seconds by which a join may move to bring the two sounds into step."""
AROUND_JOIN = 0.25
"""Seconds before and after a join that are brought into step."""


@dataclass(frozen=True)
class Song:
    """A track as it is cut: a 16 kHz waveform [N] and what is found in it.

    lines: [K + 1] seconds, rising, where bars begin, and where the last one ends.
    """

    samples: NDArray[np.float32]
    rhythm: Rhythm
    lines: Floats
    structure: Structure
    tones: Floats

    @classmethod
    def of(cls, samples: NDArray[np.float32]) -> Song:
        """Of a waveform [N]."""
        rhythm, metre = analyse_metre(samples)
        tones = Spectra.of(samples, rhythm.energy, np.zeros((4, len(rhythm.energy)), np.float32))
        rows = _rows(tones.tones)
        structure = analyse_structure(
            metre.beats, rhythm.onset, rhythm.energy, rows, downbeats=metre.downbeats
        )
        return cls(samples, rhythm, _lines(metre.downbeats, rhythm), structure, tones.tones)

    @property
    def bar(self) -> float:
        """The usual length of a bar, seconds."""
        return float(np.median(np.diff(self.lines))) if len(self.lines) > 1 else PLAIN_BAR

    @cached_property
    def heard_until(self) -> float:
        """Seconds at which the last sound ends."""
        loud = np.flatnonzero(self.rhythm.energy > SILENT)
        return (int(loud[-1]) + 1) / ONSET_RATE if len(loud) else 0.0

    @cached_property
    def loudness(self) -> Floats:
        """[K] LUFS of each bar of the mixed-down sound, without gates; at least −70."""
        edges = edges_at(self.lines, RATE, len(self.samples))
        return np.array([loudness_of(self.samples[a:b]) for a, b in itertools.pairwise(edges)])

    def alike(self) -> tuple[NDArray[np.intp], Floats]:
        """(from, cost), [K, kept] each: from which bar lines to go on at each, and how it sounds.

        A cost of 0 is no change at all, 1 is as different as any two places of the track.
        """
        count = len(self.lines) - 1
        bars = self._bars()
        usual = max(float(np.linalg.norm(bars - bars.mean(axis=0), axis=1).mean()), 1e-9) * 2**0.5
        lengths = (bars**2).sum(axis=1)
        kept = min(KEPT, count + 1)
        origins = np.zeros((count, kept), np.intp)
        costs = np.full((count, kept), np.inf)
        # What is heard behind line k is bar k, and before it bar k − 1.
        for first in range(0, count, ROWS_AT_ONCE):
            rows = np.arange(first, min(first + ROWS_AT_ONCE, count))
            before = np.maximum(rows - 1, 0)
            behind = _distances(bars, lengths, rows) / usual
            ahead = _distances(bars, lengths, before) / usual
            level = self.loudness
            step = np.abs(level[rows][:, None] - level[None])
            sound = np.empty((len(rows), count + 1))
            sound[:, :-1] = behind / 2 + STEP_WEIGHT * np.maximum(step - LOUDNESS_STEP, 0)
            sound[:, -1] = 0.5  # behind the last line nothing is known
            sound[:, 1:] += ahead / 2
            sound[:, 0] += 0.5
            sound[np.arange(len(rows)), rows] = np.inf
            best = np.argpartition(sound, kept - 1, axis=1)[:, :kept]
            origins[rows] = best
            costs[rows] = np.take_along_axis(sound, best, axis=1)
        return origins, costs

    def aligned(self, leave: float, enter: float) -> tuple[float, float]:
        """(`enter`, moved a little so that the sound goes on in step with `leave`, likeness)."""
        reach, span = round(ALIGNED * RATE), round(AROUND_JOIN * RATE)
        out, into = round(leave * RATE), round(enter * RATE)
        low = min(span, out, into - reach)
        high = min(span, len(self.samples) - out, len(self.samples) - into - reach)
        if low < reach or high < 0:
            return enter, 0.0
        wanted = self.samples[out - low : out + high].astype(np.float64)
        there = self.samples[into - reach - low : into + reach + high].astype(np.float64)
        size = 1 << (len(there) + len(wanted)).bit_length()
        spectrum = np.fft.rfft(there, size) * np.conj(np.fft.rfft(wanted, size))
        products = np.fft.irfft(spectrum, size)[: 2 * reach + 1]
        energy = np.cumsum(np.concatenate([[0.0], there**2]))
        energy = energy[len(wanted) :] - energy[: len(energy) - len(wanted)]
        scale = np.sqrt(np.maximum(energy * float((wanted**2).sum()), 1e-12))
        likeness = products / scale
        best = int(np.argmax(likeness))
        return enter + (best - reach) / RATE, float(np.clip(likeness[best], -1, 1))

    def _bars(self) -> NDArray[np.float32]:
        """[K, PARTS * semitones] what each bar sounds like."""
        shares = np.arange(PARTS + 1) / PARTS
        starts, lengths = self.lines[:-1, None], np.diff(self.lines)[:, None]
        edges = edges_at(starts + lengths * shares, TONE_RATE, len(self.tones))
        means = window_means(self.tones.T, edges[:, :-1], edges[:, 1:])  # [semitones, K, PARTS]
        return np.asarray(means.transpose(1, 2, 0).reshape(len(starts), -1), np.float32)


def loudness_of(samples: NDArray[np.float32]) -> float:
    """LUFS of a 16 kHz waveform [N], by the weights of ITU-R BS.1770 without its gates."""
    if not len(samples):
        return SILENCE_LUFS
    spectrum = np.fft.rfft(samples)
    power = spectrum.real**2 + spectrum.imag**2
    # Parseval: both halves of the spectrum, over the squared number of samples.
    mean = 2 * float(power @ _ear(len(samples))) / len(samples) ** 2
    return max(SILENCE_LUFS, 10 * math.log10(max(mean, 1e-12)) - 0.691)


@lru_cache(maxsize=8)
def _ear(samples: int) -> Floats:
    """|H|² of BS.1770's two filters at the frequencies of a spectrum of `samples`."""
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(samples, 1 / RATE) / K_RATE)
    response = np.ones(len(z), complex)
    for above, below in K_FILTERS:
        response *= np.polyval(above[::-1], z) / np.polyval(below[::-1], z)
    return np.asarray(np.abs(response) ** 2, np.float64)


def _distances(
    bars: NDArray[np.float32], lengths: NDArray[np.float32], rows: NDArray[np.intp]
) -> Floats:
    """[rows, K] Euclidean distances of the bars `rows` to all."""
    square = lengths[rows][:, None] + lengths[None] - 2 * bars[rows] @ bars.T
    return np.sqrt(np.maximum(square, 0.0)).astype(np.float64)


def _rows(tones: Floats) -> NDArray[np.float32]:
    """[S, semitones] means of `ROW_SECONDS` each."""
    count = max(1, int(len(tones) / TONE_RATE / ROW_SECONDS))
    edges = edges_at(np.arange(count + 1) * ROW_SECONDS, TONE_RATE, len(tones))
    return window_means(tones.T, edges[:-1], edges[1:]).T.astype(np.float32)


def _lines(downbeats: NDArray[np.float32], rhythm: Rhythm) -> Floats:
    """Where bars begin, and where the last whole one ends; even ones where none are found."""
    lines = downbeats.astype(np.float64)
    if len(lines) < FEWEST_BARS:
        return np.arange(0.0, rhythm.duration + 1e-6, PLAIN_BAR)
    end = 2 * lines[-1] - lines[-2]
    return np.append(lines, end) if end <= rhythm.duration else lines
