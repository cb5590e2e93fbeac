"""A segment's rhythm and loudness land in its row and column, on a fixed scale.

Tolerances: windows of 2.5 s hold 156 steps of 16 ms and a rest, so a mean over them is off by up to
1 %.
"""

import numpy as np
import pytest

from mgsv.encoders.rhythm_features import (
    BEAT_SCALE,
    ENERGY_SLOPE_SCALE,
    ONSET_PEAK_SCALE,
    ONSET_SCALE,
    RHYTHM_CHANNELS,
    rhythm_features,
)
from mgsv.media.rhythm import ONSET_RATE, Rhythm


def rhythm(
    seconds: float,
    onset: float | np.ndarray = 0.0,
    energy: float | np.ndarray = 0.0,
    tempo: float = 0.0,
    beats: list[float] | np.ndarray = (),  # type: ignore[assignment]
) -> Rhythm:
    samples = round(seconds * ONSET_RATE)
    curves = (np.broadcast_to(np.float32(c), samples) for c in (onset, energy))
    return Rhythm(seconds, *curves, tempo, np.array(beats, np.float32))


def column(features: np.ndarray, name: str) -> np.ndarray:
    return features[:, RHYTHM_CHANNELS.index(name)]


def test_onsets_and_energy_of_a_segment_stay_in_its_row() -> None:
    onset = np.zeros(625, np.float32)
    onset[200] = 2.0  # 3.2 s
    energy = np.repeat([0.2, 0.4, 0.6, 0.8], [156, 156, 157, 156]).astype(np.float32)
    f = rhythm_features(rhythm(10.0, onset, energy), 4)
    assert f.shape == (4, 8) and f.dtype == np.float32
    np.testing.assert_allclose(column(f, "onset_max") / ONSET_PEAK_SCALE, [0, 2, 0, 0])
    np.testing.assert_allclose(column(f, "onset_mean") / ONSET_SCALE, [0, 2 / 156, 0, 0], rtol=0.01)
    np.testing.assert_allclose(column(f, "energy_mean"), [0.2, 0.4, 0.6, 0.8], atol=2e-3)


def test_the_slope_is_the_rise_over_a_segment() -> None:
    """10 s from silence to full: 0.25 per segment, also in the last, half segment's pace."""
    energy = np.arange(625, dtype=np.float32) / 625
    f = rhythm_features(rhythm(10.0, energy=energy), 4)
    np.testing.assert_allclose(column(f, "energy_slope") / ENERGY_SLOPE_SCALE, 0.25, rtol=0.01)


def test_beats_are_counted_per_second_of_track_that_is_there() -> None:
    """120 bpm on a track of 6 s: two whole segments and 1 s of a third."""
    f = rhythm_features(rhythm(6.0, 0.1, 0.5, 120.0, np.arange(0.1, 6, 0.5)), 3)
    np.testing.assert_allclose(column(f, "beats") / BEAT_SCALE, 2.0)
    assert not column(f, "tempo").any()


def test_beats_on_onsets_are_strong_and_others_are_not() -> None:
    beats = np.arange(0.25, 10, 0.5)
    onset = np.full(625, 0.1, np.float32)
    onset[np.round(beats * ONSET_RATE).astype(int)] = 3.0
    strong = column(rhythm_features(rhythm(10.0, onset, 0.5, 120.0, beats), 4), "beat_strength")
    weak = column(
        rhythm_features(rhythm(10.0, onset, 0.5, 120.0, beats + 0.25), 4), "beat_strength"
    )
    assert (strong > 1).all() and not weak.any()


@pytest.mark.parametrize(("bpm", "octaves"), [(0.0, 0.0), (60.0, -1.0), (120.0, 0.0), (240.0, 1.0)])
def test_tempo_is_in_octaves_from_120(bpm: float, octaves: float) -> None:
    f = rhythm_features(rhythm(5.0, 0.1, 0.1, bpm), 2)
    np.testing.assert_allclose(column(f, "tempo"), octaves)


def test_a_segment_beyond_the_track_is_empty() -> None:
    f = rhythm_features(rhythm(2.0, 0.5, 0.5, 60.0, [1.0]), 3)
    assert f[0].all() or not f[0, RHYTHM_CHANNELS.index("energy_spread")]
    assert not f[1:, :7].any()
