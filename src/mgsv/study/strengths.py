"""The Bradley–Terry scale with ties, in Davidson's form (1970).

Each system has a strength, and of two with strengths s and t

    P(first better) ∝ e^s      P(second better) ∝ e^t      P(no difference) ∝ ν e^((s + t) / 2)

so that a tie says that both are near to each other, and how often there are ties does not change
who leads. Strengths have mean 0; equal ones win equally often.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

PRIOR = 0.02
"""Inverse variance of a normal prior on strengths and log ν, about 7 wide: it keeps them finite
where one system wins always, or there is no tie, and is worth less than a tenth of an answer."""
_ROUNDS, _STEP, _CLOSE = 100, 2.0, 1e-9


def fit_strengths(wins: Floats, ties: Floats, prior: float = PRIOR) -> tuple[Floats, Floats]:
    """Strengths [..., S] and log ν [...] of the highest likelihood, by Newton's method.

    wins: [..., S, S], how often the row was better than the column. ties: [..., S, S], symmetric,
    how often there was no difference. Counts need not be whole numbers. Leading axes are fitted
    each for itself.
    """
    shape, systems = wins.shape[:-2], wins.shape[-1]
    wins = wins.reshape(-1, systems, systems)
    ties = ties.reshape(-1, systems, systems)
    first, second = np.triu_indices(systems, 1)
    # [fits, pairs, 3]: first better, second better, no difference
    counts = np.stack(
        [wins[:, first, second], wins[:, second, first], ties[:, first, second]], axis=2
    )
    design = _design(systems, first, second)
    total = counts.sum(axis=2)
    values = np.zeros((len(wins), systems + 1))
    for _ in range(_ROUNDS):
        scores = design @ values[:, None, :, None]  # [fits, pairs, 3, 1]
        expected = _softmax(scores[..., 0])
        surprise = counts - total[..., None] * expected
        gradient = np.einsum("fpo,pok->fk", surprise, design) - prior * values
        mean = np.einsum("fpo,pok->fpk", expected, design)
        square = np.einsum("fp,fpo,pok,pol->fkl", total, expected, design, design)
        spread = square - np.einsum("fp,fpk,fpl->fkl", total, mean, mean)
        spread += prior * np.eye(systems + 1)
        step = np.linalg.solve(spread, gradient[..., None])[..., 0]
        longest = np.abs(step).max(axis=1, keepdims=True)
        values += step * np.minimum(1.0, _STEP / np.maximum(longest, 1e-300))
        if longest.max(initial=0.0) < _CLOSE:
            break
    strengths = values[:, :systems] - values[:, :systems].mean(axis=1, keepdims=True)
    return strengths.reshape(*shape, systems), values[:, systems].reshape(shape)


def _design(systems: int, first: npt.NDArray[np.intp], second: npt.NDArray[np.intp]) -> Floats:
    """[pairs, 3, systems + 1]: by how much each parameter enters an outcome's score."""
    pairs = np.arange(len(first))
    design = np.zeros((len(first), 3, systems + 1))
    design[pairs, 0, first] = design[pairs, 1, second] = 1.0
    design[pairs, 2, first] = design[pairs, 2, second] = 0.5
    design[:, 2, systems] = 1.0
    return design


def _softmax(scores: Floats) -> Floats:
    shifted: Floats = np.exp(scores - scores.max(axis=-1, keepdims=True))
    total: Floats = shifted.sum(axis=-1, keepdims=True)
    return shifted / total
