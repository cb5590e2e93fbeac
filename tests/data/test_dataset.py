"""Batches and samples: right rows, right padding, and an order that a resumed run meets again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from mgsv.data import resident
from mgsv.data.dataset import CardDataset, SplitData
from mgsv.data.sampler import BucketedBatches, padding_share
from mgsv.errors import DataError


def sampler(rows: int, batch_size: int, **options: object) -> BucketedBatches:
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 51, rows), rng.integers(12, 97, rows)
    return BucketedBatches(*lengths, batch_size, **options)  # type: ignore[arg-type]


@settings(max_examples=50, deadline=None)
@given(rows=st.integers(0, 400), size=st.integers(1, 60), epoch=st.integers(0, 3))
def test_each_row_comes_at_most_once_and_none_is_lost(rows: int, size: int, epoch: int) -> None:
    dropping = sampler(rows, size)
    plan = dropping.plan(epoch)
    assert len(plan) == len(dropping) == rows // size
    assert all(len(batch) == size for batch in plan)
    seen = np.concatenate(plan) if plan else np.array([])
    assert len(set(seen.tolist())) == len(seen)
    keeping = sampler(rows, size, drop_last=False)
    plan = keeping.plan(epoch)
    assert len(plan) == len(keeping)
    assert sorted(row for batch in plan for row in batch) == list(range(rows))


def test_a_resumed_epoch_continues_with_the_same_batches() -> None:
    whole = list(sampler(1000, 16).epoch(3))
    rest = list(sampler(1000, 16).epoch(3, start_step=20))
    assert len(rest) == len(whole) - 20
    assert all((a == b).all() for a, b in zip(whole[20:], rest, strict=True))


def test_epochs_and_seeds_differ() -> None:
    first = np.concatenate(sampler(1000, 16).plan(0))
    for other in (sampler(1000, 16).plan(1), sampler(1000, 16, seed=7).plan(0)):
        assert (np.concatenate(other) != first).any()


def test_bucketing_saves_most_of_the_padding() -> None:
    bucketed = sampler(20_000, 64)
    rng = np.random.default_rng(0)
    used = slots = 0
    for rows in np.array_split(rng.permutation(20_000), 312):
        for lengths in (bucketed.video_lengths[rows], bucketed.track_lengths[rows]):
            used, slots = used + lengths.sum(), slots + len(rows) * lengths.max()
    plain = 1 - used / slots
    assert plain > 0.4
    assert padding_share(bucketed) < plain / 4


@pytest.mark.slow
def test_a_batch_holds_its_rows_trimmed_to_the_longest(planted: Path) -> None:
    data = SplitData.open(planted, "train")
    rows = np.array([5, 0, 17])
    batch = data.batch(rows)
    full = data.batch(rows, trim=False)
    assert full.frame_feats.shape == (3, 50, 512)
    assert full.segment_feats.shape == (3, 96, 768)
    assert batch.frame_feats.shape[1] == int(full.frame_mask.sum(1).max())
    assert batch.segment_feats.shape[1] == int(full.segment_mask.sum(1).max())
    for place, row in enumerate(rows):
        annotated = data.rows[int(row)]
        assert batch.video_ids[place] == annotated.video_id
        assert batch.track_ids[place] == annotated.music_id
        assert batch.spans is not None
        centre, width = batch.spans[place].tolist()
        assert (centre - width / 2) * 240 == pytest.approx(annotated.music_start, abs=1e-3)
        assert (centre + width / 2) * 240 == pytest.approx(annotated.music_end, abs=1e-3)
        assert batch.video_seconds[place] == pytest.approx(annotated.video_seconds)
        slots = data.frames.read(annotated.video_id)
        length = len(slots.mask)
        np.testing.assert_array_equal(batch.frame_feats[place, :length], slots.features)
        assert batch.frame_mask[place].sum() == length
        assert batch.frame_feats[place, length:].abs().sum() == 0


@pytest.mark.parametrize("trim", [True, False])
def test_batches_are_the_same_from_a_devices_memory(planted: Path, trim: bool) -> None:
    data = SplitData.open(planted, "train")
    rows = np.array([5, 0, 17, 5])
    read, held = (one.batch(rows, trim=trim) for one in (data, data.resident(torch.device("cpu"))))
    assert (held.video_ids, held.track_ids) == (read.video_ids, read.track_ids)
    for field in ("frame_feats", "frame_mask", "segment_feats", "segment_mask", "spans"):
        assert torch.equal(getattr(held, field), getattr(read, field)), field


def test_features_are_held_whole_however_few_are_copied_at_once(
    planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = SplitData.open(planted, "test")
    monkeypatch.setattr(resident, "IDS_AT_ONCE", 5)
    rows = np.arange(len(data))
    read, held = (one.batch(rows) for one in (data, data.resident(torch.device("cpu"))))
    assert torch.equal(held.frame_feats, read.frame_feats)
    assert torch.equal(held.segment_mask, read.segment_mask)


def test_in_order_gives_every_row_once(planted: Path) -> None:
    data = SplitData.open(planted, "test")
    seen = []
    for rows, batch in data.in_order(16):
        assert batch.video_ids == tuple(data.rows.video_ids[n] for n in rows)
        seen += rows.tolist()
    assert sorted(seen) == list(range(len(data)))


def test_the_sampler_uses_the_stored_lengths(planted: Path) -> None:
    data = SplitData.open(planted, "train")
    bucketed = data.sampler(32)
    batch = data.batch(np.arange(len(data)), trim=False)
    np.testing.assert_array_equal(bucketed.video_lengths, batch.frame_mask.sum(1))
    np.testing.assert_array_equal(bucketed.track_lengths, batch.segment_mask.sum(1))


def test_the_cards_samples_are_the_same_from_files_and_from_the_store(
    planted: Path, tmp_path: Path
) -> None:
    shutil.copytree(planted / "dataset", tmp_path / "dataset")
    (tmp_path / "features").symlink_to(planted / "features")
    packed, files = CardDataset.open(planted, "val"), CardDataset.open(tmp_path, "val")
    assert type(packed.frames) is not type(files.frames)
    for index in (0, 7):
        a, b = packed[index], files[index]
        for name, tensor in a[0].items():
            assert torch.equal(tensor, b[0][name]), name
        assert torch.equal(a[2], b[2])
    data_map, meta_map, spans = next(iter(DataLoader(files, batch_size=4)))
    assert {name: tuple(tensor.shape) for name, tensor in data_map.items()} == {
        "frame_feats": (4, 50, 512),
        "frame_mask": (4, 50),
        "segment_feats": (4, 96, 768),
        "segment_mask": (4, 96),
    }
    assert spans.shape == (4, 1, 2)
    assert meta_map["gt_moment"].shape == (4, 1, 2)
    assert meta_map["video_id"] == list(files.rows.video_ids[:4])
    middle = meta_map["gt_moment"].mean(-1) / 240
    torch.testing.assert_close(middle, spans[..., 0])


def test_rows_without_features_are_refused_at_once(planted: Path, tmp_path: Path) -> None:
    shutil.copytree(planted / "dataset", tmp_path / "dataset")
    (tmp_path / "packed").symlink_to(planted / "packed")
    csv = tmp_path / "dataset/MGSV-EC/val_data.csv"
    lines = csv.read_text().splitlines(keepends=True)
    csv.write_text("".join(lines) + lines[1].replace(lines[1].split(",")[0], "999", 1))
    with pytest.raises(DataError, match="no features for 1 ids, the first '999'"):
        SplitData.open(tmp_path, "val")
