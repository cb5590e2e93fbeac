"""Bringing a library up to date with the music on disk: as little reading as possible, on all
cores.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mgsv.errors import (
    LibraryError,
    MediaError,
    NoDecoder,
    WorkerLost,
    reason_of,
    shown,
)
from mgsv.jobs import Executor, Listener, Outcome, Progress, Threads
from mgsv.library.analysis import Analyse, Analysed, Analysis, Reading, one_torch_thread_each
from mgsv.library.features import ANALYSIS, ENCODED, content_hash
from mgsv.library.store import UNSETTLED, Held, Place, Store
from mgsv.library.walk import Found, by_ending, find_music, listed
from mgsv.media.extensions import MUSIC_EXTENSIONS

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


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What adding music found and did."""

    added: int = 0
    """Tracks decoded and encoded."""
    updated: int = 0
    """Tracks of an earlier version whose beats and bars were found anew."""
    unchanged: int = 0
    """Files with the path, size and time of change they had before (not read), or the same
    content.
    """
    moved: int = 0
    """Files whose content was known, renamed or a further copy: read, but not decoded."""
    failed: tuple[tuple[Path, str], ...] = ()
    """Files and folders that could not be indexed, each with the reason, in order of path."""
    ignored: Mapping[str, int] = field(default_factory=dict)
    """How many files in the folders were not taken for music, being videos or of other endings: by
    ending (lower case, no dot, "" = none). Hidden files, covers, lists and notes do not count.
    """
    warnings: tuple[tuple[Path, str], ...] = ()
    """Files that were added although something is wrong with them."""
    seconds: float = 0.0
    """Seconds of audio in `added` and `updated`."""


def outdated_note(count: int, of: int) -> str:
    """That `count` of `of` tracks are `Track.outdated`, and the remedy, in a line."""
    return (
        f"{count} of {of} tracks were analysed by an earlier version; "
        "`mgsv library add FOLDER` finds their beats and bars anew"
    )


class Indexer:
    """Adds music files to a store."""

    def __init__(
        self,
        store: Store,
        encoder: str,
        analyse: Analyse,
        *,
        executor: Executor | None = None,
        wait: float = 60.0,
        progress: Listener | None = None,
    ) -> None:
        """
        encoder: fingerprint of the encoder in `analyse`, which `executor` calls (None = a thread
        per core that this process may use). wait: seconds to wait for another writer.
        """
        self._store = store
        self._encoder = encoder
        self._analyse = analyse
        self._executor = executor or Threads()
        self._wait = wait
        self._progress = progress or (lambda _: None)

    def add(self, roots: list[bytes], *, retry: bool = False) -> IndexReport:
        """Index what is new or changed at and under the absolute paths `roots`.

        Files that are no readable music are remembered, and read again only when they change or
        with `retry`, which also finds beats and bars anew that an earlier version found. A bad file
        does not stop the others. Each track is kept as soon as it is done.

        Raises `LibraryError` if a root cannot be read or all of them together hold no music, and
        if the store cannot be written; what was kept until then stays.
        """
        others: set[bytes] = set()
        now = time.time_ns()
        found = list(find_music(roots, others))
        if not found:
            raise _no_music(roots, by_ending(others))
        update = _Update(self._store, self._encoder, self._progress, now, retry)
        changed, _ = self._changed(found, roots, retry)
        if changed:
            with self._store.writing(self._wait, self._tell):
                # Checked again: the writer that we may have waited for can have done the work.
                changed, same = self._changed(found, roots, retry)
                update.start(changed, same)
                waiting = changed
                while waiting:
                    self._read(waiting, roots, update)
                    waiting = update.take_again()
                update.finish()
        report = self._report(found, roots, changed, update, others)
        if not (
            report.added or report.updated or report.unchanged or report.moved or report.failed
        ):
            raise _no_music(roots, report.ignored)
        return report

    def _read(self, items: list[Found], roots: list[bytes], update: _Update) -> None:
        known = Held(self._store, self._encoder, ANALYSIS if update.anew else 0)
        encoded = Held(self._store, self._encoder, but=update.unreadable)
        analysis = Analysis(self._analyse, known, encoded)
        outcomes = self._executor.map(analysis, items)
        with one_torch_thread_each(), contextlib.closing(outcomes):
            for outcome in outcomes:
                reading = _read(outcome)
                update.settle(outcome.item, reading)
                if isinstance(reading.error, OSError):
                    _require_there(roots, update.added)

    def _changed(
        self, found: list[Found], roots: list[bytes], retry: bool
    ) -> tuple[list[Found], list[tuple[Found, str]]]:
        """What is new or changed, and the files, with their tracks, that only their content
        shows to be the same.
        """
        known = self._store.places(roots)
        changed, same = [], []
        for item in found:
            place = known.get(item.path)
            if item.problem:
                continue
            if (
                place is None
                or place.size != item.size
                or (place.track is not None and not self._holds(place.track, anew=retry))
            ):
                changed.append(item)
            elif place.track is not None and place.mtime_ns == UNSETTLED:
                if _holds(item.path, place.track):
                    same.append((item, place.track))
                else:
                    changed.append(item)
            elif place.mtime_ns != item.mtime_ns or _tried_again(place, item, retry):
                changed.append(item)
        return changed, same

    def _holds(self, track: str, *, anew: bool) -> bool:
        return self._store.holds(track, self._encoder, ANALYSIS if anew else 0)

    def _report(
        self,
        found: list[Found],
        roots: list[bytes],
        changed: list[Found],
        update: _Update,
        others: set[bytes],
    ) -> IndexReport:
        known = self._store.places(roots)
        failed = dict(update.passing)
        for item in found:
            place = known.get(item.path)
            problem = item.problem or (place.problem if place else "")
            if problem == VIDEO:
                others.add(item.path)
            elif problem:
                failed[item.path] = problem
        settled = {item.path for item in changed} | failed.keys() | others
        return IndexReport(
            added=update.added,
            updated=update.updated,
            unchanged=sum(item.path not in settled for item in found) + update.touched,
            moved=update.moved,
            failed=tuple((Path(os.fsdecode(path)), failed[path]) for path in sorted(failed)),
            ignored=by_ending(others),
            warnings=tuple(update.warnings),
            seconds=update.seconds,
        )

    def _tell(self, note: str) -> None:
        _log.info(note)
        self._progress(Progress(INDEXING, 0, 0, note=note))


class _Update:
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


def _tried_again(place: Place, item: Found, retry: bool) -> bool:
    """Whether a file that had a problem is worth a try, although it has not changed."""
    if place.problem == VIDEO:
        return not item.may_be_video  # it is named itself now, for its sound
    return retry and bool(place.problem)


def _holds(path: bytes, track: str) -> bool:
    try:
        return content_hash(path) == track
    except OSError:  # reading it will raise, with the reason
        return False


def _read(outcome: Outcome[Found, Reading]) -> Reading:
    """What became of a file; raises what is no fault of the file's."""
    if isinstance(outcome.error, WorkerLost):
        return Reading("", error=outcome.error)
    return outcome.result()


def _require_there(roots: list[bytes], added: int) -> None:
    """Raises `LibraryError` where a root has gone: a drive may have been pulled out, and each of
    its files would only be one more failure.
    """
    for root in roots:
        path = os.fsdecode(root)
        try:
            os.stat(root)  # noqa: PTH116 (bytes)
        except OSError as error:
            raise LibraryError(
                f"{shown(path)}: it went away while it was read ({reason_of(error, path)}); "
                f"{added} tracks were added",
                "make it available and run the command again, which goes on",
            ) from error


def _no_music(roots: list[bytes], ignored: Mapping[str, int]) -> LibraryError:
    names = ", ".join(shown(os.fsdecode(root)) for root in roots)
    only = f", only {listed(ignored)}" if ignored else ""
    endings = " ".join(sorted(MUSIC_EXTENSIONS))
    return LibraryError(
        f"{names}: no music files in here{only}",
        f"name a file itself to use its sound, or put music in; these endings count: {endings}",
    )
