"""A song of four chords whose bars are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SLOW = 16_000
BAR = 2.0
CHORDS = ((45, 52, 57, 60, 64), (41, 48, 53, 57, 60), (48, 52, 55, 60, 67), (43, 50, 55, 59, 62))


def song(bars: int, *, close: bool = True) -> NDArray[np.float32]:
    """A chord a bar, a kick on each beat, a louder one on the first; at the end the first chord,
    which dies away within two bars."""
    time = np.arange(round(2 * BAR * SLOW)) / SLOW
    rise = np.minimum(1, time * 100)
    samples = np.zeros(round((bars + 2) * BAR * SLOW))

    def put(at: float, sound: NDArray[np.float64]) -> None:
        first = round(at * SLOW)
        part = sound[: len(samples) - first]
        samples[first : first + len(part)] += part

    for bar in range(bars + close):
        tones = [np.sin(2 * np.pi * 440 * 2 ** ((p - 69) / 12) * time) for p in CHORDS[bar % 4]]
        held = np.where(time < BAR, 1.0, 0.0) if bar < bars else np.exp(-time * 2)
        put(bar * BAR, 0.08 * sum(tones) * held * rise)
        for beat in range(4 if bar < bars else 1):
            kick = np.sin(2 * np.pi * 50 * time + 8 * (1 - np.exp(-time * 40))) * np.exp(-time * 12)
            put(bar * BAR + beat * BAR / 4, (0.5 if beat == 0 else 0.25) * kick)
    return samples[: None if close else round(bars * BAR * SLOW)].astype(np.float32)
