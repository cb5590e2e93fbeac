"""What is said of a place that was found, against how often such places are right.

Tolerance: a share fitted on 2,000 clips is within four standard errors, 0.045.
"""

from __future__ import annotations

import numpy as np
import pytest

from mgsv.methods.calibration import MOST_ONSETS, Calibration, Clues
from survey_fit import Left, calibrated


def test_without_a_fit_the_surveys_word_is_taken() -> None:
    for probability in (0.5, 0.8, 0.95):
        assert Calibration().probability(Clues.of(probability, 2.0, 5.0)) == pytest.approx(
            probability
        )


def test_clues_have_limits() -> None:
    assert Clues.of(1.0, 9.0, 99.0) == Clues.of(0.99, 3.0, MOST_ONSETS)
    assert Clues.of(0.5, -9.0, -1.0) == (0.0, -3.0, 0.0)


def drawn(kind: str, count: int, share: float, motion: float) -> list[Left]:
    """Clips of which `share` are right, all alike to the survey."""
    rng = np.random.default_rng(len(kind))
    clues = Clues.of(0.8, motion, 4.0)
    return [Left(kind, clues, bool(right)) for right in rng.random(count) < share]


def test_what_is_said_is_the_share_that_is_right() -> None:
    own = calibrated(drawn("own", 2000, 0.6, 0.0))
    assert own.probability(Clues.of(0.8, 0.0, 4.0)) == pytest.approx(0.6, abs=0.045)


def test_kinds_count_alike_where_no_clue_tells_them_apart() -> None:
    both = calibrated([*drawn("many", 3000, 0.9, 0.0), *drawn("few", 1500, 0.3, 0.0)])
    assert both.probability(Clues.of(0.8, 0.0, 4.0)) == pytest.approx(0.6, abs=0.045)


def test_a_clue_that_tells_kinds_apart_is_used() -> None:
    both = calibrated([*drawn("moving", 2000, 0.9, 2.0), *drawn("still", 2000, 0.3, -1.0)])
    for motion, share in ((2.0, 0.9), (-1.0, 0.3)):
        # The regression is held towards the mean, which a fiftieth of its weight costs.
        said = both.probability(Clues.of(0.8, motion, 4.0))
        assert said == pytest.approx(share, abs=0.08)
