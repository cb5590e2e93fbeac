"""What became of files that are read to bring a library up to date."""

from __future__ import annotations

import contextlib
import logging
import os
from dataclasses import replace
from pathlib import Path

from mgsv.errors import LibraryError, MediaError, NoDecoder, WorkerLost, reason_of
from mgsv.jobs import Listener, Progress
from mgsv.library.analysis import Analysed, Reading
from mgsv.library.features import ENCODED
from mgsv.library.store import UNSETTLED, Place, Store
from mgsv.library.walk import Found

_log = logging.getLogger(__name__)

INDEXING = "indexing"
"""`Progress.what` of each step: files that are new or changed, those unread are not counted."""

VIDEO = "it is a video"
"""The problem of files that were found among music, and have a moving picture."""

_PASSING = (NoDecoder, WorkerLost, OSError, MemoryError, RuntimeError)
"""Errors that need not be the file's fault: the disk's, the network's, and the encoder's
(`RuntimeError`, when memory is short). Anything else would only be the same again.
"""

_TICK = 2.0
"""Seconds, the coarsest step of a file system's clock (FAT's): a file that is not older may change
and have the same time.
"""


class Update:
    """What became of the changed files so far. Each is written to the store as soon as it is
    known.
    """

    def __init__(
        self, store: Store, encoder: str, progress: Listener, now: int, anew: bool
    ) -> None:
        """
        now: nanoseconds by the wall clock, before any file was looked at. anew: whether what an
        earlier version analysed counts as not stored.
        """
        self._store = store
        self._now = now
        self._encoder = encoder
        self._progress = progress
        self._total = self._done = 0
        self._before: dict[bytes, str] = {}
        self._copies: list[tuple[Found, str]] = []
        self._failed: dict[str, str] = {}  # track → why it could not be indexed
        self.anew = anew
        self._again: list[Found] = []
        self._put: set[str] = set()
        self.unreadable: set[str] = set()  # what is kept of these by the encoder
        self.added = self.updated = self.moved = self.touched = 0
        self.seconds = 0.0
        self.passing: dict[bytes, str] = {}  # failures that need not be the file's fault
        self.warnings: list[tuple[Path, str]] = []

    def start(self, changed: list[Found], same: list[tuple[Found, str]]) -> None:
        for item, track in same:
            self._note(item, track)
        self._total = len(changed)
        known = self._store.places(item.path for item in changed)
        self._before = {path: place.track for path, place in known.items() if place.track}
        self._progress(Progress(INDEXING, 0, self._total))

    def take_again(self) -> list[Found]:
        """The files that have to be read once more."""
        again, self._again = self._again, []
        return again

    def _outdated(self, track: str) -> bool:
        """Whether it is to be analysed anew, and something is kept of it."""
        return self.anew and self._store.holds(track, self._encoder)

    def settle(self, item: Found, reading: Reading) -> None:
        if reading.is_video:
            self._store.place(Place(item.path, item.size, item.mtime_ns, None, VIDEO))
            self._step(item)
        elif reading.error is not None:
            self._fail(item, reading.track, reading.error)
        elif reading.analysed is not None and reading.track not in self._put:
            analysed = self._completed(reading.analysed)
            if analysed is None:
                self._again.append(item)
                return
            record = analysed.record
            known = self._store.holds(record.id, self._encoder)
            try:
                self._store.put(record, self._encoder, analysed.arrays)
            except ValueError as error:
                self._fail(item, reading.track, error)
                return
            self._put.add(record.id)
            if known:
                self.updated += 1
            else:
                self.added += 1
            self.seconds += record.duration
            for warning in reading.analysed.warnings:
                self.warnings.append((Path(os.fsdecode(item.path)), warning))
            self._keep(item, record.id)
        elif self._store.holds(reading.track, self._encoder):
            self._copy(item, reading.track)
        else:  # its twin is still in another thread's hands
            self._copies.append((item, reading.track))

    def _completed(self, analysed: Analysed) -> Analysed | None:
        """With the encoder's features that stay. None where these cannot be read: then they are
        made again.
        """
        if analysed.arrays.keys() >= set(ENCODED):
            return analysed
        track = analysed.record.id
        with contextlib.suppress(LibraryError):
            encoded = self._store.read(track, self._encoder, ENCODED)
            if kept := self._store.record(track, self._encoder):
                record = replace(analysed.record, tags=kept.tags)
                return replace(analysed, record=record, arrays={**analysed.arrays, **encoded})
        self.unreadable.add(track)
        return None

    def finish(self) -> None:
        for item, track in self._copies:
            if self._store.holds(track, self._encoder):
                self._copy(item, track)
            else:
                why = self._failed.get(track, "the worker that read the same content was lost")
                self.passing[item.path] = why
                self._step(item, why)
        # Content that was replaced and is nowhere else now cannot come back.
        self._store.drop_tracks(set(self._before.values()))

    def _copy(self, item: Found, track: str) -> None:
        """Known content under a new name: where the old name is gone, the file has moved."""
        gone = [p.path for p in self._store.places_of(track) if not os.path.lexists(p.path)]
        self._keep(item, track)
        self._store.drop_places(path for path in gone if path != item.path)
        if self._before.get(item.path) == track:
            self.touched += 1
        else:
            self.moved += 1

    def _keep(self, item: Found, track: str) -> None:
        self._note(item, track)
        self._step(item)

    def _note(self, item: Found, track: str) -> None:
        # A time in the future is as good as any other: it is only ever compared with itself.
        settled = abs(self._now - item.mtime_ns) > _TICK * 1e9
        mtime = item.mtime_ns if settled else UNSETTLED
        self._store.place(Place(item.path, item.size, mtime, track))

    def _fail(self, item: Found, track: str, error: Exception) -> None:
        problem = reason_of(error, os.fsdecode(item.path))
        self._failed[track] = problem
        if isinstance(error, _PASSING) or self._outdated(track):  # what was known still serves
            self.passing[item.path] = problem
        else:
            self._store.place(Place(item.path, item.size, item.mtime_ns, None, problem))
        if not isinstance(error, MediaError):
            _log.debug("%s could not be indexed", item.path, exc_info=error)
        self._step(item, problem)

    def _step(self, item: Found, note: str = "") -> None:
        self._done += 1
        path = Path(os.fsdecode(item.path))
        step = Progress(INDEXING, self._done, self._total, path, note, self.seconds)
        self._progress(step)
