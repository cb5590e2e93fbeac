"""What a studio remembers: JSON documents in one SQLite file."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mgsv.errors import ConfigError, shown

Document = dict[str, Any]


class DocumentStore:
    """Documents by kind and id, in the order in which they were first put. For several threads."""

    def __init__(self, path: Path) -> None:
        """Raises `ConfigError` where the file cannot be used."""
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS documents (place INTEGER PRIMARY KEY, kind TEXT,"
                " id TEXT, body TEXT, UNIQUE (kind, id))"
            )
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(
                f"{shown(path)}: the queue cannot be kept there ({error})", "choose another folder"
            ) from error

    def put(self, kind: str, id: str, document: Document) -> None:
        with self._lock:
            self._database.execute(
                "INSERT INTO documents (kind, id, body) VALUES (?, ?, ?)"
                " ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body",
                (kind, id, json.dumps(document)),
            )

    def get(self, kind: str, id: str) -> Document | None:
        with self._lock:
            found = self._database.execute(
                "SELECT body FROM documents WHERE kind = ? AND id = ?", (kind, id)
            ).fetchone()
        return None if found is None else json.loads(found[0])

    def all(self, kind: str) -> Iterator[Document]:
        with self._lock:
            rows = self._database.execute(
                "SELECT body FROM documents WHERE kind = ? ORDER BY place", (kind,)
            ).fetchall()
        return (json.loads(body) for (body,) in rows)

    def drop(self, kind: str, id: str) -> None:
        with self._lock:
            self._database.execute("DELETE FROM documents WHERE kind = ? AND id = ?", (kind, id))

    def close(self) -> None:
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._database.close()
