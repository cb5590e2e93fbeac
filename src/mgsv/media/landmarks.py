"""Landmarks of a waveform: spectral peaks, and pairs of peaks as keys to look up.

The idea is A. Wang's ("An industrial-strength audio search algorithm", ISMIR 2003): peaks of the
spectrogram survive other sounds on top, level changes and lossy coding, and a pair of them, given
by two pitches and the time between, is rare enough to be looked up among thousands of tracks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mgsv.media.curves import moving_mean, sliding_windows

# 4 kHz of band holds the peaks that voices, small loudspeakers and low bit rates leave standing.
RATE = 8_000
# 64 ms windows tell pitches 16 Hz apart.
WINDOW = 512
HOP = 128
FRAME_RATE = RATE / HOP
# A peak is the highest point within 80 ms and 125 Hz of itself, above 100 Hz.
NEAR_FRAMES, NEAR_BINS = 5, 8
LOWEST_BIN, HIGHEST_BIN = 6, 255
# Its prominence is measured against the mean level within 250 Hz.
REGION_BINS = 16
# Peaks kept per second, the most prominent ones. Speech on top hides about half of them.
PEAKS_PER_SECOND = 30
# A peak is paired with the next ones within a second and 500 Hz.
PAIRS_PER_PEAK = 4
MIN_GAP, MAX_GAP = 2, 63  # frames
MAX_STEP = 31  # bins
KEYS = 1 << 20
"""Keys are below this: 8 bits of pitch, 6 of the step to the other pitch, 6 of the gap."""
# Frames at a time: a few megabytes, whatever the track's length.
_CHUNK = 2048
# Peaks this weak, relative to full scale, are noise of the coding.
_FLOOR = 1e-4


@dataclass(frozen=True, slots=True)
class Peaks:
    """Spectral peaks in order of time.

    frames: int32 [P], the window around sample `frames * HOP`. bins: float32 [P], frequency in
    units of RATE / WINDOW = 15.6 Hz, between bins where the peak is.
    """

    frames: NDArray[np.int32]
    bins: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.frames)

    def at_speed(self, speed: float) -> Peaks:
        """The peaks of the sound before it was played `speed` times as fast."""
        frames = np.round(self.frames * speed).astype(np.int32)
        return Peaks(frames, (self.bins / speed).astype(np.float32))


def find_peaks(samples: NDArray[np.float32]) -> Peaks:
    """The landmarks of a mono waveform [N] at `RATE`; none where it is silent."""
    found = [chunk for chunk in _peaks(samples) if len(chunk[0])]
    if not found:
        return Peaks(np.zeros(0, np.int32), np.zeros(0, np.float32))
    frames = np.concatenate([chunk[0] for chunk in found])
    bins = np.concatenate([chunk[1] for chunk in found])
    prominence = np.concatenate([chunk[2] for chunk in found])
    kept = _strongest_per_second(frames, prominence)
    return Peaks(frames[kept].astype(np.int32), bins[kept].astype(np.float32))


def pair_keys(peaks: Peaks) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """(keys [H], the frames [H] of the pairs' first peaks); keys are below `KEYS`."""
    bins = np.round(peaks.bins).astype(np.int64)
    frames = peaks.frames.astype(np.int64)
    paired = np.zeros(len(peaks), np.int64)
    keys, places = [], []
    # Neighbour by neighbour for all peaks at once, until each has its pairs.
    for ahead in range(1, PEAKS_PER_SECOND + 1):
        gap = frames[ahead:] - frames[:-ahead]
        step = bins[ahead:] - bins[:-ahead]
        first = bins[: len(gap)]
        good = (gap >= MIN_GAP) & (gap <= MAX_GAP) & (np.abs(step) <= MAX_STEP)
        good &= (paired[: len(gap)] < PAIRS_PER_PEAK) & (first >= 0) & (first < 256)
        chosen = np.flatnonzero(good)
        paired[chosen] += 1
        keys.append(first[chosen] << 12 | (step[chosen] + MAX_STEP + 1) << 6 | gap[chosen])
        places.append(peaks.frames[chosen])
    return np.concatenate(keys).astype(np.uint32), np.concatenate(places).astype(np.int32)


_Chunk = tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]


def _peaks(samples: NDArray[np.float32]) -> Iterator[_Chunk]:
    """(frames, bins, prominence) of each chunk of the spectrogram."""
    window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    padded = np.pad(samples, (WINDOW // 2, WINDOW))
    count = len(samples) // HOP + 1 if len(samples) else 0
    floor = np.float32(_FLOOR * window.sum())
    frames = sliding_windows(padded, WINDOW, HOP)
    for start in range(0, count, _CHUNK):
        # Neighbours on both sides, so that a peak does not depend on where chunks end.
        first, last = max(0, start - NEAR_FRAMES), min(count, start + _CHUNK + NEAR_FRAMES)
        spectrum = np.fft.rfft(frames[first:last] * window, axis=1)
        level = np.log(np.abs(spectrum).astype(np.float32) + floor)
        highest = _highest(_highest(level, NEAR_FRAMES, axis=0), NEAR_BINS, axis=1)
        is_peak = (level >= highest) & (level > np.log(2 * floor))
        is_peak[:, :LOWEST_BIN] = is_peak[:, HIGHEST_BIN:] = False
        is_peak[: start - first] = is_peak[start - first + _CHUNK :] = False
        at, bins = np.nonzero(is_peak)
        below, here, above = level[at, bins - 1], level[at, bins], level[at, bins + 1]
        curve = np.minimum(below + above - 2 * here, -1e-6)
        between = np.clip(0.5 * (below - above) / curve, -0.5, 0.5)
        # How far a peak stands out from its pitch region, since music falls off towards the top.
        region = moving_mean(level, REGION_BINS, np.float32).astype(np.float32)
        yield at + first, (bins + between).astype(np.float32), here - region[at, bins]


def _highest(level: NDArray[np.float32], near: int, axis: int) -> NDArray[np.float32]:
    """Maximum over ±`near` places along `axis`, by maxima over windows of growing width."""
    level = np.moveaxis(level, axis, 0)
    width, reach = 1, 2 * near + 1
    edge = np.full((near, *level.shape[1:]), -np.inf, np.float32)
    best = np.concatenate([edge, level, edge])
    while width < reach:
        step = min(width, reach - width)
        best = np.maximum(best[:-step], best[step:])
        width += step
    return np.moveaxis(best, 0, axis)


def _strongest_per_second(
    frames: NDArray[np.int64], prominence: NDArray[np.float32]
) -> NDArray[np.intp]:
    """Places of the `PEAKS_PER_SECOND` most prominent peaks of each second, in order of time."""
    second = (frames / FRAME_RATE).astype(np.int64)
    order = np.lexsort((-prominence, second))
    ordered = second[order]
    starts = np.searchsorted(ordered, ordered)
    rank = np.arange(len(order)) - starts
    return np.sort(order[rank < PEAKS_PER_SECOND])
