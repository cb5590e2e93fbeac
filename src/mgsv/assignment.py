"""The cheapest one-to-one assignment, for a batch of cost tables at once.

Shortest augmenting paths with potentials (Jonker and Volgenant, 1987): rows enter one by one, and
every table takes the same step of its own search. B tables, N rows, M columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def assign(cost: NDArray[np.float64], columns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Column of each row, -1 where it has none: [B, N] from finite costs [B, N, M].

    Table b has `columns[b]` columns; those after them are ignored. As many rows as columns allow
    are assigned, so that the sum of their costs is least.
    """
    tables, rows, most = cost.shape
    # A row may stay alone, in one of N more columns that cost more than all else together.
    absent = np.arange(most) >= columns[:, None]
    alone = 1 + 2 * rows * np.abs(np.where(absent[:, None], 0, cost)).max(initial=0)
    table = np.full((tables, rows + 1, 1 + most + rows), alone)
    table[:, 1:, 1 : most + 1] = np.where(absent[:, None], np.inf, cost)
    owner = _search(table)
    column = np.full((tables, rows + 1), -1)
    which, where = np.nonzero(owner[:, 1 : most + 1])
    column[which, owner[which, where + 1]] = where
    return column[:, 1:]


def _search(cost: NDArray[np.float64]) -> NDArray[np.int64]:
    """Row of each column [B, M + 1], 0 where it has none; row and column 0 stand for nothing."""
    tables, rows, columns = cost.shape
    u, v = np.zeros((tables, rows)), np.zeros((tables, columns))
    owner = np.zeros((tables, columns), dtype=np.int64)
    for row in range(1, rows):
        owner[:, 0] = row
        at = np.zeros(tables, dtype=np.int64)
        distance = np.full((tables, columns), np.inf)
        before = np.zeros((tables, columns), dtype=np.int64)
        done = np.zeros((tables, columns), dtype=bool)
        while (b := np.flatnonzero(owner[np.arange(tables), at])).size:
            here = at[b]
            done[b, here] = True
            i, reached = owner[b, here], done[b]
            through = cost[b, i] - u[b, i][:, None] - v[b]
            shorter = ~reached & (through < distance[b])
            nearest = np.where(shorter, through, distance[b])
            before[b] = np.where(shorter, here[:, None], before[b])
            ahead = np.where(reached, np.inf, nearest)
            at[b] = ahead.argmin(axis=1)
            step = ahead.min(axis=1)[:, None]
            u[b[:, None], owner[b]] += step * reached  # a row owns one column: none is hit twice
            v[b] -= step * reached
            distance[b] = np.where(reached, nearest, nearest - step)
        while (b := np.flatnonzero(at)).size:
            back = before[b, at[b]]
            owner[b, at[b]] = owner[b, back]
            at[b] = back
    return owner
