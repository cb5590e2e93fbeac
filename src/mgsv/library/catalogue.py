"""The catalogue: an SQLite database of what a library holds, its tables and their versions."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mgsv.errors import LibraryError, shown
from mgsv.library.features import REPAIR, TrackRecord
from mgsv.memory.table import ADDED as USE_ADDED
from mgsv.memory.table import TABLE as USE_TABLE

SCHEMA = 5
"""Version of the tables (SQLite's user_version). A newer one is refused, never guessed at; an older
one is read as it is, and upgraded when it is written. 1 knew no uses, 2 one encoder's features, 3
one version of `features.ANALYSIS` and no cuts of uses, 4 no credits.
"""

APPLICATION_ID = 0x4D475356
"""'MGSV' in ASCII, in the header of our SQLite files, so that another program's is not taken for
ours.
"""

PARTS = ("", "-journal", "-wal", "-shm")
"""What SQLite adds to the names of the files that make up a database."""

_FEATURE = """
CREATE TABLE main.feature (        -- what one encoder made of a track
    track TEXT NOT NULL REFERENCES track (id) ON DELETE CASCADE,
    encoder TEXT NOT NULL,    -- its fingerprint
    file TEXT NOT NULL,       -- under features/
    tags TEXT NOT NULL,       -- JSON object: tag -> probability
    digest TEXT NOT NULL,     -- check sum of the file
    mean BLOB NOT NULL,       -- float32 [D], mean over the valid segments
    analysis INTEGER NOT NULL DEFAULT 1,  -- version of what found the beats and bars
    UNIQUE (encoder, track)
);
CREATE TABLE main.embedding (      -- what one model makes of a track
    track TEXT NOT NULL REFERENCES track (id) ON DELETE CASCADE,
    model TEXT NOT NULL,      -- its fingerprint
    width INTEGER NOT NULL,   -- E
    vectors BLOB NOT NULL,    -- float32 [N, E], as many as the model makes of a track
    PRIMARY KEY (model, track)
);
CREATE INDEX main.feature_of_track ON feature (track);
CREATE INDEX main.embedding_of_track ON embedding (track);
"""
REVISIONS = """
CREATE INDEX IF NOT EXISTS main.feature_revision ON feature (encoder, track, digest)"""
"""Check sums can be listed without the rows, a page each, that they stand in. Earlier versions
neither have it nor mind it."""

TABLES = f"""
CREATE TABLE track (
    id TEXT PRIMARY KEY,      -- hash of the music file's bytes
    duration REAL NOT NULL,   -- seconds
    tempo REAL NOT NULL,      -- beats per minute
    credits TEXT,             -- JSON object: field -> text; NULL where nobody has looked
    brightness REAL           -- Hz; NULL where it was not measured
);
CREATE TABLE place (
    path BLOB PRIMARY KEY,    -- absolute, as bytes: names need not be UTF-8
    size INTEGER NOT NULL,    -- size and mtime_ns as last seen; the same again means unchanged
    mtime_ns INTEGER NOT NULL,
    track TEXT REFERENCES track (id),
    problem TEXT NOT NULL,    -- why the file could not be indexed; empty where it was
    CHECK ((track IS NULL) <> (problem = ''))
) WITHOUT ROWID;
CREATE INDEX place_of_track ON place (track);
{_FEATURE};{REVISIONS};{";".join(USE_TABLE)}"""

# What the columns of version 2 are in the tables of version 3.
_OF_OLD = """
SELECT id AS track, (SELECT value FROM meta WHERE key = 'encoder') AS encoder,
    substr(id, 1, 2) || '/' || id || '.safetensors' AS file, tags, digest, mean, 1 AS analysis
FROM main.track"""
_OLD_SEEN_AS_NEW = f"""
CREATE TEMP VIEW feature AS {_OF_OLD};
CREATE TEMP VIEW embedding AS SELECT '' AS track, '' AS model, 1 AS width, x'' AS vectors LIMIT 0
"""
_TRACKS_SEEN_AS_NEW = """
CREATE TEMP VIEW track AS
SELECT id, duration, tempo, NULL AS credits, NULL AS brightness FROM main.track"""
_CREDITS = (
    "ALTER TABLE main.track ADD COLUMN credits TEXT",
    "ALTER TABLE main.track ADD COLUMN brightness REAL",
)
_THIRD_SEEN_AS_NEW = "CREATE TEMP VIEW feature AS SELECT *, 1 AS analysis FROM main.feature"
_UPGRADE = f"""
{_FEATURE};
INSERT INTO main.feature {_OF_OLD};
ALTER TABLE track DROP COLUMN tags;
ALTER TABLE track DROP COLUMN digest;
ALTER TABLE track DROP COLUMN mean;
DROP TABLE meta
"""


class Damaged(LibraryError):
    """A catalogue that can be set aside."""


def feature_file(track: str, encoder: str) -> str:
    """Where the features of a track by one encoder are, under features/."""
    short = hashlib.blake2b(encoder.encode(), digest_size=4).hexdigest()
    return f"{track[:2]}/{track}.{short}.safetensors"


def open_catalogue(path: Path) -> sqlite3.Connection:
    """A connection to a catalogue of any version, seen as one of this version.

    Threads may share it to read: SQLite serialises calls itself. Raises `Damaged` for another
    program's file, `LibraryError` for a newer version, and SQLite's own errors.
    """
    address = "file:" + urllib.parse.quote(os.fsencode(path))
    if os.access(path.parent, os.W_OK):
        address += "?mode=rw"
    elif Path(f"{path}-wal").exists():
        address += "?mode=ro"
    else:  # On read-only media the log's files cannot be made, and nothing can change either.
        address += "?mode=ro&immutable=1"
    db = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
    try:
        version = _recognised(db, path)
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("PRAGMA synchronous = NORMAL")  # whole after a crash in WAL mode
        if version < SCHEMA:
            db.execute(_TRACKS_SEEN_AS_NEW)
        if version < 4:
            db.executescript(_OLD_SEEN_AS_NEW if version < 3 else _THIRD_SEEN_AS_NEW)
    except BaseException:
        db.close()
        raise
    return db


def create_tables(db: sqlite3.Connection) -> None:
    """Make an empty database a catalogue."""
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {SCHEMA}")
    db.executescript(TABLES)


def insert(
    db: sqlite3.Connection,
    file: str,
    record: TrackRecord,
    encoder: str,
    digest: str,
    mean: npt.NDArray[np.float32],
) -> None:
    """Note a track and the feature file of it by `encoder`, in the place of what was noted."""
    credits = None if record.credits is None else record.credits.as_json()
    db.execute(
        "INSERT INTO track VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
        " SET duration = excluded.duration, tempo = excluded.tempo,"
        " credits = coalesce(excluded.credits, credits),"
        " brightness = coalesce(excluded.brightness, brightness)",
        (record.id, record.duration, record.tempo, credits, record.brightness),
    )
    tags, vector = json.dumps(dict(record.tags)), mean.astype("<f4").tobytes()
    values = (record.id, encoder, file, tags, digest, vector, record.analysis)
    db.execute("INSERT OR REPLACE INTO feature VALUES (?, ?, ?, ?, ?, ?, ?)", values)


def identity(path: Path) -> tuple[int, int] | None:
    """Which file is at `path`, whatever its name was before; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_old(db: sqlite3.Connection) -> bool:
    """Whether the tables are of an earlier version. From when they no longer are, since some
    process has upgraded them, they are seen themselves.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version == SCHEMA:
        _drop_views(db)
    return bool(version < SCHEMA)


def upgrade(db: sqlite3.Connection) -> None:
    """Bring the tables to this version, inside of a transaction. No feature file is read or moved:
    rows say where they are.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    _drop_views(db)
    if version < 4:
        for statement in USE_TABLE if version < 2 else USE_ADDED:
            db.execute(statement)
    if version < 3:
        for statement in _UPGRADE.split(";"):
            db.execute(statement)
    elif version < 4:
        db.execute("ALTER TABLE main.feature ADD COLUMN analysis INTEGER NOT NULL DEFAULT 1")
    for statement in _CREDITS:
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {SCHEMA}")


@contextlib.contextmanager
def guarded(path: Path) -> Iterator[None]:
    """SQLite's errors, about the catalogue at `path`, as ours."""
    try:
        yield
    except sqlite3.ProgrammingError:  # our mistake, such as use after closing
        raise
    except sqlite3.OperationalError as error:
        remedy = "check free space and permissions of the library's folder"
        raise LibraryError(f"{shown(path)}: {error}", remedy) from error
    except (sqlite3.Error, ValueError) as error:  # ValueError: broken JSON or vectors in a row
        raise Damaged(f"{shown(path)}: the catalogue is damaged ({error})", REPAIR) from error


def remove(path: Path) -> None:
    """Delete a database and what SQLite keeps beside it."""
    for suffix in PARTS:
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def move_away(path: Path) -> Path:
    """Give another name to what there is of a catalogue and its log; nothing is deleted."""
    start = f"{path.parent}/catalogue.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (f"{start}{more}.sqlite" for more in ("", *(f"-{n}" for n in range(2, 1000))))
    aside = next(name for name in names if not any(os.path.lexists(name + s) for s in PARTS))
    for suffix in PARTS:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{suffix}").rename(f"{aside}{suffix}")
    return Path(aside)


def _drop_views(db: sqlite3.Connection) -> None:
    for view in ("feature", "embedding", "track"):
        db.execute(f"DROP VIEW IF EXISTS temp.{view}")


def _recognised(db: sqlite3.Connection, path: Path) -> int:
    """The version of a catalogue."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise Damaged(
            f"{shown(path)}: not a music library's catalogue, or an emptied one",
            f"name another folder, or {REPAIR}",
        )
    if not 1 <= version <= SCHEMA:
        raise LibraryError(
            f"{shown(path)}: written in format {version}, this mgsv reads {SCHEMA}",
            "use the newer mgsv, or name another folder for the library",
        )
    return int(version)
