"""What data are composed from: tracks, pictures and clips, the split of each, and its analyses.

A manifest (of a corpus) assigns the splits, else folders are searched and split at random. Either
way a track, picture or clip, and all that is grouped with it, belongs to one split. What is
computed of an item is kept in a cache folder, by the item's content.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from mgsv.data.annotations import SPLITS, usable_as_file_name
from mgsv.errors import ConfigError, DataError, OutputError
from mgsv.files import write_file
from mgsv.media.extensions import MUSIC_EXTENSIONS, STILL_EXTENSIONS, VIDEO_EXTENSIONS
from mgsv.moment import CANVAS_SECONDS

ItemKind = Literal["music", "picture", "clip"]

ENDINGS: dict[ItemKind, frozenset[str]] = {
    "music": MUSIC_EXTENSIONS,
    "picture": STILL_EXTENSIONS,
    "clip": VIDEO_EXTENSIONS,
}

HELD_OUT = 0.15
"""Share of the groups that val, and as many that test gets, where no manifest says it."""


@dataclass(frozen=True)
class Item:
    """A file, or an excerpt of one.

    excerpt: (start, end) seconds of a track's file that count as the track; None for the whole of
    it, or as much as the canvas holds.
    """

    id: str
    kind: ItemKind
    path: Path
    split: str = ""
    excerpt: tuple[float, float] | None = None
    group: str = field(default="", compare=False)

    @cached_property
    def content(self) -> str:
        """Hash of what the item is: the file's bytes and the excerpt."""
        try:
            with self.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
        except OSError as error:
            raise DataError(self.path, error.strerror or "cannot be read", "check it") from error
        digest.update(repr(self.excerpt).encode())
        return digest.hexdigest()[:24]


def read_manifest(path: Path, folders: dict[ItemKind, Path]) -> list[Item]:
    """The items of a corpus manifest whose files lie in `folders`.

    A manifest is JSON: a list, or an object with the list `items`, of objects with `id`, `kind`
    (music, picture or clip), `group`, `split`, `excerpt` and `file`, a path relative to the
    manifest. Items whose file lies in none of the folders are left out.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(path, f"cannot be read ({error})", "check `manifest`") from error
    entries = document.get("items") if isinstance(document, dict) else document
    if not isinstance(entries, list):
        raise DataError(path, "holds no list of items", "check `manifest`")
    items = []
    for number, entry in enumerate(entries, 1):
        try:
            item = _entry(entry, path.parent)
        except (KeyError, TypeError, ValueError) as error:
            problem = f"item {number} is not one of a corpus ({type(error).__name__}: {error})"
            raise DataError(path, problem, "check `manifest`") from error
        if item.kind in folders and _inside(item.path, folders[item.kind]):
            items.append(item)
    return items


def _entry(entry: dict[str, Any], base: Path) -> Item:
    if entry["kind"] not in ENDINGS or entry["split"] not in SPLITS:
        raise ValueError(f"kind {entry['kind']!r}, split {entry['split']!r}")
    if not usable_as_file_name(entry["id"]):
        raise ValueError(f"id {entry['id']!r}")
    excerpt = entry.get("excerpt")
    if excerpt is not None:
        start, end = (float(value) for value in excerpt)
        if not 0 <= start < end < math.inf:
            raise ValueError(f"excerpt {excerpt}")
        excerpt = (start, min(end, start + CANVAS_SECONDS))
    group = str(entry.get("group") or entry["id"])
    return Item(entry["id"], entry["kind"], base / entry["file"], entry["split"], excerpt, group)


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def find_items(folder: Path, kind: ItemKind, seed: int) -> list[Item]:
    """The files of `kind` below `folder`, shared out to the splits at random.

    Their ids are their paths below it without the ending, `+` for `/`. Copies of a file stay
    together. Hidden files are left out.
    """
    if not folder.is_dir():
        raise DataError(folder, "is no folder", f"give a folder of {kind} files")
    items = []
    for path in sorted(_walk(folder)):
        if path.suffix.lower().removeprefix(".") in ENDINGS[kind]:
            name = path.relative_to(folder).with_suffix("").as_posix().replace("/", "+")
            item = Item(name, kind, path)
            items.append(replace(item, group=item.content))
    if not items:
        raise DataError(folder, f"holds no {kind} files", "check the path")
    return list(_shared_out(_unlike(items), seed))


def _walk(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(where, name) for name in names if not name.startswith("."))


def _unlike(items: Iterable[Item]) -> list[Item]:
    """`items` with a number behind the id where two files differ in their ending alone."""
    found: dict[str, Item] = {}
    for item in items:
        name, number = item.id, 1
        while name in found:
            number += 1
            name = f"{item.id}-{number}"
        found[name] = replace(item, id=name)
    return list(found.values())


def _shared_out(items: Sequence[Item], seed: int) -> Iterator[Item]:
    """Each item with a split, by group: `HELD_OUT` for val and test, at least one group each."""
    groups = sorted({item.group for item in items})
    if items[0].kind == "clip" and len(groups) < len(SPLITS):  # they are an extra
        yield from (replace(item, split="train") for item in items)
        return
    if len(groups) < len(SPLITS):
        raise ConfigError(
            f"{len(groups)} different {items[0].kind} files cannot be shared out to "
            f"{', '.join(SPLITS)}",
            "give at least 3",
        )
    held = max(1, round(HELD_OUT * len(groups)))
    rng = np.random.default_rng((seed, *items[0].kind.encode()))
    order = [groups[n] for n in rng.permutation(len(groups))]
    split = dict.fromkeys(order[:held], "test") | dict.fromkeys(order[held : 2 * held], "val")
    for item in items:
        yield replace(item, split=split.get(item.group, "train"))


Arrays = Mapping[str, npt.NDArray[Any]]


def cached(folder: Path, content: str, maker: str, make: Callable[[], Arrays]) -> Arrays:
    """What `make` gives, made only where the cache `folder` does not hold it yet.

    content: hash of the file it is made from. maker: all else that shapes it, an encoder's
    fingerprint and a version say. A kept file that cannot be read is made anew. Raises OutputError
    where the folder cannot be written.
    """
    file = folder / f"{content}-{maker.rpartition(':')[2]}.safetensors"
    try:
        return load_file(file)
    except (OSError, SafetensorError):
        arrays = make()
        _write(file, arrays)
        return arrays


def _write(file: Path, arrays: Arrays) -> None:
    """Keep `arrays` as `file`. Several processes may keep the same thing: the last one stays."""
    data = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    try:
        write_file(file, data, overwrite=True, parents=True)
    except OutputError as error:
        raise OutputError(file, error.reason, "free some space, or give another `cache`") from error
