"""What luck reaches: scores that are drawn from one distribution hardly ever stand out of it."""

from __future__ import annotations

import numpy as np
import pytest

from mgsv.methods.chance import CONFIDENCE, reached_by_luck


def test_an_exponential_tail_is_exceeded_as_often_as_said() -> None:
    """Scores of 40 tracks whose upper half falls exponentially; a sample shows its scale to some
    20 %, which makes more of them stand out than with the scale known.
    """
    rng = np.random.default_rng(0)
    scores = rng.exponential(size=(20_000, 40)) * rng.choice([-1.0, 1.0], size=(20_000, 40))
    above = np.mean([one.max() > reached_by_luck(one, 40) for one in scores])
    assert 1 - CONFIDENCE < above < 0.03


def test_one_track_that_stands_out_does_not_hide_itself() -> None:
    scores = np.random.default_rng(1).normal(size=30)
    usual = reached_by_luck(scores, 30)
    assert scores.max() < usual
    fitting = np.append(scores, usual + 5.0)
    assert reached_by_luck(fitting, 31) < usual + 1.0


@pytest.mark.parametrize("tracks", [100, 10_000])
def test_luck_reaches_more_among_more_tracks_and_moves_with_the_scores(tracks: int) -> None:
    scores = np.random.default_rng(2).normal(size=64)
    known = reached_by_luck(scores, tracks)
    assert known > reached_by_luck(scores, 64)
    assert reached_by_luck(3.0 * scores + 2.0, tracks) == pytest.approx(3.0 * known + 2.0)
    assert reached_by_luck(np.ones(8), tracks) == pytest.approx(1.0)
