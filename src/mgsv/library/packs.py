"""What is derived from tracks, packed: the arrays of many tracks in few files, read where they lie.

A `Pack` holds one kind of data, such as what one model makes of each track. On disk it is a folder
of *shards*, safetensors files that are never changed: new tracks come as a further shard, what is
out of date or gone is left out when shards are merged. A shard that is damaged, cut off or foreign
is set aside as if it were not there, so that its tracks are derived anew: all of it can be had
again from the library's features.

Rows are numbered through all shards. Each array of a row may have a length of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mgsv.errors import OutputError
from mgsv.files import remove_leftovers, write_file

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.intp]

FORMAT = "mgsv-pack-1"
ENDING = ".pack"
MOST_SHARDS = 8
"""More are merged into one."""
MOST_DEAD = 0.25
"""Share of rows out of date from which on they are merged, too."""
_ID, _REVISION = "S32", "S32"
PACKS_KEPT = 3
"""Of each kind: one is in use, and a model that is tried beside it should not cost it."""


@dataclass(frozen=True)
class Key:
    """Which data of which track: the track's id, and a check sum of what it is derived from."""

    id: str
    revision: str = ""


@dataclass(frozen=True)
class Shard:
    """Some rows. keys: [N, 2] of ids and revisions. arrays: name → the arrays of all rows, one
    after the other. ends: name → [N + 1], where each row's array begins, and where the last ends.
    """

    keys: npt.NDArray[np.bytes_]
    arrays: Mapping[str, Array]
    ends: Mapping[str, npt.NDArray[np.int64]]
    path: Path | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def of(cls, keys: Sequence[Key], rows: Sequence[Mapping[str, Array]]) -> Shard:
        """In memory."""
        names = list(rows[0]) if rows else []
        return cls(
            np.array([(one.id, one.revision) for one in keys], _ID).reshape(-1, 2),
            {name: np.concatenate([row[name] for row in rows]) for name in names},
            {name: np.cumsum([0, *(len(row[name]) for row in rows)]) for name in names},
        )

    def row(self, n: int) -> dict[str, Array]:
        return {
            name: array[self.ends[name][n] : self.ends[name][n + 1]]
            for name, array in self.arrays.items()
        }


class Pack:
    """One kind of data of any number of tracks.

    folder: where it is kept; None: in memory alone. maker: fingerprint of what derives it. fields:
    name → (type, number of axes) of the arrays in each row; whatever else is found in a file is
    foreign.
    """

    def __init__(
        self, folder: Path | None, maker: str, fields: Mapping[str, tuple[str, int]]
    ) -> None:
        self._folder, self._maker, self._fields = folder, maker, dict(fields)
        self.shards: list[Shard] = []
        self.damaged: list[tuple[Path, str]] = []
        """Files that cannot be used, and why."""
        self._places: dict[bytes, int] | None = None
        self._whole: dict[str, Array] = {}
        for path in sorted(folder.glob(f"*{ENDING}")) if folder else ():
            try:
                self.shards.append(self._opened(path))
            except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
                self.damaged.append((path, f"damaged ({' '.join(str(error).split())[:80]})"))

    def __len__(self) -> int:
        return sum(map(len, self.shards))

    def rows(self, keys: Sequence[Key]) -> Rows:
        """[len(keys)] the row of each; -1 for one that is not here, or out of date."""
        if self._places is None:
            joined = np.concatenate([shard.keys for shard in self.shards] or [_no_keys()])
            both = [id + revision for id, revision in joined.tolist()]
            self._places = {key: row for row, key in enumerate(both)}
        places = self._places
        return np.array(
            [places.get((one.id + one.revision).encode(), -1) for one in keys], np.intp
        ).reshape(len(keys))

    def add(self, keys: Sequence[Key], rows: Sequence[Mapping[str, Array]]) -> bool:
        """Put in the arrays of further tracks; whether they could be kept on disk, too."""
        if not keys:
            return True
        shard = Shard.of(keys, [self._checked(row) for row in rows])
        kept = False
        if self._folder is not None:
            with contextlib.suppress(OutputError):
                shard = self._written(shard)
                kept = True
        self.shards.append(shard)
        self._changed()
        return kept

    def tidy(self, keys: Sequence[Key]) -> None:
        """Merge shards where they are many or much is out of date, and keep `keys` alone; remove
        what is damaged. Does nothing where the folder cannot be written.
        """
        for path, _ in self.damaged:
            with contextlib.suppress(OSError):
                path.unlink()
        self.damaged = []
        if self._folder is not None and self._folder.is_dir():
            remove_leftovers(self._folder)
        wanted = self.rows(keys)
        wanted = np.unique(wanted[wanted >= 0])
        dead = len(self) - len(wanted)
        if len(self.shards) <= MOST_SHARDS and dead <= MOST_DEAD * len(self):
            return
        before = self.shards
        merged = self._merged(wanted)
        if self._folder is not None:
            try:
                merged = self._written(merged)
            except OutputError:
                return
        self.shards = [merged] if len(merged) else []
        self._changed()
        for shard in before:
            if shard.path is not None:
                with contextlib.suppress(OSError):  # open elsewhere, on some systems
                    shard.path.unlink()

    def take(self, name: str, rows: Rows) -> tuple[Array, npt.NDArray[np.int64]]:
        """The arrays `name` of these rows, one after the other, and [N + 1] their borders."""
        parts = []
        for shard, row in self._located(rows):
            ends = shard.ends[name]
            parts.append(shard.arrays[name][ends[row] : ends[row + 1]])
        if not parts:
            return np.zeros(0, self._fields[name][0]), np.zeros(1, np.int64)
        return np.concatenate(parts), np.cumsum([0, *map(len, parts)])

    def whole(self, name: str) -> Array:
        """The arrays `name` of all rows, one after the other; kept for the next time."""
        if name not in self._whole:
            parts = [np.asarray(shard.arrays[name]) for shard in self.shards]
            self._whole[name] = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return self._whole[name]

    def lengths(self, name: str) -> npt.NDArray[np.int64]:
        """[N] how long the array `name` of each row is."""
        return np.concatenate([np.diff(shard.ends[name]) for shard in self.shards] or [_NONE])

    def row(self, row: int) -> dict[str, Array]:
        """All arrays of one row."""
        ((shard, place),) = self._located(np.array([row], np.intp))
        return shard.row(place)

    def _changed(self) -> None:
        """Forget what was found of the shards so far."""
        self._places = None
        self._whole = {}

    def _located(self, rows: Rows) -> list[tuple[Shard, int]]:
        starts = np.cumsum([0, *map(len, self.shards)])
        which = np.searchsorted(starts, rows, side="right") - 1
        return [
            (self.shards[n], int(row - starts[n]))
            for n, row in zip(which.tolist(), rows.tolist(), strict=True)
        ]

    def _checked(self, row: Mapping[str, Array]) -> dict[str, Array]:
        return {name: np.asarray(row[name], kind) for name, (kind, _) in self._fields.items()}

    def _merged(self, rows: Rows) -> Shard:
        located = self._located(rows)
        keys = [Key(*(text.decode() for text in shard.keys[n].tolist())) for shard, n in located]
        return Shard.of(keys, [shard.row(n) for shard, n in located])

    def _written(self, shard: Shard) -> Shard:
        assert self._folder is not None
        tensors = {"keys": shard.keys.view(np.uint8).reshape(len(shard), -1)}
        for name in self._fields:
            tensors[name] = np.ascontiguousarray(shard.arrays[name])
            tensors[f"{name}.ends"] = shard.ends[name].astype(np.int64)
        head = {"format": FORMAT, "maker": self._maker, "digest": _digest(shard)}
        data = save(tensors, metadata=head)
        number = 0
        while True:
            path = self._folder / f"{number:06}{ENDING}"
            if not path.exists():
                break
            number += 1
        write_file(path, data, parents=True)
        return self._opened(path)

    def _opened(self, path: Path) -> Shard:
        """The shard in a file; raises `ValueError` and others for what is none of this pack."""
        with safe_open(path, framework="numpy") as file:  # looks at the header, and at the size
            if file.metadata().get("format") != FORMAT:
                raise ValueError("it is of another format")
            if file.metadata().get("maker") != self._maker:
                raise ValueError("it was made by another model or version")
        _, entries, start = _header_entries(path)
        mapped = np.memmap(path, np.uint8, "r")

        def tensor(name: str, kind: str) -> Array:
            entry = entries[name]
            first, last = entry["data_offsets"]
            if entry["dtype"] != _NAMES[np.dtype(kind).str]:
                raise ValueError(f"{name} is {entry['dtype']}")
            part = mapped[start + first : start + last]
            return np.asarray(part.view(kind).reshape(entry["shape"]))

        keys = np.array(tensor("keys", "|u1"))
        keys = keys.view(_ID).reshape(len(keys), -1)
        if keys.shape[1:] != (2,):
            raise ValueError("its keys are no pairs")
        arrays, ends = {}, {}
        for name, (kind, axes) in self._fields.items():
            arrays[name] = tensor(name, np.dtype(kind).str)
            ends[name] = np.array(tensor(f"{name}.ends", "<i8"))
            bounds = ends[name]
            if bounds.shape != (len(keys) + 1,) or arrays[name].ndim != axes:
                raise ValueError(f"{name} has the shape {arrays[name].shape}")
            if bounds[0] != 0 or (np.diff(bounds) < 0).any() or bounds[-1] != len(arrays[name]):
                raise ValueError(f"the rows of {name} do not fit together")
        return Shard(keys, arrays, ends, path)


_NONE = np.zeros(0, np.int64)
_NAMES = {"|u1": "U8", "<f2": "F16", "<f4": "F32", "<i4": "I32", "<i8": "I64"}
"""numpy's names of types → safetensors'."""


def _no_keys() -> npt.NDArray[np.bytes_]:
    return np.zeros((0, 2), _ID)


def _header_entries(path: Path) -> tuple[dict[str, str], dict[str, Any], int]:
    """A safetensors file's (texts, entries of its tensors, byte at which they begin)."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entries = json.loads(file.read(length))
    return entries.pop("__metadata__", {}), entries, 8 + length


def _digest(shard: Shard) -> str:
    hasher = hashlib.blake2b(shard.keys.tobytes(), digest_size=16)
    for name in sorted(shard.arrays):
        hasher.update(name.encode())
        hasher.update(np.ascontiguousarray(shard.arrays[name]).data)
        hasher.update(shard.ends[name].astype("<i8").tobytes())
    return hasher.hexdigest()


def folder_of(derived: Path, kind: str, maker: str) -> Path:
    """Where a pack is kept among what is derived from a library."""
    short = hashlib.blake2b(maker.encode(), digest_size=6).hexdigest()
    return derived / f"{kind}-{short}"


def prune(derived: Path) -> None:
    """Remove what other models and versions made, but for the `PACKS_KEPT` of each kind that were
    written last. Does nothing where the folder cannot be written.
    """
    by_kind: dict[str, list[Path]] = {}
    for folder in _pack_folders(derived):
        by_kind.setdefault(folder.name.rpartition("-")[0], []).append(folder)
    for folders in by_kind.values():
        folders.sort(key=lambda folder: folder.stat().st_mtime_ns, reverse=True)
        for folder in folders[PACKS_KEPT:]:
            for path in folder.glob(f"*{ENDING}"):
                with contextlib.suppress(OSError):
                    path.unlink()
            with contextlib.suppress(OSError):  # another program's file is in it
                folder.rmdir()


def damaged_packs(derived: Path) -> Iterator[tuple[Path, str]]:
    """Each file of any pack that is not what was written, and why; reads everything."""
    for folder in _pack_folders(derived):
        for path in sorted(folder.glob(f"*{ENDING}")):
            if problem := _problem(path):
                yield path, problem


def _pack_folders(derived: Path) -> list[Path]:
    return sorted(path for path in derived.glob("*-*") if path.is_dir())


def _problem(path: Path) -> str:
    """What is wrong with a shard, whatever it holds; else ''."""
    try:
        with safe_open(path, framework="numpy") as file:
            head = file.metadata() or {}
            names = sorted(name for name in file.keys() if name != "keys" and "." not in name)  # noqa: SIM118
            keys = file.get_tensor("keys")
            arrays = {name: file.get_tensor(name) for name in names}
            ends = {name: file.get_tensor(f"{name}.ends") for name in names}
    except (OSError, SafetensorError, ValueError) as error:
        return f"damaged ({' '.join(str(error).split())[:80]})"
    if head.get("digest") != _digest(Shard(keys, arrays, ends)):
        return "not what was written there"
    return ""
