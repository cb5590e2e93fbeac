"""Rhythm and loudness of a track per 2.5 s segment, as a few numbers on fixed scales.

The scales bring everyday values to about 1, and mean the same in every track.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mgsv.encoders.registry import SEGMENT_STEP
from mgsv.media.rhythm import ONSET_RATE, Rhythm

RHYTHM_CHANNELS = (
    "onset_mean",  # over the segment
    "onset_max",
    "energy_mean",  # 0 (60 dB under the track's loudest) to 1
    "energy_spread",  # standard deviation: held tones against beats and breaks
    "energy_slope",  # rise per segment of the least-squares line
    "beats",  # per second
    "beat_strength",  # onset strength on the beats against the segment's mean, as a log ratio
    "tempo",  # of the whole track, in octaves from 120 bpm; 0 where none is found
)
ONSET_SCALE = 2.0
ONSET_PEAK_SCALE = 0.4
ENERGY_SPREAD_SCALE = 5.0
ENERGY_SLOPE_SCALE = 2.0
BEAT_SCALE = 0.5  # 2 beats/s at 120 bpm
BEAT_REACH = 3  # samples (48 ms) to either side of a beat in which its onset may lie


def rhythm_features(rhythm: Rhythm, segments: int) -> npt.NDArray[np.float32]:
    """float32 [segments, 8]: the columns of RHYTHM_CHANNELS for [2.5 k, 2.5 (k + 1)).

    Only the part of a segment that lies on the track counts; a segment wholly beyond it is 0 but
    for the tempo.
    """
    rows = np.zeros((segments, len(RHYTHM_CHANNELS)), np.float32)
    beats = np.asarray(rhythm.beats, dtype=np.float64)
    edges = np.arange(segments + 1) * SEGMENT_STEP
    samples = np.round(edges * ONSET_RATE).astype(np.intp)
    first_beat = np.searchsorted(beats, edges)
    rows[:, 7] = np.log2(rhythm.tempo / 120) if rhythm.tempo > 0 else 0.0
    for k in range(segments):
        onset = rhythm.onset[samples[k] : samples[k + 1]].astype(np.float64)
        energy = rhythm.energy[samples[k] : samples[k + 1]].astype(np.float64)
        if len(onset) == 0 or len(energy) == 0:
            continue
        heard = max(min(rhythm.duration - edges[k], SEGMENT_STEP), 1 / ONSET_RATE)
        inside = beats[first_beat[k] : first_beat[k + 1]]
        rows[k, :7] = (
            onset.mean() * ONSET_SCALE,
            onset.max() * ONSET_PEAK_SCALE,
            energy.mean(),
            energy.std() * ENERGY_SPREAD_SCALE,
            _slope(energy) * len(energy) * ENERGY_SLOPE_SCALE,
            len(inside) / heard * BEAT_SCALE,
            _beat_strength(rhythm.onset, inside, onset.mean()),
        )
    return rows


def _slope(values: npt.NDArray[np.float64]) -> float:
    """Rise per sample of the least-squares line; 0 for a single sample."""
    time = np.arange(len(values)) - (len(values) - 1) / 2
    spread = float(time @ time)
    return float(time @ values) / spread if spread > 0 else 0.0


def _beat_strength(
    onset: npt.NDArray[np.float32], beats: npt.NDArray[np.float64], mean: float
) -> float:
    """log(mean peak near the beats / `mean`), floored at 0: off-beat segments are all alike."""
    if len(beats) == 0 or mean <= 0:
        return 0.0
    centres = np.round(beats * ONSET_RATE).astype(np.intp)
    near = centres[:, None] + np.arange(-BEAT_REACH, BEAT_REACH + 1)
    peaks = onset[np.clip(near, 0, len(onset) - 1)].max(axis=1)
    return max(0.0, float(np.log(peaks.mean() / mean)))
