"""Curves and marks: every function beside the obvious slow formula."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mgsv.media.curves import (
    at_rate,
    distances,
    edges_at,
    means_beside,
    moving_mean,
    nearest,
    offsets,
    rises,
    sliding_windows,
    spread_evenly,
    window_means,
)

# Running totals of some dozens of numbers up to 100: float64 errs by less than this.
CLOSE = 1e-9
numbers = st.floats(-100, 100, width=32)
curves = st.integers(1, 40).flatmap(lambda n: arrays(np.float32, n, elements=numbers))
edges = arrays(np.int64, 3, elements=st.integers(-5, 50)).map(np.sort)
# Eighths of a second, whose differences are exact.
seconds = st.integers(0, 480).map(lambda eighths: eighths / 8)
marks = st.lists(seconds, min_size=1, max_size=20, unique=True).map(
    lambda times: np.array(sorted(times))
)
times = st.lists(seconds, min_size=1, max_size=20).map(np.array)


def mean_of(values: np.ndarray) -> float:
    return float(np.mean(values, dtype=np.float64)) if len(values) else 0.0


def within(curve: np.ndarray, low: int, high: int) -> np.ndarray:
    return curve[max(low, 0) : max(high, 0)]


@given(curves, edges)
def test_window_means(curve: np.ndarray, at: np.ndarray) -> None:
    means = window_means(curve, at[:2], at[1:])
    expected = [mean_of(within(curve, low, high)) for low, high in itertools.pairwise(at)]
    assert means == pytest.approx(expected, abs=CLOSE)


@given(curves, edges)
def test_means_beside(curve: np.ndarray, at: np.ndarray) -> None:
    expected = [mean_of(within(curve, low, high)) for low, high in itertools.pairwise(at)]
    assert np.ravel(means_beside(curve, *at[:, None])) == pytest.approx(expected, abs=CLOSE)


@given(curves, st.integers(0, 50))
def test_moving_mean(curve: np.ndarray, reach: int) -> None:
    expected = [mean_of(within(curve, t - reach, t + reach + 1)) for t in range(len(curve))]
    assert moving_mean(curve, reach) == pytest.approx(expected, abs=CLOSE)


def test_moving_mean_of_each_row_in_the_precision_wanted() -> None:
    rows = np.random.default_rng(0).random((3, 30)).astype(np.float32)
    assert np.array_equal(moving_mean(rows, 4), [moving_mean(row, 4) for row in rows])
    assert moving_mean(rows, 4, np.float32) == pytest.approx(moving_mean(rows, 4), abs=1e-5)


@given(curves, edges)
def test_rises(curve: np.ndarray, at: np.ndarray) -> None:
    before, after = within(curve, at[0], at[1]), within(curve, at[1], at[2])
    expected = mean_of(after) - mean_of(before) if len(before) and len(after) else 0.0
    assert rises(curve, *at[:, None]) == pytest.approx([expected], abs=CLOSE)


@given(times, st.sampled_from([10.0, 62.5]), st.integers(0, 500))
def test_edges_at(at: np.ndarray, rate: float, length: int) -> None:
    found = edges_at(at, rate, length)
    places = np.arange(length + 1) / rate
    best = [np.abs(places - time).min() for time in at]
    assert np.abs(places[found] - at) == pytest.approx(best)


@given(times, marks)
def test_nearest_marks(at: np.ndarray, known: np.ndarray) -> None:
    apart = np.abs(at[:, None] - known)
    assert list(nearest(at, known)) == list(apart.argmin(axis=1))
    assert list(distances(at, known)) == list(apart.min(axis=1))
    assert list(offsets(at, known)) == list(at - known[apart.argmin(axis=1)])


def test_the_nearest_mark_of_one_time() -> None:
    known = np.array([1.0, 3.0])
    assert [int(nearest(time, known)) for time in (0.0, 1.9, 2.0, 2.1, 9.0)] == [0, 0, 0, 1, 1]
    assert list(offsets(np.array([0.5, 3.25]), known)) == [-0.5, 0.25]


def test_without_marks_everything_is_far() -> None:
    assert list(offsets(np.array([0.0, 1.0]), np.zeros(0))) == [np.inf, np.inf]
    assert list(distances(np.array([0.0, 1.0]), np.zeros(0))) == [np.inf, np.inf]


@given(curves, st.integers(1, 10), st.integers(1, 10))
def test_sliding_windows(samples: np.ndarray, width: int, hop: int) -> None:
    if width > len(samples):
        return
    starts = range(0, len(samples) - width + 1, hop)
    expected = [samples[start : start + width] for start in starts]
    assert np.array_equal(sliding_windows(samples, width, hop), expected)


@given(curves, st.integers(1, 6), st.integers(1, 6))
def test_at_rate(curve: np.ndarray, from_rate: int, to_rate: int) -> None:
    # Cut so finely that both grids are whole numbers of cells.
    fine = np.repeat(curve.astype(np.float64), to_rate)
    expected = [fine[k : k + from_rate].mean() for k in range(0, len(fine), from_rate)]
    assert at_rate(curve, from_rate, to_rate) == pytest.approx(np.array(expected), abs=1e-4)


class TestAtRate:
    def test_up_and_down_again(self) -> None:
        curve = np.random.default_rng(0).random(50).astype(np.float32)
        assert at_rate(at_rate(curve, 10, 100), 100, 10) == pytest.approx(curve, abs=1e-6)

    def test_last_interval_is_averaged_over_what_is_there(self) -> None:
        assert at_rate(np.ones(7, np.float32), 62.5, 10) == pytest.approx([1, 1])
        assert len(at_rate(np.zeros(0, np.float32), 62.5, 10)) == 0


@given(st.lists(st.tuples(st.integers(1, 30), numbers), min_size=1, max_size=30))
def test_spread_evenly(steps: list[tuple[int, float]]) -> None:
    lengths, amounts = zip(*steps, strict=True)  # lengths in hundredths of a second
    at = np.concatenate([[0], np.cumsum(lengths)]) / 100
    fine = np.repeat(np.array(amounts) / lengths * 100, lengths)
    expected = [fine[k : k + 10].mean() for k in range(0, len(fine), 10)]
    # An amount of 100 within 0.01 s is 10,000 a second, of which float32 keeps seven digits.
    found = spread_evenly(at, np.array(amounts, np.float64), 10)
    assert found == pytest.approx(np.array(expected), rel=1e-6, abs=1e-3)
