"""Packs: what is put in comes out again, and what is damaged counts as not there."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest

from mgsv.library.packs import (
    ENDING,
    MOST_SHARDS,
    PACKS_KEPT,
    Array,
    Key,
    Pack,
    damaged_packs,
    prune,
)

FIELDS = {"vector": ("<f4", 2), "curve": ("|u1", 1)}


def made(seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {
        "vector": rng.normal(size=(int(rng.integers(1, 4)), 3)).astype(np.float32),
        "curve": rng.integers(0, 255, int(rng.integers(0, 50))).astype(np.uint8),
    }


def keys(count: int, revision: str = "r") -> list[Key]:
    return [Key(f"{n:032x}", f"{revision}{n}") for n in range(count)]


def filled(folder: Path | None, count: int = 7, at_once: int = 3) -> Pack:
    pack = Pack(folder, "maker", FIELDS)
    for first in range(0, count, at_once):
        some = range(first, min(count, first + at_once))
        assert pack.add([keys(count)[n] for n in some], [made(n) for n in some]) == bool(folder)
    return pack


def assert_holds(pack: Pack, count: int) -> None:
    rows = pack.rows(keys(count))
    assert (rows >= 0).all()
    for n, row in enumerate(rows.tolist()):
        for name, array in pack.row(row).items():
            np.testing.assert_array_equal(array, made(n)[name])
    order = rows[::-1]
    flat, ends = pack.take("curve", order)
    for n, (begin, end) in enumerate(itertools.pairwise(ends)):
        np.testing.assert_array_equal(flat[begin:end], made(count - 1 - n)["curve"])
    assert pack.whole("vector").shape == (pack.lengths("vector").sum(), 3)


def test_what_is_put_in_comes_out_again(tmp_path: Path) -> None:
    assert_holds(filled(tmp_path / "kind-p"), 7)
    again = Pack(tmp_path / "kind-p", "maker", FIELDS)
    assert_holds(again, 7)
    assert not list(damaged_packs(tmp_path))
    assert_holds(filled(None), 7)


def test_another_revision_of_a_track_is_not_there(tmp_path: Path) -> None:
    pack = filled(tmp_path / "kind-p")
    assert (pack.rows(keys(7, "newer")) == -1).all()
    assert pack.rows([Key("f" * 32, "r1")]).tolist() == [-1]


def test_many_shards_and_what_is_gone_are_merged(tmp_path: Path) -> None:
    pack = filled(tmp_path / "kind-p", count=MOST_SHARDS + 3, at_once=1)
    pack.tidy(keys(5))
    assert len(pack) == 5 and len(list((tmp_path / "kind-p").iterdir())) == 1
    assert_holds(pack, 5)
    assert_holds(Pack(tmp_path / "kind-p", "maker", FIELDS), 5)


def test_little_that_is_gone_stays(tmp_path: Path) -> None:
    pack = filled(tmp_path / "kind-p", count=8)
    before = sorted((tmp_path / "kind-p").iterdir())
    pack.tidy(keys(7))
    assert sorted((tmp_path / "kind-p").iterdir()) == before


def cut_off(data: bytes) -> bytes:
    return data[:-5]


def other_maker(data: bytes) -> bytes:
    return data.replace(b'"maker":"maker"', b'"maker":"other"')


def no_pack(_: bytes) -> bytes:
    return b"RIFF....WAVE"


def wild_borders(data: bytes) -> bytes:
    """The borders of a row far outside of the file."""
    length = int.from_bytes(data[:8], "little")
    begin, _ = json.loads(data[8 : 8 + length])["curve.ends"]["data_offsets"]
    at = 8 + length + begin + 8
    return data[:at] + (1 << 40).to_bytes(8, "little") + data[at + 8 :]


@pytest.mark.parametrize("spoil", [cut_off, other_maker, no_pack, wild_borders])
def test_a_damaged_or_foreign_file_is_told_of_and_made_again(tmp_path: Path, spoil: object) -> None:
    folder = tmp_path / "kind-p"
    filled(folder, count=6)
    first, second = sorted(folder.glob(f"*{ENDING}"))
    first.write_bytes(spoil(first.read_bytes()))  # type: ignore[operator]
    pack = Pack(folder, "maker", FIELDS)
    assert [path for path, _ in pack.damaged] == [first]
    assert pack.rows(keys(6)).tolist() == [-1, -1, -1, 0, 1, 2]
    pack.tidy(keys(6))
    assert not first.exists() and second.exists()
    pack.add(keys(3), [made(n) for n in range(3)])
    assert_holds(Pack(folder, "maker", FIELDS), 6)


def test_a_flipped_bit_is_found_by_a_check(tmp_path: Path) -> None:
    folder = tmp_path / "kind-p"
    filled(folder, count=3)
    (file,) = folder.glob(f"*{ENDING}")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    pack = Pack(folder, "maker", FIELDS)
    assert not pack.damaged
    assert [path for path, _ in damaged_packs(tmp_path)] == [file]


def test_a_folder_that_cannot_be_made_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    pack = Pack(tmp_path / "file" / "kind-p", "maker", FIELDS)
    assert not pack.add(keys(2), [made(0), made(1)])
    assert_holds(pack, 2)
    pack.tidy(keys(2))
    assert_holds(pack, 2)


def test_what_the_latest_models_made_is_kept(tmp_path: Path) -> None:
    made_by = [f"embeddings-{n}" for n in range(PACKS_KEPT + 2)]
    for n, name in enumerate([*made_by, "sketches-1"]):
        filled(tmp_path / name, count=1)
        if n == 0:
            (tmp_path / name / "notes.txt").write_text("somebody's own")
        os.utime(tmp_path / name, (n, n))
    prune(tmp_path)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        *(made_by[n] for n in (0, 2, 3, 4)),
        "sketches-1",
    ]
    assert [path.name for path in (tmp_path / made_by[0]).iterdir()] == ["notes.txt"]
    prune(tmp_path / "nowhere")
