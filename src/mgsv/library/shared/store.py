"""The `Store` that several machines share: PostgreSQL for the catalogue and what models make of
tracks, and an object per track and encoder for the features.

Order of writing: the whole object, under a name that no other content has, then the row; in
removing, the row first. So a row never points at an object that is not whole. Objects that a killed
writer left behind are removed by `mgsv library check --repair`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import platformdirs

from mgsv.errors import LibraryError
from mgsv.library import features
from mgsv.library.catalogue import feature_file
from mgsv.library.credits import Credits
from mgsv.library.features import LATER, Arrays, TrackRecord
from mgsv.library.shared.address import parse_address
from mgsv.library.shared.database import LOCK, Database
from mgsv.library.shared.objects import Objects
from mgsv.library.shared.uses import SharedUses
from mgsv.library.store import Place
from mgsv.library.walk import bounds_inside

_RECORDS = """
SELECT t.id, t.duration, t.tempo, f.tags, f.analysis, t.credits, t.brightness
FROM mgsv.track AS t JOIN mgsv.feature AS f ON f.track = t.id"""
_PLACES = "SELECT path, size, mtime_ns, track, problem FROM mgsv.place"
_MEANS = """
SELECT track, mean FROM mgsv.feature WHERE encoder = %s AND track > %s ORDER BY track LIMIT 4096"""
_REVISIONS = """
SELECT track, digest FROM mgsv.feature WHERE encoder = %s AND track > %s
ORDER BY track LIMIT 4096"""
_EMBEDDINGS = """
SELECT track, array_agg(vector ORDER BY part) FROM mgsv.embedding
WHERE model = %s AND track > %s GROUP BY track ORDER BY track LIMIT 4096"""
_UNHELD = """
FROM mgsv.track AS t WHERE t.id = ANY(%s)
AND NOT EXISTS (SELECT 1 FROM mgsv.place AS p WHERE p.track = t.id)"""
_OBJECTS_OF_UNHELD = f"SELECT object FROM mgsv.feature WHERE track IN (SELECT t.id {_UNHELD})"  # noqa: S608
_WAIT = 60.0
_POLL = 0.1


class SharedStore:
    """A `Store` at an address such as `postgresql://USER@HOST/DATABASE?features=s3://BUCKET`."""

    def __init__(self, place: str, *, repair: bool = False) -> None:
        """repair: remove objects that no row names. Raises `LibraryError` where the database or
        the place of the features cannot be used.
        """
        self._address = parse_address(place)
        self._encoders: tuple[object, list[str]] | None = None  # and when they were counted
        self._database = Database(self._address)
        try:
            self._objects = Objects(self._address.features)
            self._objects.claim(self._database.library, new=self._database.is_new)
            if repair:
                with self.writing(_WAIT, lambda _: None):
                    self._remove_orphans()
        except BaseException:
            self._database.close()
            raise
        self.uses = SharedUses(self._database)

    @property
    def encoders(self) -> list[str]:
        version = self.version
        if self._encoders is None or self._encoders[0] != version:
            rows = self._database.rows(
                "SELECT encoder FROM mgsv.feature GROUP BY encoder"
                ' ORDER BY count(*) DESC, encoder COLLATE "C"'
            )
            self._encoders = version, [row[0] for row in rows]
        return list(self._encoders[1])

    @property
    def version(self) -> object:
        return self._database.rows("SELECT version FROM mgsv.state")[0][0]

    @contextlib.contextmanager
    def writing(self, wait: float, tell: Callable[[str], None]) -> Iterator[None]:
        """The lock is the server's, which drops it when its holder's connection ends."""
        end = time.monotonic() + wait
        notified = False
        while not self._database.rows("SELECT pg_try_advisory_lock(%s)", (LOCK,))[0][0]:
            holder = self._holder()
            if time.monotonic() >= end:
                raise LibraryError(
                    f"{self._address}: {holder} is writing this library",
                    "try again when it has finished",
                )
            if not notified:
                tell(f"waiting for {holder}, which is writing this library")
                notified = True
            time.sleep(_POLL)
        try:
            yield
        finally:
            with contextlib.suppress(LibraryError):  # a lost connection has dropped it
                self._database.rows("SELECT pg_advisory_unlock(%s)", (LOCK,))

    def places(self, under: Iterable[bytes] | None = None) -> dict[bytes, Place]:
        if under is None:
            rows = self._database.rows(_PLACES)
        else:
            rows = []
            for root in under:
                rows += self._database.rows(
                    f"{_PLACES} WHERE path = %s OR (path > %s AND path < %s)",
                    (root, *bounds_inside(root)),
                )
        return {row[0]: Place(*row) for row in sorted(rows)}

    def each_place(self, under: Iterable[bytes] | None = None) -> Iterator[Place]:
        inside = " AND (path = %s OR (path > %s AND path < %s))"
        for root in [None] if under is None else sorted(under):
            where = "" if root is None else inside
            values = () if root is None else (root, *bounds_inside(root))
            query = f"{_PLACES} WHERE path > %s{where} ORDER BY path LIMIT 4096"
            last = b""
            while rows := self._database.rows(query, (last, *values)):
                yield from map(Place._make, rows)
                last = rows[-1][0]

    def places_of(self, track: str) -> list[Place]:
        rows = self._database.rows(f"{_PLACES} WHERE track = %s ORDER BY path", (track,))
        return [Place(*row) for row in rows]

    def records(self, encoder: str) -> Iterator[TrackRecord]:
        query = f"{_RECORDS} WHERE f.encoder = %s AND t.id > %s ORDER BY t.id LIMIT 4096"
        for rows in self._chunks(query, encoder):
            yield from map(TrackRecord.of_row, rows)

    def record(self, track: str, encoder: str) -> TrackRecord | None:
        query = f"{_RECORDS} WHERE f.encoder = %s AND f.track = %s"
        return next(map(TrackRecord.of_row, self._database.rows(query, (encoder, track))), None)

    def holds(self, track: str, encoder: str, analysis: int = 0) -> bool:
        rows = self._database.rows(
            "SELECT 1 FROM mgsv.feature WHERE encoder = %s AND track = %s AND analysis >= %s",
            (encoder, track, analysis),
        )
        return bool(rows)

    def uncredited(self) -> list[str]:
        rows = self._database.rows("SELECT id FROM mgsv.track WHERE credits IS NULL ORDER BY id")
        return [row[0] for row in rows]

    def put_credits(self, credits: Mapping[str, Credits]) -> None:
        with self._database.transaction():
            self._database.execute_many(
                "UPDATE mgsv.track SET credits = %s WHERE id = %s",
                [(one.as_json(), track) for track, one in credits.items()],
            )

    def read(self, track: str, encoder: str, names: tuple[str, ...]) -> Arrays:
        rows = self._database.rows(
            "SELECT object FROM mgsv.feature WHERE encoder = %s AND track = %s", (encoder, track)
        )
        # Without a row the object is missing too, and the error names it.
        held = rows[0][0] if rows else feature_file(track, encoder)
        found, _, arrays = features.unpack_features(
            self._objects.get(held), self._objects.shown(held)
        )
        if found.id != track:
            raise features.damaged(self._objects.shown(held), "it belongs to another track")
        return {name: arrays[name] for name in names if name in arrays or name not in LATER}

    def means(self, encoder: str) -> Iterator[tuple[list[str], npt.NDArray[np.float32]]]:
        for rows in self._chunks(_MEANS, encoder):
            yield [row[0] for row in rows], np.stack([_floats(row[1]) for row in rows])

    @property
    def derived(self) -> Path:
        """Each machine derives for itself, in the user's cache."""
        name = hashlib.blake2b(self._database.library.encode(), digest_size=8).hexdigest()
        return platformdirs.user_cache_path("mgsv") / f"shared-{name}"

    def revisions(self, encoder: str) -> Iterator[tuple[str, str]]:
        for rows in self._chunks(_REVISIONS, encoder):
            yield from rows

    def embeddings(self, model: str) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
        for rows in self._chunks(_EMBEDDINGS, model):
            for track, vectors in rows:
                yield track, np.stack([_floats(vector) for vector in vectors])

    def put_embeddings(self, model: str, vectors: Mapping[str, npt.NDArray[np.float32]]) -> None:
        with self._database.transaction():
            self._database.execute(
                "DELETE FROM mgsv.embedding WHERE model = %s AND track = ANY(%s)",
                (model, list(vectors)),
            )
            self._database.execute_many(
                "INSERT INTO mgsv.embedding VALUES (%s, %s, %s, %s)",
                [
                    (model, track, part, row.astype(np.float32))
                    for track, rows in vectors.items()
                    for part, row in enumerate(rows)
                ],
            )

    def drop_embeddings(self, model: str) -> int:
        with self._database.transaction():
            ((count,),) = self._database.rows(
                "WITH gone AS (DELETE FROM mgsv.embedding WHERE model = %s RETURNING track)"
                " SELECT count(DISTINCT track) FROM gone",
                (model,),
            )
        return int(count)

    def verify(self) -> Iterator[tuple[str, str]]:
        noted = self._database.rows(
            "SELECT object, digest, track, encoder FROM mgsv.feature ORDER BY track, encoder"
        )
        for name, *row in noted:
            try:
                data = self._objects.get(name)
                record, encoder, _ = features.unpack_features(data, self._objects.shown(name))
            except LibraryError as error:
                yield row[1], error.problem
                continue
            same = [features.digest(data), record.id, encoder] == row
            yield row[1], "" if same else f"{self._objects.shown(name)}: not what was written there"

    def put(self, record: TrackRecord, encoder: str, arrays: Arrays) -> None:
        data = features.pack_features(record, encoder, arrays)
        digest = features.digest(data)
        credits = None if record.credits is None else record.credits.as_json()
        name = feature_file(record.id, encoder).replace(".safetensors", f".{digest}.safetensors")
        before = self._database.rows(
            "SELECT object FROM mgsv.feature WHERE encoder = %s AND track = %s AND object <> %s",
            (encoder, record.id, name),
        )
        self._objects.put(name, data)
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO mgsv.track VALUES (%s, %s, %s, %s, %s) ON CONFLICT (id) DO UPDATE"
                " SET duration = excluded.duration, tempo = excluded.tempo,"
                " credits = coalesce(excluded.credits, mgsv.track.credits),"
                " brightness = coalesce(excluded.brightness, mgsv.track.brightness)",
                (record.id, record.duration, record.tempo, credits, record.brightness),
            )
            self._database.execute(
                "INSERT INTO mgsv.feature VALUES (%s, %s, %s, %s, %s, %s, %s)"
                " ON CONFLICT (encoder, track) DO UPDATE SET object = excluded.object,"
                " tags = excluded.tags, digest = excluded.digest, mean = excluded.mean,"
                " analysis = excluded.analysis",
                (
                    encoder,
                    record.id,
                    name,
                    json.dumps(dict(record.tags)),
                    digest,
                    features.mean_segment(arrays),
                    record.analysis,
                ),
            )
        self._objects.delete(row[0] for row in before)

    def place(self, place: Place) -> None:
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO mgsv.place VALUES (%s, %s, %s, %s, %s) ON CONFLICT (path) DO UPDATE"
                " SET size = excluded.size, mtime_ns = excluded.mtime_ns, track = excluded.track,"
                " problem = excluded.problem",
                place,
            )

    def drop_places(self, paths: Iterable[bytes]) -> None:
        if gone := list(paths):
            with self._database.transaction():
                self._database.execute("DELETE FROM mgsv.place WHERE path = ANY(%s)", (gone,))

    def drop_tracks(self, tracks: Iterable[str]) -> int:
        if not (asked := list(tracks)):
            return 0
        with self._database.transaction():
            held = self._database.rows(_OBJECTS_OF_UNHELD, (asked,))
            dropped = self._database.execute(f"DELETE {_UNHELD}", (asked,))
        # After the commit: a row must never outlive its object.
        self._objects.delete(row[0] for row in held)
        return dropped

    def close(self) -> None:
        self._database.close()

    def _chunks(self, query: str, of: str) -> Iterator[list[Any]]:
        """The rows of `query`, whose parameters are `of` and the last track seen."""
        last = ""
        while rows := self._database.rows(query, (of, last)):
            yield rows
            last = rows[-1][0]

    def _holder(self) -> str:
        rows = self._database.rows(
            "SELECT a.application_name FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)"
            " WHERE l.locktype = 'advisory' AND l.granted AND l.objid = %s"
            " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            (LOCK,),
        )
        return rows[0][0].replace("mgsv", "process", 1) if rows else "another process"

    def _remove_orphans(self) -> None:
        """Remove what killed writers left behind: we hold the lock, so no such object is in use."""
        kept = {row[0] for row in self._database.rows("SELECT object FROM mgsv.feature")}
        self._objects.delete([name for name in self._objects.names() if name not in kept])


def _floats(vector: Any) -> npt.NDArray[np.float32]:
    """A vector as pgvector's loader gives it."""
    plain = vector.to_numpy() if hasattr(vector, "to_numpy") else vector
    return np.asarray(plain, np.float32)
