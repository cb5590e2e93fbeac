"""A studio: the session, the clips and the jobs behind the requests."""

from __future__ import annotations

import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from mgsv.errors import LibraryError
from mgsv.grounding import Session
from mgsv.jobs import Progress
from mgsv.library import Library, Track
from mgsv.media.video import CURVE_RATE
from mgsv.methods.base import Query
from mgsv.studio.clips import Clips, QueuedClip
from mgsv.studio.folders import Folders
from mgsv.studio.jobs import EVERYONE, Board, StudioJob
from mgsv.studio.options import StudioOptions
from mgsv.studio.problems import Naming, Refusal
from mgsv.studio.store import DocumentStore

T = TypeVar("T")

KEPT_QUERIES = 64
"""Clips whose features stay in memory, some 100 kB each."""
KEPT_PREVIEWS = 48 << 20
"""Bytes of sound and pictures that stay in memory."""


class OpenStudio:
    """What the routes share. `open` begins to read the library; `close` ends all work."""

    def __init__(self, options: StudioOptions) -> None:
        """Raises `ConfigError` where its folder cannot be used."""
        self.options = options
        self.store = DocumentStore(options.place / "queue.sqlite")
        self.folders = Folders(options.clips)
        self.results = options.place / "files" / "results"
        self.results.mkdir(parents=True, exist_ok=True)
        music = [path.expanduser().resolve() for path in options.music]
        self.naming = Naming([*self.folders.roots, *music], options.place / "files")
        self.clips = Clips(options, self.store, self.folders)
        self.board = Board(self.store, self.naming, options.most_jobs, self._forget)
        self.previews: Recent[bytes] = Recent(KEPT_PREVIEWS, len)
        self.sound_lock = threading.BoundedSemaphore(max(1, os.cpu_count() or 1))
        self._queries: Recent[Query] = Recent(KEPT_QUERIES, lambda _: 1)
        self._session: Session | None = None
        self._ready = threading.Event()
        self._tracks: tuple[object, dict[str, Track]] | None = None
        self._index: StudioJob | None = None

    def open(self) -> None:
        """Begin to index the music and to do what waits."""
        from mgsv.studio.work import works

        self.board.start(works(self), self.options.workers)
        self.index()

    def close(self) -> None:
        self.board.close()
        self._ready.set()
        if self._session is not None:
            self._session.library.close()
        self.store.close()

    def index(self) -> StudioJob:
        """The job that indexes what is new or changed in the music; one at a time."""
        if self._index is None or self._index.ended:
            self._index = self.board.add(EVERYONE, "", "index")
        return self._index

    def do_index(self, job: StudioJob) -> dict[str, Any]:
        """Open the session, or look for new music in the one that is open."""
        options, report = self.options, job.handle.report
        if self._session is None:
            if options.music:
                session = Session.open(
                    options.music, folder=options.library, method=options.method, progress=report
                )
            else:
                library = Library.open(folder=options.library)
                session = Session(library, method=options.method)
            self._session = session
            self._ready.set()
        elif options.music:
            self._session.library.add(list(options.music), progress=report)
        self._tracks = None  # files that are gone change nothing in the library
        failed = self._session.library.report.failed
        return {"notes": [self.naming(f"left out: {path}: {why}") for path, why in failed]}

    @property
    def index_job(self) -> StudioJob | None:
        """The last one."""
        return self._index

    @property
    def ready(self) -> bool:
        """Whether the music was read."""
        return self._session is not None

    @property
    def session(self) -> Session:
        """Raises `Refusal` while the music is still being read for the first time."""
        if self._session is None:
            raise Refusal(503, "the music is still being read", "try again", {"Retry-After": "2"})
        return self._session

    def wait_for_session(self, job: StudioJob) -> Session:
        """The session as soon as there is one; ends with the job."""
        while self._session is None:
            job.handle.report(Progress("waiting for the music", 0))
            if self._index is not None and self._index.ended and self._session is None:
                why = (self._index.problem or {}).get("detail", "reading the music was cancelled")
                raise LibraryError(f"there is no music: {why}", "mend that, and read it again")
            self._ready.wait(0.2)
        return self._session

    def tracks(self) -> dict[str, Track]:
        """The tracks in view by their ids."""
        library = self.session.library
        version = library.version
        if self._tracks is None or self._tracks[0] != version:
            self._tracks = version, {track.id: track for track in library.tracks()}
        return self._tracks[1]

    def track(self, id: str) -> Track:
        """Raises `Refusal` where there is no such track."""
        found = self.tracks().get(id)
        if found is None:
            raise Refusal(404, "there is no such track", "see GET /tracks")
        return found

    def known_track(self, id: str) -> Track | None:
        """None where it is not in view, or not known yet."""
        return self.tracks().get(id) if self._session is not None else None

    def query(self, clip: QueuedClip, job: StudioJob | None = None) -> Query:
        """The clip as the session's method sees it, read at most once while it is kept."""
        session = self.session if job is None else self.wait_for_session(job)
        path = self.clips.file(clip)
        listener = None if job is None else job.handle.report

        def read() -> Query:
            query = session.read(path, listener)
            self.store.put("picture", clip.id, _picture(query))
            return query

        return self._queries.get(clip.id, read)

    def picture(self, clip: QueuedClip) -> dict[str, Any]:
        """What the clip's picture does over time, kept from when it was read."""
        known = self.store.get("picture", clip.id)
        return known or _picture(self.query(clip))

    def remove(self, clip: QueuedClip) -> None:
        """Take a clip out of the queue, with what was written of it."""
        self.board.cancel_of(clip.id)
        for job in self.board.of(clip.workspace, clip.id):
            shutil.rmtree(self.results / job.id, ignore_errors=True)
        self.store.drop("picture", clip.id)
        self.clips.remove(clip)

    def _forget(self, job: StudioJob) -> None:
        shutil.rmtree(self.results / job.id, ignore_errors=True)

    def folder_of(self, job: StudioJob) -> Path:
        """A new folder for what the job writes."""
        folder = self.results / job.id
        folder.mkdir(exist_ok=True)
        return folder


def _picture(query: Query) -> dict[str, Any]:
    curves = query.curves
    return {
        "duration": curves.duration,
        "cuts": [round(float(time), 3) for time in curves.cuts],
        "motion": [round(float(level), 4) for level in curves.motion],
        "motion_rate": CURVE_RATE,
    }


class Recent(Generic[T]):
    """Values that stay in memory until `room` is used up; the one used longest ago goes first.

    Two threads that want the same one make it once.
    """

    def __init__(self, room: int, size: Callable[[T], int]) -> None:
        self._room, self._size = room, size
        self._values: OrderedDict[str, T] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[str, threading.Lock] = {}

    def get(self, key: str, make: Callable[[], T]) -> T:
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        try:
            with making:
                with self._lock:
                    if key in self._values:
                        self._values.move_to_end(key)
                        return self._values[key]
                value = make()
                with self._lock:
                    self._values[key] = value
                    while sum(map(self._size, self._values.values())) > self._room:
                        self._values.popitem(last=False)
                return value
        finally:
            with self._lock:
                self._making.pop(key, None)
