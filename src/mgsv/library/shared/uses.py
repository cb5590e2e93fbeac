"""Past uses in the database of a shared library."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from mgsv.library.shared.database import Database
from mgsv.memory.use import Use

_FIELDS = tuple(Use.__dataclass_fields__)
_COLUMNS = ", ".join(f'"{name}"' for name in _FIELDS)
_MARKS = ", ".join(["%s"] * len(_FIELDS))


class SharedUses:
    """A `UseStore` in PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> Iterator[tuple[int, Use]]:
        yield from self._select('ORDER BY track COLLATE "C", start, id')

    def of_video(self, video: str) -> list[tuple[int, Use]]:
        return self._select("WHERE video = %s ORDER BY id", video)

    def get(self, id: int) -> Use | None:
        return next((use for _, use in self._select("WHERE id = %s", id)), None)

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        return self._database.transaction()

    def add(self, use: Use) -> int:
        query = f"INSERT INTO mgsv.use ({_COLUMNS}) VALUES ({_MARKS}) RETURNING id"  # noqa: S608
        ((id,),) = self._database.rows(query, self._values(use))
        return int(id)

    def replace(self, id: int, use: Use) -> None:
        query = f"UPDATE mgsv.use SET ({_COLUMNS}) = ({_MARKS}) WHERE id = %s"  # noqa: S608
        self._database.execute(query, (*self._values(use), id))

    def drop(self, ids: Iterable[int]) -> int:
        return self._database.execute("DELETE FROM mgsv.use WHERE id = ANY(%s)", ([*ids],))

    def compact(self) -> bool:
        """The table is written anew. The server's log and its backups follow its own rules."""
        self._database.execute("VACUUM FULL mgsv.use")
        return True

    def _select(self, which: str, *values: object) -> list[tuple[int, Use]]:
        query = f"SELECT id, {_COLUMNS} FROM mgsv.use {which}"  # noqa: S608 (our own names)
        return [(id, Use(*fields)) for id, *fields in self._database.rows(query, values)]

    @staticmethod
    def _values(use: Use) -> tuple[object, ...]:
        return tuple(getattr(use, name) for name in _FIELDS)
