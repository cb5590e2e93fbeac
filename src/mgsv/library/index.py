"""Bringing a library up to date with the music on disk: as little reading as possible, on all
cores.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mgsv.errors import (
    LibraryError,
    WorkerLost,
    reason_of,
    shown,
)
from mgsv.jobs import Executor, Listener, Outcome, Progress, Threads
from mgsv.library.analysis import (
    Analyse,
    Analysis,
    Reading,
    one_torch_thread_each,
    read_credits,
)
from mgsv.library.credits import Credits
from mgsv.library.features import ANALYSIS, content_hash
from mgsv.library.store import UNSETTLED, Held, Place, Store
from mgsv.library.update import INDEXING, VIDEO, Update
from mgsv.library.walk import Found, by_ending, find_music, listed
from mgsv.media.extensions import MUSIC_EXTENSIONS

_log = logging.getLogger(__name__)


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
        update = Update(self._store, self._encoder, self._progress, now, retry)
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
        self._credit(found)
        report = self._report(found, roots, changed, update, others)
        if not (
            report.added or report.updated or report.unchanged or report.moved or report.failed
        ):
            raise _no_music(roots, report.ignored)
        return report

    def _read(self, items: list[Found], roots: list[bytes], update: Update) -> None:
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

    def _credit(self, found: list[Found]) -> None:
        """Read what the files of an earlier version's tracks say of themselves; no decoding."""
        missing = set(self._store.uncredited())
        if not missing:
            return
        known = self._store.places(item.path for item in found)
        held = {item.path: place.track for item in found if (place := known.get(item.path))}
        items = [item for item in found if held.get(item.path) in missing]
        credits: dict[str, Credits] = {}
        with contextlib.closing(self._executor.map(read_credits, items)) as outcomes:
            for outcome in outcomes:
                track = held[outcome.item.path]
                if track is not None and outcome.error is None:
                    credits[track] = outcome.result()
        # They are no reason to fail where the library can only be read, or is in use.
        with contextlib.suppress(LibraryError), self._store.writing(0, lambda _: None):
            self._store.put_credits(credits)

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
        update: Update,
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
