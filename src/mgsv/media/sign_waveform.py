"""A waveform reduced to the signs of its whitened samples: enough to align to a fraction of a ms.

Whitening gives every pitch region the same weight, so that the correlation of two waveforms has
one narrow peak where they are the same sound, whatever filter, level or fade lies between them.
Signs alone keep 2 / π of that correlation (J. H. Van Vleck and D. Middleton, "The spectrum of
clipped noise", Proc. IEEE 54, 1966) and a sixteenth of the bytes, and they cannot be listened to.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mgsv.media.curves import moving_mean, sliding_windows
from mgsv.media.landmarks import RATE

__all__ = ["RATE", "pack_signs", "signs", "whiten"]

_WINDOW = 512
_HOP = _WINDOW // 2
# Levels are evened out over ±125 Hz: wide enough to leave the notes' own shapes alone.
_SMOOTH_BINS = 8
# Below this (full scale 1) there is no sound, only what a codec left of it.
_FLOOR = 1e-5
_CHUNK = 4096


def whiten(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N] at `RATE` with its spectrum made flat in time and frequency; phases are untouched.

    About 1 in RMS where there is sound, 0 where there is none.
    """
    window = np.sin(np.pi * (np.arange(_WINDOW) + 0.5) / _WINDOW).astype(np.float32)
    count = -(-len(samples) // _HOP) + 1
    padded = np.pad(samples, (_HOP, (count + 1) * _HOP - _HOP - len(samples)))
    result = np.zeros((count + 1, _HOP), np.float32)
    floor = np.float32(_FLOOR * window.sum())
    frames = sliding_windows(padded, _WINDOW, _HOP)
    for start in range(0, count, _CHUNK):
        stop = min(count, start + _CHUNK)
        spectrum = np.fft.rfft(frames[start:stop] * window, axis=1).astype(np.complex64)
        spectrum[:, :4] = 0  # rumble below 60 Hz, which tells nothing of the place
        spectrum /= moving_mean(np.abs(spectrum), _SMOOTH_BINS).astype(np.float32) + floor
        waves = np.fft.irfft(spectrum, axis=1).astype(np.float32) * window
        result[start:stop] += waves[:, :_HOP]
        result[start + 1 : stop + 1] += waves[:, _HOP:]
    # Of a flat spectrum of height 1: irfft scales by 1 / WINDOW, the windows overlap to 1.
    scale = np.float32(np.sqrt(_WINDOW))
    return result.reshape(-1)[_HOP : _HOP + len(samples)] * scale


def pack_signs(white: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Eight samples in a byte, 1 = above zero: uint8 [ceil(N / 8)]."""
    return np.packbits(white > 0)


def signs(packed: NDArray[np.uint8], start: int, stop: int) -> NDArray[np.float32]:
    """Samples `start` to `stop` of packed signs, as -1 and 1; 0 before 0 and after the end."""
    low, high = max(start, 0), min(stop, 8 * len(packed))
    result = np.zeros(stop - start, np.float32)
    if low < high:
        bits = np.unpackbits(packed[low // 8 : -(-high // 8)])[low % 8 :][: high - low]
        result[low - start : high - start] = 2.0 * bits - 1.0
    return result
