"""The packed store: bit-equal to its source, whole or not there, refused when damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mgsv.data.features import FeatureFolder
from mgsv.data.pack import pack
from mgsv.data.packed import PackedStore, PackWriter
from mgsv.errors import DataError, OutputError

ROOT = Path("features/Kuai_feature")


def make_folder(root: Path, *, tracks: int = 6, stride: float = 2.5) -> None:
    """Random features: holes in masks, `+` and Unicode in ids, odd float values."""
    rng = np.random.default_rng(1)
    for folder, count, name in (
        (FeatureFolder.frames(root / ROOT), 9, "10{}"),
        (FeatureFolder.segments(root / ROOT, stride), tracks, "4+夜{}"),
    ):
        for number in range(count):
            features = rng.standard_normal((folder.slots, folder.dim), np.float32)
            features[0, :3] = -0.0, 1e-42, 3.4e38
            mask = np.arange(folder.slots) < rng.integers(1, folder.slots + 1)
            mask[rng.integers(1, folder.slots)] = False
            folder.write(name.format(number), features, mask)


@pytest.mark.parametrize("stride", [2.5, 10.0])
def test_a_store_reads_bit_equal_to_its_source(tmp_path: Path, stride: float) -> None:
    make_folder(tmp_path, stride=stride)
    stores = [PackedStore(path) for path in pack(tmp_path, stride=stride)]
    assert [path.folder.name for path in stores] == [
        "frames",
        "segments-2p5" if stride == 2.5 else "segments-10",
    ]
    sources = (
        FeatureFolder.frames(tmp_path / ROOT),
        FeatureFolder.segments(tmp_path / ROOT, stride),
    )
    for store, source in zip(stores, sources, strict=True):
        assert list(store.ids) == source.ids()
        padded = store.gather(store.places(store.ids), store.slots)
        for row, name in enumerate(store.ids):
            features, mask = source.read(name)
            assert padded.features[row].tobytes() == features.tobytes()
            np.testing.assert_array_equal(padded.mask[row], mask)
            short = store.read(name)
            assert len(short.features) == len(short.mask) == mask.nonzero()[0][-1] + 1
            assert short.features.tobytes() == features[: len(short.mask)].tobytes()
        store.verify()


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_ragged_content_survives(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    masks = data.draw(st.lists(st.lists(st.booleans(), max_size=7), min_size=1, max_size=5))
    store = tmp_path_factory.mktemp("ragged") / "store"
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((len(mask), 3), np.float32) for mask in masks]
    with PackWriter(store, dim=3, slots=7) as writer:
        for number, (array, mask) in enumerate(zip(arrays, masks, strict=True)):
            writer.add(str(number), array, np.array(mask, bool))
    packed = PackedStore(store)
    got = packed.gather(np.arange(len(masks)), 7)
    for number, (array, mask) in enumerate(zip(arrays, masks, strict=True)):
        valid = np.array(mask, bool)
        np.testing.assert_array_equal(got.features[number, : len(mask)][valid], array[valid])
        np.testing.assert_array_equal(got.mask[number, : len(mask)], valid)
        assert got.features[number].any(axis=1).sum() == valid.sum()


def test_gather_pads_to_the_longest(tmp_path: Path) -> None:
    with PackWriter(tmp_path / "s", dim=2, slots=9) as writer:
        for length in (3, 5, 1):
            writer.add(f"{length}", np.full((length, 2), length, np.float32))
    store = PackedStore(tmp_path / "s")
    got = store.gather(store.places(["1", "3"]))
    assert got.features.shape == (2, 3, 2)
    np.testing.assert_array_equal(got.mask, [[1, 0, 0], [1, 1, 1]])
    np.testing.assert_array_equal(got.features[..., 0], [[1, 0, 0], [3, 3, 3]])


def test_a_bad_file_stops_packing_and_leaves_nothing(tmp_path: Path) -> None:
    make_folder(tmp_path)
    bad = tmp_path / ROOT / "ast_feature2p5/ast_feature/4+夜3.pt"
    good = bad.read_bytes()
    torch.save(torch.full((96, 768), float("nan")), bad)
    with pytest.raises(DataError, match=r"4\+夜3\.pt: NaN"):
        pack(tmp_path)
    assert [path.name for path in (tmp_path / "packed").iterdir()] == ["frames"]
    first = (tmp_path / "packed/frames/index.json").stat().st_mtime_ns
    bad.write_bytes(good)
    pack(tmp_path)  # goes on: the finished store is kept, the other one made
    assert (tmp_path / "packed/frames/index.json").stat().st_mtime_ns == first
    assert sorted(path.name for path in (tmp_path / "packed").iterdir()) == [
        "frames",
        "segments-2p5",
    ]


def test_a_store_of_other_ids_is_not_taken_for_this_one(tmp_path: Path) -> None:
    make_folder(tmp_path)
    pack(tmp_path)
    make_folder(tmp_path, tracks=7)
    with pytest.raises(DataError, match="packed from other ids"):
        pack(tmp_path)


def test_an_existing_store_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "mine").write_text("precious")
    with pytest.raises(OutputError, match="exists already"), PackWriter(tmp_path / "s", 1, 1):
        pass
    assert (tmp_path / "s" / "mine").read_text() == "precious"


def test_an_interrupted_writer_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), PackWriter(tmp_path / "s", 2, 4) as writer:
        writer.add("a", np.ones((1, 2), np.float32))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("features", "text"),
    [(np.ones((5, 2)), "expected"), (np.ones((2, 3)), "expected"), (np.ones(2), "expected")],
)
def test_the_writer_refuses_wrong_shapes(tmp_path: Path, features: np.ndarray, text: str) -> None:
    with pytest.raises(ValueError, match=text), PackWriter(tmp_path / "s", 2, 4) as writer:
        writer.add("a", features.astype(np.float32))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    with PackWriter(tmp_path / "store", 2, 4) as writer:
        writer.add("a", np.ones((3, 2), np.float32))
        writer.add("b", np.ones((1, 2), np.float32))
    return tmp_path / "store"


def test_missing_ids_are_named(store: Path) -> None:
    with pytest.raises(DataError, match="no features for 2 ids, the first 'x'"):
        PackedStore(store).places(["a", "x", "y"])


def test_damage_is_noticed(store: Path) -> None:
    features = store / "features.f32"
    whole = features.read_bytes()
    features.write_bytes(whole[:-1])
    with pytest.raises(DataError, match=r"features\.f32: 31 bytes where index\.json says 32"):
        PackedStore(store)
    features.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    with pytest.raises(DataError, match=r"features\.f32: its content has changed"):
        PackedStore(store).verify()
    features.unlink()
    with pytest.raises(DataError, match=r"features\.f32: No such file"):
        PackedStore(store)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"version": 99}, "of version 99"),
        ({"format": "other"}, "not the index of a packed store"),
        ({"lengths": [3]}, "contradict"),
        ({"lengths": [3, 99]}, "contradict"),
        ({"lengths": [3, -1]}, "contradict"),
        ({"dim": 1 << 40}, "contradict"),
        ({"slots": None}, "contradict"),
        ({"ids": [1, 2]}, "contradict"),
    ],
)
def test_an_index_that_makes_no_sense_is_refused(
    store: Path, change: dict[str, object], text: str
) -> None:
    index = json.loads((store / "index.json").read_text())
    (store / "index.json").write_text(json.dumps({**index, **change}))
    with pytest.raises(DataError, match=rf"index\.json: .*{text}"):
        PackedStore(store)


def test_an_index_that_is_not_json(store: Path) -> None:
    (store / "index.json").write_bytes(b"\xff{")
    with pytest.raises(DataError, match=r"index\.json: is not JSON"):
        PackedStore(store)
