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

IDS_AT_ONCE = 1024
"""Ids whose features are copied to a device together: some 200 MB on the way."""


def host_gather(store: PackedStore) -> Gather:
    """Rows copied out of `store`, in the memory of the host."""

    def gather(places: npt.NDArray[np.int64], slots: int | None) -> tuple[Tensor, Tensor]:
        features, mask = store.gather(places, slots)
        return torch.from_numpy(features), torch.from_numpy(mask)

    return gather


class ResidentFeatures:
    """The features of some ids of a packed store in the memory of `device`, gathered there."""

    def __init__(
        self, store: PackedStore, places: npt.NDArray[np.int64], device: torch.device
    ) -> None:
        """`places` are the ids' places in `store`, in any order and as often as they come."""
        held = np.unique(places)
        self._lengths = store.lengths
        ends = np.cumsum(store.lengths[held])
        self._starts = np.full(len(store), -1)
        self._starts[held] = ends - store.lengths[held]
        # A last slot of zeros: what is gathered where a row has ended.
        self._absent = int(ends[-1]) if len(ends) else 0
        self._features = torch.zeros(self._absent + 1, store.dim, device=device)
        self._mask = torch.zeros(self._absent + 1, dtype=torch.bool, device=device)
        for first in range(0, len(held), IDS_AT_ONCE):
            block = held[first : first + IDS_AT_ONCE]
            features, mask = store.gather(block)
            there = np.arange(mask.shape[1]) < store.lengths[block][:, None]
            start = self._starts[block[0]]
            count = int(there.sum())
            self._features[start : start + count] = torch.from_numpy(features[there])
            self._mask[start : start + count] = torch.from_numpy(mask[there])

    def gather(
        self, places: npt.NDArray[np.int64], slots: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`PackedStore.gather`, on the device."""
        lengths = self._lengths[places]
        longest = int(lengths.max(initial=0)) if slots is None else slots
        within = np.arange(longest)
        chosen = np.where(
            within < lengths[:, None], self._starts[places][:, None] + within, self._absent
        )
        index = torch.from_numpy(chosen).to(self._features.device)
        return self._features[index], self._mask[index]
