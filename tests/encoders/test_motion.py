"""A second's motion, cuts and light land in its row and column, on a fixed scale.

Tolerances: a few float32 operations; cuts fall on one side of a second's border or the other.
"""

import numpy as np
import pytest

from mgsv.encoders.motion import (
    CHANNELS,
    LIGHT_CHANGE_SCALE,
    LIGHT_SCALE,
    MOTION_SCALE,
    motion_features,
)
from mgsv.media.shots import VideoCurves


def curves(motion: list[float], light: list[float], cuts: list[float]) -> VideoCurves:
    """One value per second, held."""
    held = [np.repeat(np.array(values, np.float32), 10) for values in (motion, light)]
    return VideoCurves(float(len(motion)), held[0], held[1], np.array(cuts, np.float32))


def column(features: np.ndarray, name: str) -> np.ndarray:
    return features[:, CHANNELS.index(name)]


def test_each_second_has_its_own_motion_and_light() -> None:
    f = motion_features(curves([0.1, 0.3, 0.2], [0.5, 0.5, 0.9], []), 3)
    assert f.shape == (3, 8) and f.dtype == np.float32
    np.testing.assert_allclose(column(f, "motion_mean") / MOTION_SCALE, [0.1, 0.3, 0.2], rtol=1e-5)
    np.testing.assert_allclose(column(f, "motion_change") / MOTION_SCALE, [0, 0.2, -0.1], atol=1e-6)
    np.testing.assert_allclose(column(f, "light_mean") / LIGHT_SCALE, [0.5, 0.5, 0.9], rtol=1e-5)
    np.testing.assert_allclose(
        column(f, "light_change") / LIGHT_CHANGE_SCALE, [0, 0, 0.4], atol=1e-6
    )
    assert not column(f, "light_spread").any()


def test_a_flash_shows_in_maximum_and_spread_of_its_second_alone() -> None:
    c = curves([0.0] * 4, [0.2] * 4, [])
    c.motion[25], c.light[25] = 1.0, 1.0
    f = motion_features(c, 4)
    assert column(f, "motion_max").tolist() == [0, 0, MOTION_SCALE, 0]
    assert np.flatnonzero(column(f, "light_spread") > 1e-5).tolist() == [2]


def test_a_cut_on_the_second_belongs_to_the_second_it_opens() -> None:
    f = motion_features(curves([0.0] * 5, [0.0] * 5, [1.0, 1.9, 4.5]), 5)
    assert column(f, "cuts").tolist() == [0, 2, 0, 0, 1]


def test_pace_is_cuts_per_second_also_near_the_ends() -> None:
    steady = curves([0.0] * 60, [0.0] * 60, list(np.arange(0.25, 60, 0.5)))
    np.testing.assert_allclose(column(motion_features(steady, 60), "cut_rate"), 2.0, atol=0.1)
    assert not column(motion_features(curves([0.0] * 9, [0.0] * 9, []), 9), "cut_rate").any()


@pytest.mark.parametrize("samples", [0, 1, 4, 13])
def test_curves_shorter_than_the_frames_repeat_their_last_sample(samples: int) -> None:
    """A clip of 1.3 s has a frame at second 1, of which 0.3 s exist."""
    curve = np.linspace(0.1, 0.2, samples).astype(np.float32)
    f = motion_features(VideoCurves(samples / 10, curve, curve, np.zeros(0, np.float32)), 3)
    assert np.isfinite(f).all()
    last = curve[-1] if samples else 0.0
    np.testing.assert_allclose(column(f, "motion_mean")[2] / MOTION_SCALE, last, rtol=1e-5)


def test_no_frames_no_rows() -> None:
    assert motion_features(curves([], [], []), 0).shape == (0, 8)
