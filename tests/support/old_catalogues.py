"""Libraries as earlier versions left them."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save

from mgsv.library.features import digest


def downgrade(folder: Path, version: int) -> None:
    """Turn a library into what version 1, 2, 3 or 4 of the catalogue was; before 4, with tracks
    whose beats were found by analysis 1. For 1 and 2, it must hold features of one encoder.
    """
    with contextlib.closing(sqlite3.connect(folder / "catalogue.sqlite")) as db:
        for column in ("credits", "brightness"):
            db.execute(f"ALTER TABLE track DROP COLUMN {column}")
        if version == 4:
            db.execute("PRAGMA user_version = 4")
            db.commit()
            return
        for (file,) in db.execute("SELECT file FROM feature").fetchall():
            data = _of_analysis_1(folder / "features" / file)
            db.execute("UPDATE feature SET digest = ? WHERE file = ?", (digest(data), file))
        for column in ("cuts", "before_reset"):
            db.execute(f"ALTER TABLE use DROP COLUMN {column}")
        if version == 3:
            db.execute("ALTER TABLE feature DROP COLUMN analysis")
        else:
            _fold_features(db, folder, version)
        db.execute(f"PRAGMA user_version = {version}")
        db.commit()


def _of_analysis_1(path: Path) -> bytes:
    """Beats of every second, no bars, and nothing in the header about it."""
    with safe_open(path, framework="numpy") as file:
        header = {name: text for name, text in file.metadata().items() if name != "analysis"}
    arrays = {name: a for name, a in load_file(path).items() if name != "downbeats"}
    arrays["beats"] = np.arange(0, float(header["duration"]), dtype=np.float32)
    data = bytes(save(arrays, metadata=header))
    path.write_bytes(data)
    return data


def _fold_features(db: sqlite3.Connection, folder: Path, version: int) -> None:
    """One encoder's features, in the table of tracks."""
    db.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
    db.execute("INSERT INTO meta SELECT DISTINCT 'encoder', encoder FROM feature")
    for column in ("tags TEXT", "digest TEXT", "mean BLOB"):
        db.execute(f"ALTER TABLE track ADD COLUMN {column}")
    for track, file, *rest in db.execute(
        "SELECT track, file, tags, digest, mean FROM feature"
    ).fetchall():
        db.execute("UPDATE track SET tags = ?, digest = ?, mean = ? WHERE id = ?", (*rest, track))
        path = folder / "features" / file
        path.rename(path.with_name(f"{track}.safetensors"))
    db.execute("DROP TABLE feature")
    db.execute("DROP TABLE embedding")
    if version == 1:
        db.execute("DROP TABLE use")
