"""Rows of features as tensors: copied out of a packed store, or kept in the memory of a device."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mgsv.data.packed import PackedStore

Gather = Callable[[npt.NDArray[np.int64], int | None], tuple[Tensor, Tensor]]
"""Features [N, L, D] and masks [N, L] of N places, as :meth:`PackedStore.gather`, as tensors."""

BLOCK_BYTES = 64 << 20
"""Features are copied to a device in blocks: the host never holds a second copy of them all."""


def host_gather(store: PackedStore) -> Gather:
    """Rows copied out of `store`, in the memory of the host."""

    def gather(places: npt.NDArray[np.int64], slots: int | None) -> tuple[Tensor, Tensor]:
        features, mask = store.gather(places, slots)
        return torch.from_numpy(features), torch.from_numpy(mask)

    return gather


class ResidentFeatures:
    """All features of a packed store in the memory of `device`, and rows gathered there."""

    def __init__(self, store: PackedStore, device: torch.device) -> None:
        features, mask = store.end_to_end()
        self._lengths, self._starts = store.lengths, store.starts
        # A last slot of zeros: what is gathered where a row has ended.
        self._features = torch.zeros(len(features) + 1, store.dim, device=device)
        self._mask = torch.zeros(len(features) + 1, dtype=torch.bool, device=device)
        step = max(1, BLOCK_BYTES // (4 * store.dim))
        for start in range(0, len(features), step):
            block = np.array(features[start : start + step])
            self._features[start : start + len(block)] = torch.from_numpy(block)
        self._mask[:-1] = torch.from_numpy(np.array(mask)).bool()

    def gather(
        self, places: npt.NDArray[np.int64], slots: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`PackedStore.gather`, on the device."""
        lengths = self._lengths[places]
        longest = int(lengths.max(initial=0)) if slots is None else slots
        within = np.arange(longest)
        absent = len(self._mask) - 1
        chosen = np.where(within < lengths[:, None], self._starts[places][:, None] + within, absent)
        index = torch.from_numpy(chosen).to(self._features.device)
        return self._features[index], self._mask[index]
