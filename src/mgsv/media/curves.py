"""Arithmetic over curves and marks.

A curve is an array of numbers at an even rate: sample t is the mean over [t, t + 1) / rate seconds.
Its edges are the places between samples: edge t is where sample t begins, so that [low, high) are
the samples between two edges. Marks are times in seconds, rising.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Numbers = NDArray[np.floating]
Doubles = NDArray[np.float64]
Places = NDArray[np.integer]


def sliding_windows(samples: NDArray[np.float32], width: int, hop: int) -> NDArray[np.float32]:
    """A read-only view [n, width] of samples [N]: row k begins at sample k * hop.

    As many rows as fit: none of them reaches beyond the end.
    """
    return np.lib.stride_tricks.sliding_window_view(samples, width)[::hop]


def edges_at(times: ArrayLike, rate: float, length: int) -> NDArray[np.intp]:
    """The edges nearest to `times` (seconds) of a curve of `length` samples, from 0 to `length`."""
    return np.clip(np.rint(np.asarray(times) * rate).astype(np.intp), 0, length)


def window_means(
    curve: Numbers, low: Places, high: Places, dtype: DTypeLike = np.float64
) -> Doubles:
    """Means [..., *N] of a curve [..., T] between the edges `low` and `high`, [*N] each.

    A window that reaches beyond the curve is averaged over its part of it, an empty one is 0.
    dtype: of the running total.
    """
    length = curve.shape[-1]
    zero = np.zeros((*curve.shape[:-1], 1), curve.dtype)
    total = np.cumsum(np.concatenate([zero, curve], axis=-1), axis=-1, dtype=dtype)
    low, high = (np.minimum(np.maximum(edges, 0), length) for edges in (low, high))
    sums = total.take(high, axis=-1) - total.take(low, axis=-1)
    return np.asarray(sums / np.maximum(high - low, 1), np.float64)


def moving_mean(curve: Numbers, reach: int, dtype: DTypeLike = np.float64) -> Doubles:
    """[..., T] means of a curve [..., T] over each sample and up to `reach` to either side."""
    places = np.arange(curve.shape[-1])
    return window_means(curve, places - reach, places + reach + 1, dtype)


def means_beside(curve: Numbers, low: Places, at: Places, high: Places) -> tuple[Doubles, Doubles]:
    """The means of a curve [T] from the edges `low` to `at`, and from `at` to `high`: [N] each."""
    before, after = window_means(curve, np.stack([low, at]), np.stack([at, high]))
    return before, after


def rises(curve: Numbers, low: Places, at: Places, high: Places) -> Doubles:
    """[N] the mean of a curve [T] from the edges `at` to `high`, minus that from `low` to `at`.

    0 where the curve has no sample on one of the sides.
    """
    before, after = means_beside(curve, low, at, high)
    inside = (np.maximum(low, 0) < at) & (at < np.minimum(high, len(curve)))
    return np.where(inside, after - before, 0.0)


def at_rate(curve: Numbers, from_rate: float, to_rate: float) -> NDArray[np.float32]:
    """A curve [T] at `from_rate` samples per second as one at `to_rate`.

    Each new sample is the mean over its own interval; the last one over what the curve covers.
    """
    if not len(curve):
        return np.zeros(0, np.float32)
    total = np.concatenate([[0.0], np.cumsum(curve, dtype=np.float64)]) / from_rate
    return _slopes(np.arange(len(total)) / from_rate, total, to_rate)


def spread_evenly(times: Doubles, amounts: Doubles, rate: float) -> NDArray[np.float32]:
    """Amounts per second as a curve at `rate`: amounts[i] is spread evenly from times[i] to
    times[i + 1].

    times: [N + 1] seconds, rising, the last one above 0; amounts: [N]. Nothing is lost or counted
    twice, however the times lie. The last sample is averaged over what the times cover.
    """
    return _slopes(times, np.concatenate([[0.0], np.cumsum(amounts)]), rate)


def nearest(times: Numbers | float, marks: Numbers) -> NDArray[np.intp]:
    """The index of the mark nearest to each of `times`, in their shape; the earlier of two as near.

    There must be at least one mark.
    """
    before, after = _around(times, marks)
    closer = np.abs(times - marks[before]) <= np.abs(marks[after] - times)
    return np.where(closer, before, after)


def offsets(times: Numbers, marks: Numbers) -> Doubles:
    """[N] seconds from the nearest mark to each of `times` [N]: negative before it, infinite
    without any.
    """
    if not len(marks):
        return np.full(len(times), np.inf)
    return np.asarray(times - marks[nearest(times, marks)], np.float64)


def distances(times: Numbers, marks: Numbers) -> Doubles:
    """[N] seconds between each of `times` [N] and the nearest mark; infinite without any."""
    if not len(marks):
        return np.full(len(times), np.inf)
    before, after = _around(times, marks)
    apart = np.minimum(np.abs(times - marks[before]), np.abs(marks[after] - times))
    return np.asarray(apart, np.float64)


def _around(times: Numbers | float, marks: Numbers) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The indices of the marks before and after each of `times`; beyond the ends the last one."""
    after = np.searchsorted(marks, times)
    return np.maximum(after - 1, 0), np.minimum(after, len(marks) - 1)


def _slopes(times: Doubles, total: Doubles, rate: float) -> NDArray[np.float32]:
    """A curve at `rate` from 0 to the last of `times`, whose running total is known at these."""
    end = times[-1]
    count = max(1, int(np.ceil(end * rate - 1e-6)))
    edges = np.minimum(np.arange(count + 1) / rate, end)
    return np.asarray(np.diff(np.interp(edges, times, total)) / np.diff(edges), np.float32)
