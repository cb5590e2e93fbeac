"""What a report counts with, against scipy, published examples and sums by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mgsv.study.agreement import krippendorff_alpha
from mgsv.study.intervals import cluster_weights, percentiles, wilson
from mgsv.study.strengths import fit_strengths

stats = pytest.importorskip("scipy.stats", reason="scipy is the oracle here")
optimize = pytest.importorskip("scipy.optimize")


@pytest.mark.parametrize(("wins", "count"), [(0, 5), (7, 10), (50, 60), (3, 3)])
def test_wilson(wins: int, count: int) -> None:
    expected = stats.binomtest(wins, count).proportion_ci(0.95, method="wilson")
    assert wilson(wins, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_nothing_and_of_halves() -> None:
    assert wilson(0, 0) == (0, 1)
    low, high = wilson(2.5, 5)
    assert low == pytest.approx(1 - high)


def test_alpha_of_krippendorffs_example() -> None:
    """Four observers, twelve units: Krippendorff, "Computing Krippendorff's alpha-reliability"
    (2011), gives 0.849 for interval data."""
    missing = math.nan
    values = np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, missing, missing, missing],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, missing, 3],
            [missing, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, missing],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, missing],
        ]
    )
    assert krippendorff_alpha(values) == pytest.approx(0.849, abs=5e-4)


def test_alpha_at_its_ends() -> None:
    same = np.array([[1.0, -1, 0], [1, -1, 0]])
    assert krippendorff_alpha(same) == pytest.approx(1)
    assert math.isnan(krippendorff_alpha(np.zeros((2, 3))))
    assert math.isnan(krippendorff_alpha(np.array([[1.0, math.nan], [math.nan, 2.0]])))
    chance = np.random.default_rng(0).integers(-2, 3, (40, 200)).astype(float)
    assert abs(krippendorff_alpha(chance)) < 0.02  # of 1/sqrt(200 · 40): 0.011


def davidson(values, wins, ties, prior):
    """The log-likelihood, written down plainly, with its prior; negative."""
    *strengths, tie = values
    total = -prior / 2 * sum(v * v for v in values)
    for i in range(len(strengths)):
        for j in range(i):
            s, t = strengths[i], strengths[j]
            whole = math.log(math.exp(s) + math.exp(t) + math.exp(tie + (s + t) / 2))
            total += wins[i, j] * (s - whole) + wins[j, i] * (t - whole)
            total += ties[i, j] * (tie + (s + t) / 2 - whole)
    return -total


def test_strengths_are_the_likeliest() -> None:
    wins = np.array([[0.0, 14, 9, 20], [6, 0, 7, 12], [11, 10, 0, 16], [1, 3, 2, 0]])
    ties = np.array([[0.0, 5, 6, 2], [5, 0, 8, 4], [6, 8, 0, 3], [2, 4, 3, 0]])
    found, tie = fit_strengths(wins, ties)
    best = optimize.minimize(davidson, np.zeros(5), (wins, ties, 0.02), tol=1e-10)
    assert found == pytest.approx(best.x[:4] - best.x[:4].mean(), abs=1e-4)
    assert float(tie) == pytest.approx(best.x[4], abs=1e-4)


def test_two_systems_without_a_prior_are_a_sum_by_hand() -> None:
    """30 to 10 with 20 ties: e^(s - t) = 3, and ν = 20 / sqrt(30 · 10)."""
    wins, ties = np.array([[0.0, 30], [10, 0]]), np.array([[0.0, 20], [20, 0]])
    (s, t), tie = fit_strengths(wins, ties, prior=1e-12)
    assert s - t == pytest.approx(math.log(3), abs=1e-6)
    assert s + t == pytest.approx(0, abs=1e-9)
    assert float(tie) == pytest.approx(math.log(20 / math.sqrt(300)), abs=1e-6)


def test_who_always_wins_has_a_finite_strength() -> None:
    wins, none = np.array([[0.0, 40], [0, 0]]), np.zeros((2, 2))
    (s, t), tie = fit_strengths(wins, none)
    assert 3 < s - t < 15 and math.isfinite(float(tie))
    still, _ = fit_strengths(none, none)
    assert still == pytest.approx([0, 0])


def test_many_fits_at_once_are_each_its_own() -> None:
    rng = np.random.default_rng(3)
    wins = rng.integers(0, 20, (5, 3, 3)).astype(float)
    ties = rng.integers(0, 9, (5, 3, 3)).astype(float)
    ties = ties + ties.transpose(0, 2, 1)
    together, _ = fit_strengths(wins, ties)
    for n in range(5):
        assert together[n] == pytest.approx(fit_strengths(wins[n], ties[n])[0], abs=1e-7)


def test_resamples_draw_whole_listeners_and_clips() -> None:
    """The variance of a mean over 40 listeners of 10 equal answers is that of 40, not 400."""
    rng = np.random.default_rng(1)
    listeners, clips = np.repeat(np.arange(40), 10), np.tile(np.arange(10), 40)
    own = rng.normal(size=40)[listeners]
    weights = cluster_weights(listeners, clips, 2000, rng)
    assert weights.mean() == pytest.approx(1, abs=0.05)
    means = (weights @ own) / weights.sum(axis=1)
    assert means.std() == pytest.approx(own.std() / math.sqrt(40), rel=0.1)
    low, high = percentiles(means)
    assert low < own.mean() < high
