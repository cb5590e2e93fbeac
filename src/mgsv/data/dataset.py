"""One split of a data folder, as batches for models and as the dataset card's samples."""

from __future__ import annotations

import os
from collections.abc import Iterator
from copy import copy
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mgsv.data.annotations import Annotations
from mgsv.data.batch import Batch
from mgsv.data.features import FeatureFolder
from mgsv.data.folder import DataFolder, Kind
from mgsv.data.packed import PackedStore, Slots
from mgsv.data.resident import ResidentFeatures, host_gather
from mgsv.data.sampler import BucketedBatches
from mgsv.moment import CANVAS_SECONDS

IntArray = npt.NDArray[np.int64]


class FeatureSource(Protocol):
    """Where features come from: a packed store, or a published folder."""

    @property
    def slots(self) -> int:
        """Slots of a fully padded row."""

    @property
    def dim(self) -> int: ...

    def read(self, name: str) -> Slots:
        """Features and mask of one id."""


class SplitData:
    """The rows of one split with their features; `batch` is the way in for models.

    Both stores are packed ones. All ids are looked up at once, so a missing one shows here and not
    after an hour of training. Spans are relative to `canvas_seconds`.
    """

    def __init__(
        self,
        rows: Annotations,
        frames: PackedStore,
        segments: PackedStore,
        canvas_seconds: float = CANVAS_SECONDS,
    ) -> None:
        self.rows, self.canvas_seconds = rows, canvas_seconds
        self.frames, self.segments = frames, segments
        self._gather_frames, self._gather_segments = host_gather(frames), host_gather(segments)
        self._frame_places = frames.places(rows.video_ids)
        self._segment_places = segments.places(rows.music_ids)
        self._spans = torch.from_numpy(rows.spans_on(canvas_seconds))
        self._video_seconds = torch.from_numpy(rows.video_seconds.astype(np.float32))
        self._track_seconds = torch.from_numpy(rows.track_seconds.astype(np.float32))

    @classmethod
    def open(cls, folder: str | os.PathLike[str], split: str, *, stride: float = 2.5) -> SplitData:
        """`split` (train, val, test) of the data folder, from its packed stores."""
        return cls.from_folder(DataFolder.open(folder), split, stride=stride)

    @classmethod
    def from_folder(cls, folder: DataFolder, split: str, *, stride: float = 2.5) -> SplitData:
        """As `open`, of a folder that is open already."""
        frames, segments = (PackedStore(folder.packed(kind, stride)) for kind in KINDS)
        return cls(folder.annotations(split), frames, segments, segments.slots * stride)

    def resident(self, device: torch.device) -> SplitData:
        """This split with its features in the memory of `device`, where its batches are then made:
        the same values, without a copy from the host for each batch.
        """
        there = copy(self)
        there._gather_frames = ResidentFeatures(self.frames, self._frame_places, device).gather
        there._gather_segments = ResidentFeatures(
            self.segments, self._segment_places, device
        ).gather
        return there

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, rows: IntArray, *, trim: bool = True) -> Batch:
        """The given rows as one Batch, padded to the longest, without `trim` to all slots."""
        frames = self._gather_frames(self._frame_places[rows], None if trim else self.frames.slots)
        segments = self._gather_segments(
            self._segment_places[rows], None if trim else self.segments.slots
        )
        return Batch(
            *frames,
            *segments,
            video_seconds=self._video_seconds[rows],
            track_seconds=self._track_seconds[rows],
            video_ids=tuple(self.rows.video_ids[n] for n in rows),
            track_ids=tuple(self.rows.music_ids[n] for n in rows),
            spans=self._spans[rows],
        )

    def sampler(
        self, batch_size: int, *, seed: int = 42, drop_last: bool = True
    ) -> BucketedBatches:
        """Length-bucketed batches of this split."""
        return BucketedBatches(
            self.frames.lengths[self._frame_places],
            self.segments.lengths[self._segment_places],
            batch_size,
            seed,
            drop_last,
        )

    def in_order(self, batch_size: int) -> Iterator[tuple[IntArray, Batch]]:
        """For evaluation: every row once, shortest tracks first, as (row numbers, batch)."""
        lengths = (
            self.frames.lengths[self._frame_places],
            self.segments.lengths[self._segment_places],
        )
        order = np.lexsort(lengths)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            yield rows, self.batch(rows)


KINDS: tuple[Kind, ...] = ("frames", "segments")


class CardDataset(Dataset[tuple[dict[str, Tensor], dict[str, Any], Tensor]]):
    """The samples the dataset card describes: (data_map, meta_map, spans_target), fully padded.

    data_map: `frame_feats [50, 512]`, `frame_mask [50]`, `segment_feats [96, 768]`, `segment_mask
    [96]`, all float32; meta_map: `video_id`, `music_id`, and in seconds `v_duration` (of the
    video's segment), `m_duration` (of the whole track) and `gt_moment [1, 2]`; spans_target [1,
    2]: (centre, width) relative to the canvas, 240 s. Works with torch's DataLoader and its default
    collation, from the published folders or from packed stores.
    """

    def __init__(
        self,
        rows: Annotations,
        frames: FeatureSource,
        segments: FeatureSource,
        canvas_seconds: float = CANVAS_SECONDS,
    ) -> None:
        self.rows = rows
        self.frames, self.segments = frames, segments
        self._spans = torch.from_numpy(rows.spans_on(canvas_seconds))

    @classmethod
    def open(
        cls, folder: str | os.PathLike[str], split: str, *, stride: float = 2.5
    ) -> CardDataset:
        """`split` of the data folder: from its packed stores where made, else its feature files."""
        data = DataFolder.open(folder)
        sources: list[FeatureSource] = []
        for kind in KINDS:
            store, root = data.packed(kind, stride), data.features()
            if root is None or store.exists():
                sources.append(PackedStore(store))
            else:
                sources.append(FeatureFolder.of(kind, root, stride))
        frames, segments = sources
        return cls(data.annotations(split), frames, segments, segments.slots * stride)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[dict[str, Tensor], dict[str, Any], Tensor]:
        row = self.rows[index]
        frame_feats, frame_mask = _padded(self.frames.read(row.video_id), self.frames)
        segment_feats, segment_mask = _padded(self.segments.read(row.music_id), self.segments)
        data_map = {
            "frame_feats": frame_feats,
            "frame_mask": frame_mask,
            "segment_feats": segment_feats,
            "segment_mask": segment_mask,
        }
        meta_map = {
            "video_id": row.video_id,
            "music_id": row.music_id,
            "v_duration": torch.tensor(row.video_seconds, dtype=torch.float32),
            "m_duration": torch.tensor(row.music_total_duration, dtype=torch.float32),
            "gt_moment": torch.tensor([[row.music_start, row.music_end]], dtype=torch.float32),
        }
        return data_map, meta_map, self._spans[index : index + 1]


def _padded(slots: Slots, source: FeatureSource) -> tuple[Tensor, Tensor]:
    """`slots` with zeros up to the full length, the mask as float like the published one."""
    features = torch.zeros(source.slots, source.dim)
    mask = torch.zeros(source.slots)
    features[: len(slots.features)] = torch.from_numpy(slots.features)
    mask[: len(slots.mask)] = torch.from_numpy(slots.mask.astype(np.float32))
    return features, mask
