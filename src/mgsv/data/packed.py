"""The packed store: all features of one kind in one memory-mapped file, made once.

Reading a published feature folder opens two small files per id and pads every row to 50 or 96
slots. The packed store keeps only the slots up to the last valid one, end to end, so a batch is a
few copies out of the page cache:

    index.json      ids, lengths, dim, slots, SHA-256 of the two files below
    features.f32    little-endian float32 [total, dim], masked rows already zero
    mask.u8         uint8 [total], 1 = valid

A store appears whole or not at all, and is read back before it gets its name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from mgsv.errors import DataError
from mgsv.files import new_folder

FORMAT, VERSION = "mgsv-packed", 1
FEATURES, MASK, INDEX = "features.f32", "mask.u8", "index.json"

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]


class Slots(NamedTuple):
    """Features [n, D] float32, masked rows zero, and their mask [n], True = valid."""

    features: FloatArray
    mask: BoolArray


class PackedStore:
    """Reads one packed store. Safe to share between threads and to reopen in other processes."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        index = _read_index(self.folder)
        self.dim: int = index["dim"]
        self.slots: int = index["slots"]
        self.ids: tuple[str, ...] = tuple(index["ids"])
        self.lengths = np.array(index["lengths"], dtype=np.int64)
        self.sha256: dict[str, str] = index["sha256"]
        self._place = {name: place for place, name in enumerate(self.ids)}
        self._offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        total = int(self._offsets[-1])
        self._features = self._map(FEATURES, np.dtype("<f4"), (total, self.dim))
        self._mask = self._map(MASK, np.dtype("u1"), (total,))

    def _map(self, name: str, dtype: np.dtype, shape: tuple[int, ...]) -> npt.NDArray:  # type: ignore[type-arg]
        path = self.folder / name
        wanted = int(np.prod(shape)) * dtype.itemsize
        try:
            size = path.stat().st_size
        except OSError as error:
            raise DataError(path, error.strerror or "cannot be read", REPACK) from error
        if size != wanted:
            raise DataError(path, f"{size} bytes where index.json says {wanted}", REPACK)
        if not wanted:
            return np.zeros(shape, dtype)
        return np.memmap(path, dtype, mode="r", shape=shape)

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, name: object) -> bool:
        return name in self._place

    def places(self, names: Sequence[str]) -> npt.NDArray[np.int64]:
        """[N] places of `names` in the store; DataError naming the first missing ones."""
        missing = [name for name in names if name not in self._place]
        if missing:
            raise DataError(
                self.folder,
                f"no features for {len(missing)} ids, the first {missing[0]!r}",
                "pack the folder that holds them",
            )
        return np.array([self._place[name] for name in names], dtype=np.int64)

    def read(self, name: str) -> Slots:
        """The slots of `name` up to its last valid one."""
        place = int(self.places([name])[0])
        cut = slice(int(self._offsets[place]), int(self._offsets[place + 1]))
        return Slots(np.array(self._features[cut]), self._mask[cut].astype(bool))

    def gather(self, places: npt.NDArray[np.int64], slots: int | None = None) -> Slots:
        """Features [N, L, D] and masks [N, L] of `places`, zero-padded to L slots.

        L is the longest of them, or `slots` where a model wants a fixed length.
        """
        lengths = self.lengths[places]
        longest = int(lengths.max(initial=0)) if slots is None else slots
        features = np.zeros((len(places), longest, self.dim), np.float32)
        mask = np.zeros((len(places), longest), bool)
        for row, (place, length) in enumerate(zip(places, lengths, strict=True)):
            start = self._offsets[place]
            features[row, :length] = self._features[start : start + length]
            mask[row, :length] = self._mask[start : start + length]
        return Slots(features, mask)

    def verify(self) -> None:
        """Read everything and compare with the checksums; DataError where a file has changed."""
        for name, expected in self.sha256.items():
            if _sha256(self.folder / name) != expected:
                raise DataError(self.folder / name, "its content has changed", REPACK)


REPACK = "make the store again with `mgsv data pack`"


class PackWriter:
    """Writes one packed store, id by id, in constant memory. Use as a context manager.

    On leaving the block the store is read back, compared and becomes `folder`; if the block raised,
    nothing is left behind. Raises OutputError where `folder` exists or cannot be written.
    """

    def __init__(self, folder: str | os.PathLike[str], dim: int, slots: int) -> None:
        self.folder = Path(folder)
        self.dim, self.slots = dim, slots
        self._ids: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._files: dict[str, BinaryIO] = {}
        self._hashes = {name: hashlib.sha256() for name in (FEATURES, MASK)}
        with contextlib.ExitStack() as held:
            self._partial = held.enter_context(new_folder(self.folder, parents=True))
            for name in self._hashes:
                self._files[name] = held.enter_context((self._partial / name).open("wb"))
            self._held = held.pop_all()
        return self

    def add(self, name: str, features: FloatArray, mask: BoolArray | None = None) -> None:
        """Append `features` [n, dim] of `name`; slots after the last valid one are not kept."""
        if features.ndim != 2 or features.shape[1] != self.dim or len(features) > self.slots:
            raise ValueError(
                f"{name}: expected [<= {self.slots}, {self.dim}], got {features.shape}"
            )
        if name in self._ids:
            raise ValueError(f"{name}: already in the store")
        if mask is None:
            mask = np.ones(len(features), bool)
        length = int(mask.nonzero()[0].max(initial=-1)) + 1
        kept = np.where(mask[:length, None], features[:length], np.float32(0))
        self._ids[name] = length
        self._write(FEATURES, kept.astype("<f4"))
        self._write(MASK, mask[:length].astype("u1"))

    def _write(self, name: str, array: npt.NDArray[np.generic]) -> None:
        data = array.tobytes()
        self._hashes[name].update(data)
        self._files[name].write(data)

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        with contextlib.ExitStack() as outer:
            outer.push(self._held)
            if error is not None:
                raise error
            for file in self._files.values():
                file.close()
            self._finish()

    def _finish(self) -> None:
        index = {
            "format": FORMAT,
            "version": VERSION,
            "dim": self.dim,
            "slots": self.slots,
            "sha256": {name: value.hexdigest() for name, value in self._hashes.items()},
            "ids": list(self._ids),
            "lengths": list(self._ids.values()),
        }
        (self._partial / INDEX).write_text(json.dumps(index, ensure_ascii=False), encoding="utf-8")
        PackedStore(self._partial).verify()


def _read_index(folder: Path) -> dict:  # type: ignore[type-arg]
    path = folder / INDEX
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(path, error.strerror or "cannot be read", REPACK) from error
    except ValueError as error:
        raise DataError(path, "is not JSON", REPACK) from error
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise DataError(path, "is not the index of a packed store", REPACK)
    if index.get("version") != VERSION:
        raise DataError(path, f"is of version {index.get('version')}, not {VERSION}", REPACK)
    lengths, slots = index.get("lengths"), index.get("slots", 0)
    sound = (
        all(isinstance(index.get(k), int) and 0 < index[k] < 1 << 20 for k in ("dim", "slots"))
        and isinstance(index.get("ids"), list)
        and isinstance(lengths, list)
        and len(lengths) == len(index["ids"])
        and all(isinstance(n, int) and 0 <= n <= slots for n in lengths)
        and all(isinstance(name, str) for name in index["ids"])
        and isinstance(index.get("sha256"), dict)
    )
    if not sound:
        raise DataError(path, "its fields contradict each other", REPACK)
    return index


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()
