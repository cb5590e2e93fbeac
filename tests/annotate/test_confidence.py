"""The confidence of a match: what makes it surer, and that it is a probability.

Tolerances: closed forms in float64.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgsv.annotate import LandmarkIndex, locate
from mgsv.annotate.confidence import (
    BY_CORRELATION,
    BY_SECONDS,
    PLAIN,
    USUAL_CORRELATION,
    USUAL_SECONDS,
    confidence,
)
from tunes import RATE, tune

seconds = st.floats(0.01, 3600)
correlations = st.floats(-1, 1)
chances = st.floats(0, 1e20)


def test_the_usual_match_and_what_doubling_adds() -> None:
    def log_odds(long: float, clear: float) -> float:
        p = confidence(long, clear, 0.0)
        return math.log(p / (1 - p))

    usual = log_odds(USUAL_SECONDS, USUAL_CORRELATION)
    assert usual == pytest.approx(PLAIN)
    assert log_odds(2 * USUAL_SECONDS, USUAL_CORRELATION) - usual == (
        pytest.approx(BY_SECONDS * math.log(2))
    )
    assert log_odds(USUAL_SECONDS, 2 * USUAL_CORRELATION) - usual == (
        pytest.approx(BY_CORRELATION * math.log(2))
    )
    assert confidence(30.0, 0.9, 2.0) == pytest.approx(math.exp(-2) * confidence(30.0, 0.9, 0.0))


@settings(deadline=None)
@given(seconds, seconds, correlations, correlations, chances)
def test_longer_clearer_and_less_by_chance_is_surer(
    short: float, long: float, dim: float, clear: float, chance: float
) -> None:
    short, long = sorted((short, long))
    dim, clear = sorted((dim, clear))
    p = confidence(short, dim, chance)
    assert 0 <= p <= 1
    assert confidence(long, dim, chance) >= p and confidence(short, clear, chance) >= p
    assert confidence(short, dim, chance / 2) >= p


@pytest.mark.slow
def test_music_under_a_loud_foreground_is_less_sure(index: LandmarkIndex) -> None:
    music = tune(0, 25)[3 * RATE : 18 * RATE]
    noise = np.random.default_rng(0).normal(size=len(music)).astype(np.float32)
    loud = music + 4 * float(np.sqrt((music**2).mean())) * noise
    [clean], [covered] = locate(index, music), locate(index, loud)
    assert clean.correlation > 0.9 > 0.5 > covered.correlation > 0
    assert clean.confidence > covered.confidence > 0.5
