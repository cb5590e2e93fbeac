"""The `Store` on SQLite and feature files, in a folder of its own.

    catalogue.sqlite               which paths hold which track, and what is known of each track
    features/<ab>/<id>.safetensors one file per track, <ab> the first two digits of its id
    lock                           held by the one process that writes

Order of writing: the whole feature file, then the catalogue's row; in removing, the row first. So a
row never points at a file that is not whole, and a kill loses at most the tracks in flight.
Readers need no lock: SQLite's write-ahead log shows them the last committed state.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mgsv.errors import LibraryError, OutputError, shown
from mgsv.files import put_in_place, remove_leftovers, write_file
from mgsv.library import features
from mgsv.library.features import REPAIR, WRITABLE, Arrays, TrackRecord
from mgsv.library.fingerprints import fingerprint_file
from mgsv.library.lock import locked
from mgsv.library.store import Place
from mgsv.memory.table import TABLE as USE_TABLE
from mgsv.memory.table import UseTable

SCHEMA = 2
"""Version of the catalogue's tables (SQLite's user_version). A newer one is refused, never
guessed at. Version 1 knew no uses; it is read as it is, and gets their table when it is written.
"""

APPLICATION_ID = 0x4D475356
"""'MGSV' in ASCII, in the header of our SQLite files, so that another program's is not taken for
ours.
"""

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE track (
    id TEXT PRIMARY KEY,      -- hash of the music file's bytes
    duration REAL NOT NULL,   -- seconds
    tempo REAL NOT NULL,      -- beats per minute
    tags TEXT NOT NULL,       -- JSON object: tag -> probability
    digest TEXT NOT NULL,     -- check sum of the feature file
    mean BLOB NOT NULL        -- float32 [D], mean over the valid segments
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
"""
_PLACES = "SELECT path, size, mtime_ns, track, problem FROM place"
_PARTS = ("", "-journal", "-wal", "-shm")
"""What SQLite adds to the names of the files that make up a database."""
_CHUNK = 4096
_WAIT_FOR_CREATION = 60.0
_FEATURE_FILE = re.compile(r"[0-9a-f]{32}\.safetensors")


class _Damaged(LibraryError):
    """A catalogue that can be set aside."""


class FileStore:
    """A `Store` in a folder of its own: SQLite for the catalogue, safetensors for the features."""

    def __init__(self, folder: Path, *, repair: bool = False) -> None:
        """
        repair: set a damaged catalogue aside under another name, and make a new one from the
        feature files. It knows no paths; adding the music again tells it, and reads without
        decoding.
        """
        self.folder = folder
        self._catalogue = folder / "catalogue.sqlite"
        self._features = folder / "features"
        self._identity: tuple[int, int] | None = None  # of the catalogue that is open
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not self._catalogue.exists():
                self._create()
            aside = None
            if repair and not self._sound():
                aside = self._set_aside()
                self._create()
        except OSError as error:
            raise self._cannot_write(error) from error
        except OutputError as error:
            raise LibraryError(error.problem, WRITABLE) from error
        self._db = self._connect()
        self._identity = self._on_disk()
        self.uses = UseTable(self._db, self._guarded, self._transaction)
        if aside is not None:
            self.uses.salvage(aside)

    @property
    def encoder(self) -> str | None:
        with self._guarded():
            row = self._db.execute("SELECT value FROM meta WHERE key = 'encoder'").fetchone()
        return None if row is None else str(row[0])

    @property
    def version(self) -> object:
        with self._guarded():
            # The first counts what other connections commit, the second what this one changes.
            (others,) = self._db.execute("PRAGMA data_version").fetchone()
            return others, self._db.total_changes

    @contextlib.contextmanager
    def writing(self, wait: float, tell: Callable[[str], None]) -> Iterator[None]:
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(locked(self.folder, wait, tell))
                self._clean()
                self._upgrade()
            except OSError as error:
                raise self._cannot_write(error) from error
            yield

    def places(self, under: Iterable[bytes] | None = None) -> dict[bytes, Place]:
        with self._guarded():
            if under is None:
                rows = self._db.execute(f"{_PLACES} ORDER BY path").fetchall()
            else:
                rows = []
                for root in under:
                    # What lies inside "a" sorts between "a/" and "a0", "0" being the next byte.
                    inside = root.rstrip(b"/")
                    rows += self._db.execute(
                        f"{_PLACES} WHERE path = ? OR (path > ? AND path < ?)",
                        (root, inside + b"/", inside + b"0"),
                    ).fetchall()
        return {row[0]: Place(*row) for row in sorted(rows)}

    def places_of(self, track: str) -> list[Place]:
        with self._guarded():
            rows = self._db.execute(f"{_PLACES} WHERE track = ? ORDER BY path", (track,)).fetchall()
        return [Place(*row) for row in rows]

    def records(self) -> dict[str, TrackRecord]:
        with self._guarded():
            rows = self._db.execute("SELECT id, duration, tempo, tags FROM track").fetchall()
            return {row[0]: TrackRecord(row[0], row[1], row[2], json.loads(row[3])) for row in rows}

    def read(self, track: str, names: tuple[str, ...]) -> Arrays:
        return features.read_arrays(self._file(track), track, names)

    def means(self) -> Iterator[tuple[list[str], npt.NDArray[np.float32]]]:
        with self._guarded():
            cursor = self._db.execute("SELECT id, mean FROM track ORDER BY id")
            while rows := cursor.fetchmany(_CHUNK):
                joined = b"".join(row[1] for row in rows)
                yield [row[0] for row in rows], np.frombuffer(joined, "<f4").reshape(len(rows), -1)

    def verify(self) -> Iterator[tuple[str, str]]:
        with self._guarded():
            (verdict,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            digests = self._db.execute("SELECT id, digest FROM track ORDER BY id").fetchall()
        encoder = self.encoder
        for track, noted in digests:
            try:
                data, record, written_by, _ = features.read_whole(self._file(track))
            except LibraryError as error:
                yield track, error.problem
                continue
            if (features.digest(data), record.id, written_by) == (noted, track, encoder):
                yield track, ""
            else:
                yield track, f"{shown(self._file(track))}: not what was written there"

    def put(self, record: TrackRecord, encoder: str, arrays: Arrays) -> None:
        data = features.pack(record, encoder, arrays)
        file = self._file(record.id)
        self._require_there()
        try:
            for folder in (self._features, file.parent):
                folder.mkdir(exist_ok=True)
            write_file(file, data, overwrite=True)
        except OSError as error:
            raise self._cannot_write(error) from error
        except OutputError as error:
            raise LibraryError(error.problem, WRITABLE) from error
        self._insert(record, encoder, data, features.mean_segment(arrays))

    def place(self, place: Place) -> None:
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO place VALUES (?, ?, ?, ?, ?)", place)

    def drop_places(self, paths: Iterable[bytes]) -> None:
        with self._transaction():
            self._db.executemany("DELETE FROM place WHERE path = ?", [(path,) for path in paths])

    def drop_tracks(self, tracks: Iterable[str]) -> int:
        dropped = []
        with self._transaction():
            for track in tracks:
                gone = self._db.execute(
                    "DELETE FROM track WHERE id = ?1"
                    " AND NOT EXISTS (SELECT 1 FROM place WHERE track = ?1)",
                    (track,),
                )
                if gone.rowcount:
                    dropped.append(track)
            self._db.execute(  # an empty library is anyone's
                "DELETE FROM meta WHERE key = 'encoder' AND NOT EXISTS (SELECT 1 FROM track)"
            )
        for track in dropped:  # after the commit: a row must never outlive its file
            for file in (self._file(track), fingerprint_file(self.folder, track)):
                file.unlink(missing_ok=True)
        return len(dropped)

    def close(self) -> None:
        self._db.close()

    def _file(self, track: str) -> Path:
        return self._features / track[:2] / f"{track}.safetensors"

    def _insert(
        self, record: TrackRecord, encoder: str, data: bytes, mean: npt.NDArray[np.float32]
    ) -> None:
        with self._transaction():
            self._db.execute("INSERT OR IGNORE INTO meta VALUES ('encoder', ?)", (encoder,))
            self._db.execute(
                "INSERT OR REPLACE INTO track VALUES (?, ?, ?, ?, ?, ?)",
                (
                    record.id,
                    record.duration,
                    record.tempo,
                    json.dumps(dict(record.tags)),
                    features.digest(data),
                    mean.astype("<f4").tobytes(),
                ),
            )

    def _create(self) -> None:
        """Make the catalogue under a temporary name: no other process ever sees half of one."""
        with locked(self.folder, _WAIT_FOR_CREATION, lambda _: None):
            if self._catalogue.exists():  # another process was first
                return
            self._move_away()  # a log without its catalogue, which SQLite would take for ours
            temporary = self.folder / ".catalogue.part"
            self._remove(temporary)
            try:
                with self._guarded():
                    self._db = sqlite3.connect(temporary, isolation_level=None)
                    try:
                        self._db.execute("PRAGMA synchronous = OFF")  # synced when it is whole
                        self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                        self._db.execute(f"PRAGMA user_version = {SCHEMA}")
                        self._db.executescript(";".join([_TABLES, *USE_TABLE]))
                        self._recover()
                        self._db.execute("PRAGMA journal_mode = WAL")
                    finally:
                        self._db.close()
                put_in_place(temporary, self._catalogue, overwrite=True)
            finally:
                self._remove(temporary)

    @staticmethod
    def _remove(database: Path) -> None:
        for suffix in _PARTS:
            Path(f"{database}{suffix}").unlink(missing_ok=True)

    def _recover(self) -> None:
        """Take over the feature files of an earlier catalogue, those of the first one's encoder."""
        for file in sorted(self._features.glob("[0-9a-f][0-9a-f]/*.safetensors")):
            with contextlib.suppress(LibraryError):
                data, record, encoder, mean = features.read_whole(file)
                if file == self._file(record.id) and self.encoder in (None, encoder):
                    self._insert(record, encoder, data, mean)

    def _sound(self) -> bool:
        try:
            db = self._connect()
        except _Damaged:
            return False
        try:
            return bool(db.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
        except sqlite3.DatabaseError:
            return False
        finally:
            db.close()

    def _upgrade(self) -> None:
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version < SCHEMA:
            with self._transaction():
                for statement in USE_TABLE:
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {SCHEMA}")

    def _set_aside(self) -> Path:
        with locked(self.folder, _WAIT_FOR_CREATION, lambda _: None):
            return self._move_away()

    def _move_away(self) -> Path:
        """Nothing is deleted: what there is of a catalogue and its log gets another name."""
        start = f"{self.folder}/catalogue.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
        names = (f"{start}{more}.sqlite" for more in ("", *(f"-{n}" for n in range(2, 1000))))
        aside = next(name for name in names if not any(os.path.lexists(name + s) for s in _PARTS))
        for suffix in _PARTS:
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self._catalogue}{suffix}").rename(f"{aside}{suffix}")
        return Path(aside)

    def _connect(self) -> sqlite3.Connection:
        address = "file:" + urllib.parse.quote(os.fsencode(self._catalogue))
        if os.access(self.folder, os.W_OK):
            address += "?mode=rw"
        elif Path(f"{self._catalogue}-wal").exists():
            address += "?mode=ro"
        else:  # On read-only media the log's files cannot be made, and nothing can change either.
            address += "?mode=ro&immutable=1"
        with self._guarded():
            # SQLite serialises calls itself: threads of a server may share the connection to read.
            db = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
            try:
                self._recognise(db)
                db.execute("PRAGMA foreign_keys = ON")
                db.execute("PRAGMA synchronous = NORMAL")  # whole after a crash in WAL mode
            except BaseException:
                db.close()
                raise
        return db

    def _recognise(self, db: sqlite3.Connection) -> None:
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise _Damaged(
                f"{shown(self._catalogue)}: not a music library's catalogue, or an emptied one",
                f"name another folder, or {REPAIR}",
            )
        if not 1 <= version <= SCHEMA:
            raise LibraryError(
                f"{shown(self._catalogue)}: written in format {version}, this mgsv reads {SCHEMA}",
                "use the newer mgsv, or name another folder for the library",
            )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._require_there()
        with self._guarded():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # After some errors, a full disk among them, SQLite has rolled back by itself.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _on_disk(self) -> tuple[int, int] | None:
        try:
            status = self._catalogue.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _require_there(self) -> None:
        """Raises `LibraryError` where the open catalogue is no longer the folder's: SQLite would
        go on writing into a file that has been deleted or moved.
        """
        if self._identity is not None and self._on_disk() != self._identity:
            raise LibraryError(
                f"{shown(self.folder)}: the library was moved or deleted while it was in use",
                "run the command again",
            )

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        name = shown(self._catalogue)
        try:
            yield
        except sqlite3.ProgrammingError:  # our mistake, such as use after closing
            raise
        except sqlite3.OperationalError as error:
            remedy = "check free space and permissions of the library's folder"
            raise LibraryError(f"{name}: {error}", remedy) from error
        except (sqlite3.Error, ValueError) as error:  # ValueError: broken JSON or vectors in a row
            raise _Damaged(f"{name}: the catalogue is damaged ({error})", REPAIR) from error

    def _clean(self) -> None:
        """Remove what killed writers left behind: we hold the lock, so no such file is in use."""
        with self._guarded():
            kept = {f"{row[0]}.safetensors" for row in self._db.execute("SELECT id FROM track")}
        for folder in self._features.glob("[0-9a-f][0-9a-f]"):
            remove_leftovers(folder)
            for file in folder.iterdir():
                if file.name not in kept and _FEATURE_FILE.fullmatch(file.name):
                    file.unlink()

    def _cannot_write(self, error: OSError) -> LibraryError:
        return LibraryError(
            f"{shown(self.folder)}: the library cannot be written ({error.strerror or error})",
            WRITABLE,
        )
