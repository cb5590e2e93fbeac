"""What float32 knows of the energies in a spectrum's bands: little where a loud frame has none."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tolerances import UNIT32


def band_energies(
    windowed: Tensor, plain: Tensor, filters: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    """Energies E [T, B] in float64 of frames, and what float32 may be off by [T, B].

    windowed [T, N] is what is transformed over `size` points, plain [T, N] what that is made from,
    filters [F, B] are the bands' weights, none below 0.

    E = Σ m_k |X_k|² is off by 2 Σ m_k |X_k| e and Σ m_k e², where e is the error of one X_k; by
    Cauchy and Schwarz the first is 2 e √(E Σ m_k) at most. Each of the transform's log₂ stages of
    complex multiplications and sums is off by some four roundings, spread evenly over its bins: of
    the windowed frame's norm. Making that frame adds four roundings of the plain one's, which
    cancel where the windowed one is a difference of neighbours. The sum over k has terms of one
    sign and 2 √F roundings.
    """
    windowed, plain, filters = windowed.double(), plain.double(), filters.double()
    energy = torch.fft.rfft(windowed, size).abs().square() @ filters
    off = 4 * UNIT32 * (math.log2(size) * windowed.norm(dim=1) + plain.norm(dim=1))[:, None]
    weight = filters.sum(dim=0)
    terms = 2 * math.sqrt(len(filters)) * UNIT32
    return energy, 2 * off * (weight * energy).sqrt() + off**2 * weight + terms * energy
