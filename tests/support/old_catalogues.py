"""Libraries as earlier versions left them."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path


def downgrade(folder: Path, version: int) -> None:
    """Turn a library with features of one encoder into what version 1 or 2 of the catalogue was."""
    with contextlib.closing(sqlite3.connect(folder / "catalogue.sqlite")) as db:
        db.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
        db.execute("INSERT INTO meta SELECT DISTINCT 'encoder', encoder FROM feature")
        for column in ("tags TEXT", "digest TEXT", "mean BLOB"):
            db.execute(f"ALTER TABLE track ADD COLUMN {column}")
        for track, file, *rest in db.execute(
            "SELECT track, file, tags, digest, mean FROM feature"
        ).fetchall():
            db.execute(
                "UPDATE track SET tags = ?, digest = ?, mean = ? WHERE id = ?", (*rest, track)
            )
            path = folder / "features" / file
            path.rename(path.with_name(f"{track}.safetensors"))
        db.execute("DROP TABLE feature")
        db.execute("DROP TABLE embedding")
        if version == 1:
            db.execute("DROP TABLE use")
        db.execute(f"PRAGMA user_version = {version}")
        db.commit()
