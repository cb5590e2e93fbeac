"""Where uses are kept: a protocol, and an SQLite table of which nothing deleted stays behind."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from mgsv.memory.use import Use

TABLE = (
    """
CREATE TABLE use (
    id INTEGER PRIMARY KEY,
    track TEXT NOT NULL,          -- kept when the music is removed: it may come back
    start REAL NOT NULL,          -- seconds on the track
    end REAL NOT NULL,
    track_seconds REAL NOT NULL,
    video TEXT NOT NULL,
    video_start REAL NOT NULL,    -- the part of the video that carries the music
    video_end REAL NOT NULL,
    category TEXT NOT NULL,
    confidence REAL NOT NULL,
    feats BLOB NOT NULL,          -- pooled frame features, float16; empty where unknown
    encoder TEXT NOT NULL,        -- fingerprint of what made them
    cuts BLOB NOT NULL DEFAULT x'',  -- seconds from video_start, float32; empty where unknown
    before_reset INTEGER NOT NULL DEFAULT 0  -- 1: habits were reset since
)""",
    "CREATE INDEX use_of_video ON use (video)",
)
ADDED = (
    "ALTER TABLE use ADD COLUMN cuts BLOB NOT NULL DEFAULT x''",
    "ALTER TABLE use ADD COLUMN before_reset INTEGER NOT NULL DEFAULT 0",
)
"""What brings a table of an earlier version up to `TABLE`."""
_FIELDS = tuple(Use.__dataclass_fields__)
_COLUMNS = ", ".join(_FIELDS)
_MARKS = ", ".join("?" * len(_FIELDS))

Guard = Callable[[], contextlib.AbstractContextManager[None]]


class UseStore(Protocol):
    """Where uses are kept: numbered, in no need of their tracks.

    Every method raises `LibraryError` where the place is damaged, full, or out of reach.
    """

    def all(self) -> Iterator[tuple[int, Use]]:
        """(number, use) of every use, track by track."""

    def of_video(self, video: str) -> list[tuple[int, Use]]:
        """The uses by one video."""

    def get(self, id: int) -> Use | None:
        """The use with a number."""

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """All that is written inside is kept, or none of it. The methods below need one."""

    def add(self, use: Use) -> int:
        """Keep a use; its number."""

    def replace(self, id: int, use: Use) -> None:
        """Keep another use under a number."""

    def drop(self, ids: Iterable[int]) -> int:
        """Delete uses; how many there were."""

    def compact(self) -> bool:
        """Leave no trace of what was deleted, outside of any transaction; False where another
        process still reads an older state, so that it must be called again."""


class UseTable:
    """A `UseStore` in an SQLite catalogue."""

    def __init__(self, db: sqlite3.Connection, guarded: Guard, transaction: Guard) -> None:
        """guarded turns SQLite's errors into ours; transaction also commits or rolls back."""
        self._db, self._guarded, self.transaction = db, guarded, transaction
        with guarded():
            db.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten with zeros

    def all(self) -> Iterator[tuple[int, Use]]:
        return self._select("ORDER BY track, start, id")

    def of_video(self, video: str) -> list[tuple[int, Use]]:
        return list(self._select("WHERE video = ? ORDER BY id", video))

    def get(self, id: int) -> Use | None:
        return next((use for _, use in self._select("WHERE id = ?", id)), None)

    def add(self, use: Use) -> int:
        cursor = self._db.execute(
            f"INSERT INTO use ({_COLUMNS}) VALUES ({_MARKS})",  # noqa: S608 (our own names)
            self._values(use),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def replace(self, id: int, use: Use) -> None:
        self._db.execute(
            f"REPLACE INTO use (id, {_COLUMNS}) VALUES (?, {_MARKS})",  # noqa: S608
            (id, *self._values(use)),
        )

    def drop(self, ids: Iterable[int]) -> int:
        return sum(self._db.execute("DELETE FROM use WHERE id = ?", (id,)).rowcount for id in ids)

    def compact(self) -> bool:
        with self._guarded():
            self._db.execute("VACUUM")
            busy, _, _ = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy

    def salvage(self, damaged: Path) -> None:
        """Take over what can be read of the uses in a catalogue that was set aside."""
        found: list[Use] = []
        # Row by row: those before the damage are kept.
        with (
            contextlib.suppress(sqlite3.Error, TypeError),
            contextlib.closing(sqlite3.connect(damaged)) as old,
        ):
            names = _held(old)
            rows = old.execute(f"SELECT {', '.join(names)} FROM use")  # noqa: S608
            while (values := rows.fetchone()) is not None:
                found.append(_use(names, values))
        with self.transaction():
            for use in found:
                self.add(use)

    def _select(self, which: str, *values: object) -> Iterator[tuple[int, Use]]:
        with self._guarded():
            if not (names := _held(self._db)):
                return
            columns = ", ".join(names)
            rows = self._db.execute(f"SELECT id, {columns} FROM use {which}", values)  # noqa: S608
            for id, *fields in rows:
                yield id, _use(names, fields)

    @staticmethod
    def _values(use: Use) -> tuple[object, ...]:
        return tuple(getattr(use, name) for name in _FIELDS)


def _held(db: sqlite3.Connection) -> list[str]:
    """The fields of `Use` that a catalogue has columns for: none in the first version until
    something is written, and not all in the later ones."""
    columns = {name for _, name, *_ in db.execute("PRAGMA table_info(use)")}
    return [name for name in _FIELDS if name in columns]


def _use(names: Sequence[str], values: Sequence[Any]) -> Use:
    fields = dict(zip(names, values, strict=True))
    return Use(**{**fields, "before_reset": bool(fields.get("before_reset"))})
