"""Which split a track or picture belongs to, from folders and from a manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mgsv.data.annotations import SPLITS
from mgsv.errors import ConfigError, DataError
from mgsv.synthesis.composed.corpus import Item, find_items, read_manifest


def test_files_are_shared_out_with_their_copies(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for n in range(20):
        (tmp_path / f"{n}.png").write_bytes(b"%d" % n)
        (tmp_path / "sub" / f"{n}.jpg").write_bytes(b"%d" % n)
    (tmp_path / ".hidden.png").write_bytes(b"x")
    (tmp_path / "0.jpg").write_bytes(b"another")
    items = find_items(tmp_path, "picture", seed=0)
    assert len({item.id for item in items}) == len(items) == 41
    assert {item.split for item in items} == set(SPLITS)
    of = {item.path.relative_to(tmp_path).as_posix(): item.split for item in items}
    assert all(of[f"{n}.png"] == of[f"sub/{n}.jpg"] for n in range(20))
    assert items == find_items(tmp_path, "picture", seed=0)
    assert items != find_items(tmp_path, "picture", seed=1)


def test_too_few_files_for_the_splits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no music files"):
        find_items(tmp_path, "music", seed=0)
    for name in ("a.mp3", "b.mp3", "c.mp3"):
        (tmp_path / name).write_bytes(b"the same")
    with pytest.raises(ConfigError, match="1 different music files"):
        find_items(tmp_path, "music", seed=0)
    with pytest.raises(DataError, match="is no folder"):
        find_items(tmp_path / "none", "music", seed=0)


def entry(**changes: Any) -> dict[str, Any]:
    plain = {"id": "a", "kind": "music", "group": "g", "split": "val", "seconds": 400.0}
    return {**plain, "excerpt": [10.0, 400.0], "file": "music/a.ogg", **changes}


def test_a_manifest_says_splits_and_excerpts(tmp_path: Path) -> None:
    file = tmp_path / "manifest.json"
    other = entry(id="b", file="elsewhere/b.ogg")
    file.write_text(json.dumps({"items": [entry(), other, entry(id="p", kind="picture")]}))
    items = read_manifest(file, {"music": tmp_path / "music"})
    assert items == [Item("a", "music", tmp_path / "music/a.ogg", "val", (10.0, 250.0), "g")]


@pytest.mark.parametrize(
    "changes", [{"split": "all"}, {"kind": "book"}, {"id": "a/b"}, {"excerpt": [3, 2]}]
)
def test_a_bad_manifest_is_refused_by_item(tmp_path: Path, changes: dict[str, Any]) -> None:
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps([entry(), entry(**changes)]))
    with pytest.raises(DataError, match="item 2 is not one of a corpus"):
        read_manifest(file, {"music": tmp_path / "music"})
    file.write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        read_manifest(file, {"music": tmp_path / "music"})
