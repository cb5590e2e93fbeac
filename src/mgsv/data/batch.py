"""One batch of (video, track) pairs, as every learned model takes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """B videos, each with one track: its true one in training, any one at inference.

    F and S are the padded lengths; they may differ from batch to batch. Features at masked
    places are arbitrary: a model zeroes them.
    """

    frame_feats: Tensor
    """[B, F, Dv] float, one row per second of the video."""
    frame_mask: Tensor
    """[B, F] bool or number, 1 = valid."""
    segment_feats: Tensor
    """[B, S, Dm] float, one row per 2.5 s (or another stride) of the track."""
    segment_mask: Tensor
    """[B, S] bool or number, 1 = valid."""
    video_seconds: Tensor
    """[B] float, length of the video's segment that gets music."""
    track_seconds: Tensor
    """[B] float, length of the whole track."""
    video_ids: tuple[str, ...]
    track_ids: tuple[str, ...]
    spans: Tensor | None = None
    """[B, 2] float, the true (centre, width) relative to the canvas; None at inference."""

    def __len__(self) -> int:
        return self.frame_feats.shape[0]

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """The batch with its tensors on `device`."""
        return self._each(lambda value: value.to(device, non_blocking=non_blocking))

    def pinned(self) -> Batch:
        """The batch in page-locked memory, which a GPU copies from while it works."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return replace(
            self,
            frame_feats=change(self.frame_feats),
            frame_mask=change(self.frame_mask),
            segment_feats=change(self.segment_feats),
            segment_mask=change(self.segment_mask),
            video_seconds=change(self.video_seconds),
            track_seconds=change(self.track_seconds),
            spans=None if self.spans is None else change(self.spans),
        )

    def trimmed(self) -> Batch:
        """The batch without the slots after the last valid one of its longest row.

        At least one slot of each kind stays, so that a batch without any valid place is a batch.
        """
        frames, segments = last_valid(self.frame_mask), last_valid(self.segment_mask)
        return replace(
            self,
            frame_feats=self.frame_feats[:, :frames],
            frame_mask=self.frame_mask[:, :frames],
            segment_feats=self.segment_feats[:, :segments],
            segment_mask=self.segment_mask[:, :segments],
        )


def last_valid(mask: Tensor) -> int:
    """Number of leading slots of `mask` [..., L] that hold all valid places; at least 1."""
    used = (mask != 0).reshape(-1, mask.shape[-1]).any(dim=0).nonzero()
    return int(used[-1]) + 1 if len(used) else 1
