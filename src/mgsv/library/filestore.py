"""The `Store` on SQLite and feature files, in a folder of its own.

    catalogue.sqlite    which paths hold which track, and what is known of each track
    features/<ab>/      <id>.<encoder>.safetensors of each track whose id starts with <ab>
    derived/            what was made of the features and can be made again (`packs`)
    lock                held by the one process that writes
    writing             there while one does, and after one that was killed

Order of writing: the whole feature file, then the catalogue's row; in removing, the row first. So a
row never points at a file that is not whole, and a kill loses at most the tracks in flight.
Readers need no lock: SQLite's write-ahead log shows them the last committed state.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mgsv.errors import LibraryError, OutputError, shown
from mgsv.files import put_in_place, remove_leftovers, write_file
from mgsv.library import features
from mgsv.library.catalogue import (
    REVISIONS,
    Damaged,
    create_tables,
    feature_file,
    guarded,
    identity,
    insert,
    is_old,
    move_away,
    open_catalogue,
    remove,
    upgrade,
)
from mgsv.library.credits import Credits
from mgsv.library.features import WRITABLE, Arrays, TrackRecord
from mgsv.library.fingerprints import fingerprint_file
from mgsv.library.lock import locked
from mgsv.library.store import Place
from mgsv.library.walk import bounds_inside
from mgsv.memory.table import UseTable

_RECORDS = """
SELECT t.id, t.duration, t.tempo, f.tags, f.analysis, t.credits, t.brightness
FROM track AS t JOIN feature AS f ON f.track = t.id"""
_PLACES = "SELECT path, size, mtime_ns, track, problem FROM place"
_CHUNK = 4096
_WAIT_FOR_CREATION = 60.0
_WRITING = "writing"
_FEATURE_FILE = re.compile(r"[0-9a-f]{32}(\.[0-9a-f]{8})?\.safetensors")


class FileStore:
    """A `Store` in a folder of its own: SQLite for the catalogue, safetensors for the features."""

    def __init__(self, folder: Path, *, repair: bool = False) -> None:
        """
        repair: set a damaged catalogue aside under another name, and make a new one from the
        feature files. It has no paths; adding the music again restores them without
        decoding.
        """
        self.folder = folder
        self._catalogue = folder / "catalogue.sqlite"
        self._features = folder / "features"
        self._identity: tuple[int, int] | None = None  # of the catalogue that is open
        self._is_old = False
        self._encoders: tuple[object, list[str]] | None = None  # and when they were counted
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
        self._is_old = is_old(self._db)
        self._identity = identity(self._catalogue)
        self.uses = UseTable(self._db, self._guarded, self._transaction)
        if aside is not None:
            self.uses.salvage(aside)

    @property
    def encoders(self) -> list[str]:
        version = self.version
        if self._encoders is None or self._encoders[0] != version:
            with self._guarded():
                rows = self._db.execute(
                    "SELECT encoder FROM feature GROUP BY encoder ORDER BY count(*) DESC, encoder"
                ).fetchall()
            self._encoders = version, [row[0] for row in rows]
        return list(self._encoders[1])

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
                mark = self.folder / _WRITING
                if mark.exists():  # a writer was killed
                    self._clean()
                mark.touch()
                self._upgrade()
            except OSError as error:
                raise self._cannot_write(error) from error
            yield
            # Where the block raises, the next writer looks for what it left behind.
            mark.unlink(missing_ok=True)

    def places(self, under: Iterable[bytes] | None = None) -> dict[bytes, Place]:
        with self._guarded():
            if under is None:
                rows = self._db.execute(f"{_PLACES} ORDER BY path").fetchall()
            else:
                rows = []
                for root in under:
                    rows += self._db.execute(
                        f"{_PLACES} WHERE path = ? OR (path > ? AND path < ?)",
                        (root, *bounds_inside(root)),
                    ).fetchall()
        return {row[0]: Place(*row) for row in sorted(rows)}

    def each_place(self, under: Iterable[bytes] | None = None) -> Iterator[Place]:
        for root in [None] if under is None else sorted(under):
            where = "" if root is None else " WHERE path = ? OR (path > ? AND path < ?)"
            values = () if root is None else (root, *bounds_inside(root))
            with self._guarded():
                cursor = self._db.execute(f"{_PLACES}{where} ORDER BY path", values)
                while rows := cursor.fetchmany(_CHUNK):
                    yield from map(Place._make, rows)

    def places_of(self, track: str) -> list[Place]:
        with self._guarded():
            rows = self._db.execute(f"{_PLACES} WHERE track = ? ORDER BY path", (track,)).fetchall()
        return [Place(*row) for row in rows]

    def records(self, encoder: str) -> Iterator[TrackRecord]:
        with self._guarded():
            cursor = self._db.execute(f"{_RECORDS} WHERE encoder = ?", (encoder,))
            while rows := cursor.fetchmany(_CHUNK):
                yield from map(TrackRecord.of_row, rows)

    def record(self, track: str, encoder: str) -> TrackRecord | None:
        with self._guarded():
            row = self._db.execute(
                f"{_RECORDS} WHERE encoder = ? AND track = ?", (encoder, track)
            ).fetchone()
            return None if row is None else TrackRecord.of_row(row)

    def holds(self, track: str, encoder: str, analysis: int = 0) -> bool:
        with self._guarded():
            row = self._db.execute(
                "SELECT 1 FROM feature WHERE encoder = ? AND track = ? AND analysis >= ?",
                (encoder, track, analysis),
            ).fetchone()
        return row is not None

    def uncredited(self) -> list[str]:
        with self._guarded():
            rows = self._db.execute("SELECT id FROM track WHERE credits IS NULL ORDER BY id")
            return [row[0] for row in rows]

    def put_credits(self, credits: Mapping[str, Credits]) -> None:
        with self._transaction():
            self._db.executemany(
                "UPDATE track SET credits = ? WHERE id = ?",
                [(one.as_json(), track) for track, one in credits.items()],
            )

    def read(self, track: str, encoder: str, names: tuple[str, ...]) -> Arrays:
        with self._guarded():
            row = self._db.execute(
                "SELECT file FROM feature WHERE encoder = ? AND track = ?", (encoder, track)
            ).fetchone()
        # Without a row the file is missing too, and the error names it.
        return features.read_arrays(
            self._file(*row or (feature_file(track, encoder),)), track, names
        )

    def means(self, encoder: str) -> Iterator[tuple[list[str], npt.NDArray[np.float32]]]:
        with self._guarded():
            cursor = self._db.execute(
                "SELECT track, mean FROM feature WHERE encoder = ? ORDER BY track", (encoder,)
            )
            while rows := cursor.fetchmany(_CHUNK):
                joined = b"".join(row[1] for row in rows)
                yield [row[0] for row in rows], np.frombuffer(joined, "<f4").reshape(len(rows), -1)

    @property
    def derived(self) -> Path:
        return self.folder / "derived"

    def revisions(self, encoder: str) -> Iterator[tuple[str, str]]:
        with self._guarded():
            cursor = self._db.execute(
                "SELECT track, digest FROM feature WHERE encoder = ?", (encoder,)
            )
            while rows := cursor.fetchmany(_CHUNK):
                yield from rows

    def embeddings(self, model: str) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
        with self._guarded():
            cursor = self._db.execute(
                "SELECT track, width, vectors FROM embedding WHERE model = ? ORDER BY track",
                (model,),
            )
            while rows := cursor.fetchmany(_CHUNK):
                for track, width, vectors in rows:
                    yield track, np.frombuffer(vectors, "<f4").reshape(-1, width)

    def put_embeddings(self, model: str, vectors: Mapping[str, npt.NDArray[np.float32]]) -> None:
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO embedding VALUES (?, ?, ?, ?)",
                (
                    (track, model, rows.shape[1], rows.astype("<f4").tobytes())
                    for track, rows in vectors.items()
                ),
            )

    def drop_embeddings(self, model: str) -> int:
        with self._transaction():
            return self._db.execute("DELETE FROM embedding WHERE model = ?", (model,)).rowcount

    def verify(self) -> Iterator[tuple[str, str]]:
        with self._guarded():
            (verdict,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            noted = self._db.execute(
                "SELECT file, digest, track, encoder FROM feature ORDER BY track, encoder"
            ).fetchall()
        for file, *row in noted:
            path = self._file(file)
            try:
                data, record, encoder, _ = features.read_whole(path)
            except LibraryError as error:
                yield row[1], error.problem
                continue
            same = [features.digest(data), record.id, encoder] == row
            yield row[1], "" if same else f"{shown(path)}: not what was written there"

    def put(self, record: TrackRecord, encoder: str, arrays: Arrays) -> None:
        data = features.pack_features(record, encoder, arrays)
        name = feature_file(record.id, encoder)
        file = self._file(name)
        self._require_there()
        try:
            for folder in (self._features, file.parent):
                folder.mkdir(exist_ok=True)
            write_file(file, data, overwrite=True)
        except OSError as error:
            raise self._cannot_write(error) from error
        except OutputError as error:
            raise LibraryError(error.problem, WRITABLE) from error
        self._insert(name, record, encoder, data, features.mean_segment(arrays))

    def place(self, place: Place) -> None:
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO place VALUES (?, ?, ?, ?, ?)", place)

    def drop_places(self, paths: Iterable[bytes]) -> None:
        with self._transaction():
            self._db.executemany("DELETE FROM place WHERE path = ?", [(path,) for path in paths])

    def drop_tracks(self, tracks: Iterable[str]) -> int:
        dropped, files = [], []
        with self._transaction():
            for track in tracks:
                held = self._db.execute(
                    "SELECT file FROM feature WHERE track = ?", (track,)
                ).fetchall()
                gone = self._db.execute(
                    "DELETE FROM track WHERE id = ?1"
                    " AND NOT EXISTS (SELECT 1 FROM place WHERE track = ?1)",
                    (track,),
                )
                if gone.rowcount:
                    dropped.append(track)
                    files += [self._file(file) for (file,) in held]
        # After the commit: a row must never outlive its file.
        for file in [*files, *(fingerprint_file(self.folder, track) for track in dropped)]:
            file.unlink(missing_ok=True)
        return len(dropped)

    def close(self) -> None:
        self._db.close()

    def _file(self, name: str) -> Path:
        return self._features / name

    def _insert(
        self,
        file: str,
        record: TrackRecord,
        encoder: str,
        data: bytes,
        mean: npt.NDArray[np.float32],
    ) -> None:
        with self._transaction():
            insert(self._db, file, record, encoder, features.digest(data), mean)

    def _create(self) -> None:
        """Make the catalogue under a temporary name: no other process ever sees half of one."""
        with locked(self.folder, _WAIT_FOR_CREATION, lambda _: None):
            if self._catalogue.exists():  # another process was first
                return
            # A log without its catalogue, which SQLite would take for ours.
            move_away(self._catalogue)
            temporary = self.folder / ".catalogue.part"
            remove(temporary)
            try:
                with self._guarded():
                    self._db = sqlite3.connect(temporary, isolation_level=None)
                    try:
                        self._db.execute("PRAGMA synchronous = OFF")  # synced when it is whole
                        create_tables(self._db)
                        self._recover()
                        self._db.execute("PRAGMA journal_mode = WAL")
                    finally:
                        self._db.close()
                put_in_place(temporary, self._catalogue, overwrite=True)
            finally:
                remove(temporary)

    def _recover(self) -> None:
        """Take over the feature files of an earlier catalogue."""
        for file in sorted(self._features.glob("[0-9a-f][0-9a-f]/*.safetensors")):
            with contextlib.suppress(LibraryError):
                data, record, encoder, mean = features.read_whole(file)
                name = file.relative_to(self._features).as_posix()
                # Before several encoders had room, a file had its track's name alone.
                old = f"{record.id[:2]}/{record.id}.safetensors"
                if name in (feature_file(record.id, encoder), old):
                    self._insert(name, record, encoder, data, mean)

    def _sound(self) -> bool:
        with (
            contextlib.suppress(Damaged, sqlite3.DatabaseError),
            contextlib.closing(self._connect()) as db,
        ):
            return bool(db.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
        return False

    def _upgrade(self) -> None:
        if self._is_old:
            with self._transaction():
                if is_old(self._db):
                    upgrade(self._db)
        with self._guarded():
            self._db.execute(REVISIONS)

    def _set_aside(self) -> Path:
        with locked(self.folder, _WAIT_FOR_CREATION, lambda _: None):
            return move_away(self._catalogue)

    def _connect(self) -> sqlite3.Connection:
        with self._guarded():
            return open_catalogue(self._catalogue)

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

    def _require_there(self) -> None:
        """Raises `LibraryError` where the open catalogue is no longer the folder's: SQLite would
        go on writing into a file that has been deleted or moved.
        """
        if self._identity is not None and identity(self._catalogue) != self._identity:
            raise LibraryError(
                f"{shown(self.folder)}: the library was moved or deleted while it was in use",
                "run the command again",
            )

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        with guarded(self._catalogue):
            self._is_old = self._is_old and is_old(self._db)
            yield

    def _clean(self) -> None:
        """Remove what killed writers left behind: we hold the lock, so no such file is in use."""
        with self._guarded():
            kept = {self._file(*row) for row in self._db.execute("SELECT file FROM feature")}
        for folder in self._features.glob("[0-9a-f][0-9a-f]"):
            remove_leftovers(folder)
            for file in folder.iterdir():
                if file not in kept and _FEATURE_FILE.fullmatch(file.name):
                    file.unlink()

    def _cannot_write(self, error: OSError) -> LibraryError:
        return LibraryError(
            f"{shown(self.folder)}: the library cannot be written ({error.strerror or error})",
            WRITABLE,
        )
