"""Which rows make up which batch: by length, in an order fixed by (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

POOL_BATCHES = 64
"""Batches cut from one pool of rows sorted by length. More pad less, but mix rows less freely."""


@dataclass(frozen=True)
class BucketedBatches:
    """Batches of rows of similar length, so that padding costs little.

    Each epoch shuffles all rows, cuts pools of `POOL_BATCHES` batches, tiles each pool by the two
    lengths (track, then video), and shuffles the batches. Everything follows from (seed, epoch):
    a run that resumes at (epoch, step) sees the batches an unbroken one would have seen. The last
    incomplete batch is dropped in training, as in the authors' code, so that every step has as
    many negatives.
    """

    video_lengths: IntArray
    track_lengths: IntArray
    batch_size: int
    seed: int = 42
    drop_last: bool = True

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch size {self.batch_size}: must be at least 1")

    def __len__(self) -> int:
        """Batches in an epoch."""
        full, rest = divmod(len(self.video_lengths), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[IntArray]:
        """The row numbers of each batch of `epoch`, from `start_step` on."""
        yield from self.plan(epoch)[start_step:]

    def plan(self, epoch: int) -> list[IntArray]:
        """All batches of `epoch`."""
        rng = np.random.default_rng((self.seed, epoch))
        rows = rng.permutation(len(self.video_lengths))
        kept = len(self) * self.batch_size
        pool = POOL_BATCHES * self.batch_size
        batches: list[IntArray] = []
        for start in range(0, min(kept, len(rows)), pool):
            batches += self._tiles(rows[start : min(start + pool, kept)])
        return [batches[place] for place in rng.permutation(len(batches))]

    def _tiles(self, rows: IntArray) -> list[IntArray]:
        """Cut `rows` into strips of similar track length, those into batches by video length."""
        count = -(-len(rows) // self.batch_size)
        strip = -(-count // max(1, round(np.sqrt(count)))) * self.batch_size
        rows = rows[np.argsort(self.track_lengths[rows], kind="stable")]
        batches = []
        for start in range(0, len(rows), strip):
            part = rows[start : start + strip]
            part = part[np.argsort(self.video_lengths[part], kind="stable")]
            batches += [part[n : n + self.batch_size] for n in range(0, len(part), self.batch_size)]
        return batches


def padding_share(sampler: BucketedBatches, epoch: int = 0) -> float:
    """Share of all slots in an epoch's batches that hold padding."""
    used = slots = 0
    for batch in sampler.plan(epoch):
        for lengths in (sampler.video_lengths[batch], sampler.track_lengths[batch]):
            used += int(lengths.sum())
            slots += len(batch) * int(lengths.max())
    return 1 - used / slots if slots else 0.0
