"""What a library remembers of its tracks' uses: learning, editing, exporting, forgetting."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mgsv.data.annotations import TOLERANCE, Row, write_annotations
from mgsv.data.stream import stream_annotations
from mgsv.errors import ConfigError, LibraryError, shown
from mgsv.files import new_text, refuse_existing
from mgsv.jobs import Listener, Progress
from mgsv.library.features import TrackRecord
from mgsv.library.store import Store
from mgsv.library.walk import plain
from mgsv.memory.use import Use, packed_cuts

PathLike = str | os.PathLike[str]

SHOWN = 20
"""Lines that were left out which a report names; the others are counted."""

SAME = 0.05
"""Seconds by which two accounts of one use may differ."""

REASONS = {
    "broken line": "it cannot be read as a row",
    "unknown track": "no track of the library has this id, path or file name",
    "ambiguous track": "several tracks of the library have this file name",
    "outside the track": "the moment does not lie on the track",
    "duplicate": "the use is known already",
    "contradiction": "the same part of this video is known to use another moment",
}
"""Why a use is not learned."""


@dataclass(frozen=True)
class LeftOut:
    """A line that was not learned."""

    line: int
    reason: str
    """A key of `REASONS`."""
    text: str


@dataclass(frozen=True)
class LearnReport:
    """What learning a file of uses did."""

    rows: int
    """Lines that hold something."""
    learned: int
    left_out: Mapping[str, int]
    """Reason → lines."""
    shown: tuple[LeftOut, ...]
    """The first of them."""


class LibraryUses:
    """The uses in a library. Nothing gets in unless one of these methods is called."""

    def __init__(self, store: Store, wait: float) -> None:
        self._store, self._wait = store, wait

    def all(self) -> list[tuple[int, Use]]:
        """(number, use) of all that is remembered, track by track."""
        return list(self._store.uses.all())

    def path(self, track: str) -> Path | None:
        """Where the track of a use lies, if it is still in the library."""
        places = self._store.places_of(track)
        return Path(os.fsdecode(places[0].path)) if places else None

    def track_at(self, path: PathLike) -> str | None:
        """The id of the track at `path`, if the library holds it."""
        place = self._store.places([plain(path)]).get(plain(path))
        return None if place is None else place.track

    def learn(
        self,
        path: PathLike,
        *,
        rejects: PathLike | None = None,
        progress: Listener | None = None,
    ) -> LearnReport:
        """Remember the uses in a CSV of MGSV-EC's columns, with or without `confidence` and `cuts`.

        A row's track is the library's track with its `music_id`, else the one at its `music_path`,
        else the only one of that file name. What is left out is counted by reason, and every such
        line written to the new CSV `rejects`. All rows are learned or, after an error, none.
        progress: called now and then, with the lines read so far. Memory does not grow with the
        file. Raises DataError for a file that is no such CSV.
        """
        tracks = _TrackIndex(self._store)
        counts: Counter[str] = Counter()
        first: list[LeftOut] = []
        rows = 0
        if rejects is not None:
            refuse_existing(rejects)
        with ExitStack() as held:
            held.enter_context(self._writing())
            # Inside, so that nothing is learned where the rejects cannot be written.
            note = held.enter_context(_rejects(rejects)) if rejects is not None else None
            for line in stream_annotations(path):
                rows += 1
                if progress is not None and rows % 1000 == 0:
                    progress(Progress("lines", line.number))
                if line.row is None:
                    refused = LeftOut(line.number, "broken line", str(line.problem))
                else:
                    use = _use(line.row, line.confidence, line.cuts)
                    found = self._learn(use, line.row, tracks)
                    if found is None:
                        continue
                    refused = LeftOut(line.number, *found)
                counts[refused.reason] += 1
                if len(first) < SHOWN:
                    first.append(refused)
                if note is not None:
                    note((refused.line, refused.reason, refused.text))
        left_out = {reason: counts[reason] for reason in REASONS if counts[reason]}
        return LearnReport(rows, rows - sum(counts.values()), left_out, tuple(first))

    def accept(self, use: Use) -> bool:
        """Remember a use that a person chose; it takes the place of what was known of the same part
        of its video. False where exactly this is known already.

        Raises LibraryError where the library does not hold the track.
        """
        encoders = self._store.encoders
        known = (self._store.record(use.track, encoder) for encoder in encoders)
        record = next(filter(None, known), None)
        if record is None:
            raise LibraryError("the track is not in the library", "add it with `mgsv library add`")
        use = replace(use, track_seconds=record.duration)
        with self._writing():
            overlapping = list(self._overlapping(use))
            if any(_same(use, other) and not other.before_reset for _, other in overlapping):
                return False
            self._store.uses.drop(id for id, _ in overlapping)
            self._store.uses.add(use)
        return True

    def edit(
        self,
        id: int,
        *,
        start: float | None = None,
        end: float | None = None,
        category: str | None = None,
    ) -> Use:
        """Change what is remembered under a number; the use as it is then.

        Raises LibraryError for an unknown number, ConfigError for a moment off the track.
        """
        changes: dict[str, Any] = {"start": start, "end": end, "category": category}
        with self._writing():
            use = self._store.uses.get(id)
            if use is None:
                raise _unknown(id)
            use = replace(use, **{name: v for name, v in changes.items() if v is not None})
            if problem := _outside(use, use.track_seconds):
                raise ConfigError(f"`start`, `end`: {problem}", "choose a moment on the track")
            self._store.uses.replace(id, use)
        return use

    def reset_habits(self) -> int:
        """Let no habit be learned from the uses that are known now; from how many that was.

        The uses stay, and are still evidence for where on their own tracks moments start.
        """
        with self._writing():
            counting = [(id, use) for id, use in self._store.uses.all() if not use.before_reset]
            for id, use in counting:
                self._store.uses.replace(id, replace(use, before_reset=True))
        return len(counting)

    def forget(self, ids: Iterable[int] | None = None, *, track: PathLike | None = None) -> int:
        """Delete uses for good: by number, all of a track (a path or an id), or with neither
        every one; how many. Afterwards the library's files hold nothing of them.

        Raises LibraryError for a number or track that is not known, and where another process
        still reads, which delays the cleaning.
        """
        if track is not None:
            ids = self._of_track(track)
        with self._writing():
            known = {id for id, _ in self._store.uses.all()}
            asked = known if ids is None else set(ids)
            if unknown := sorted(asked - known):
                raise _unknown(unknown[0])
            dropped = self._store.uses.drop(asked)
        with self._store.writing(self._wait, lambda _: None):
            if not self._store.uses.compact():
                raise LibraryError(
                    f"{dropped} uses are forgotten, but another program still reads the library, "
                    "so its files hold traces of them",
                    "close it, then run `mgsv library uses forget --compact`",
                )
        return dropped

    def compact(self) -> None:
        """Clean the files of what was forgotten while another process was reading."""
        with self._store.writing(self._wait, lambda _: None):
            if not self._store.uses.compact():
                raise LibraryError("another program still reads the library", "close it first")

    def export(self, path: PathLike) -> int:
        """Write all uses to a new CSV in MGSV-EC's columns, which `learn` reads; how many rows.

        Features, cuts and confidences are not in it. Raises OutputError where the file exists or
        cannot be written.
        """
        refuse_existing(path)
        rows = [use.row(os.fspath(self.path(use.track) or ""), use.video) for _, use in self.all()]
        try:
            write_annotations(path, rows)
        except UnicodeEncodeError as error:
            raise ConfigError(f"{shown(path)}: cannot be written ({error})") from error
        return len(rows)

    def _writing(self) -> ExitStack:
        """The right to write, and one transaction."""
        with ExitStack() as held:
            held.enter_context(self._store.writing(self._wait, lambda _: None))
            held.enter_context(self._store.uses.transaction())
            return held.pop_all()

    def _learn(self, use: Use, row: Row, tracks: _TrackIndex) -> tuple[str, str] | None:
        """(reason, text) where the use is not remembered."""
        found = tracks.find(row)
        if isinstance(found, str):
            return found, f"{shown(row.music_id)}, {shown(row.music_path)}: {REASONS[found]}"
        use = replace(use, track=found.id, track_seconds=found.duration)
        if problem := _outside(use, found.duration):
            return "outside the track", problem
        for id, other in self._overlapping(use):
            kind = "duplicate" if _same(use, other) else "contradiction"
            return kind, f"video {shown(use.video)}: {REASONS[kind]} (use {id})"
        self._store.uses.add(use)
        return None

    def _overlapping(self, use: Use) -> Iterator[tuple[int, Use]]:
        """What is known of the same part of the video. A video whose music was cut has several
        uses, one after the other."""
        for id, other in self._store.uses.of_video(use.video):
            if min(use.video_end, other.video_end) - max(use.video_start, other.video_start) > SAME:
                yield id, other

    def _of_track(self, track: PathLike) -> list[int]:
        name = os.fspath(track)
        id = self.track_at(track) or name
        ids = [number for number, use in self._store.uses.all() if use.track == id]
        if not ids:
            raise LibraryError(
                f"`track` {shown(name)}: no use of it is known", "see `mgsv library uses list`"
            )
        return ids


class _TrackIndex:
    """The library's tracks as a file of uses may name them."""

    def __init__(self, store: Store) -> None:
        self._records = {
            record.id: record for encoder in store.encoders for record in store.records(encoder)
        }
        self._at: dict[bytes, str] = {}
        self._named: dict[bytes, set[str]] = {}
        for path, place in store.places().items():
            if place.track is not None:
                self._at[path] = place.track
                self._named.setdefault(os.path.basename(path), set()).add(place.track)  # noqa: PTH119 (bytes)

    def find(self, row: Row) -> TrackRecord | str:
        """The track, or a key of `REASONS`."""
        if row.music_id in self._records:
            return self._records[row.music_id]
        if not row.music_path or "\0" in row.music_path:
            return "unknown track"
        path = plain(row.music_path)
        if path in self._at:
            return self._records[self._at[path]]
        named = self._named.get(os.path.basename(path), set())  # noqa: PTH119 (bytes)
        if len(named) == 1:
            return self._records[next(iter(named))]
        return "ambiguous track" if named else "unknown track"


def _outside(use: Use, seconds: float) -> str:
    """What is wrong with where the moment lies, else ''."""
    if not 0 <= use.start < use.end:
        return f"{use.start:g} to {use.end:g} s is no moment"
    if use.end > seconds + TOLERANCE:
        return f"the moment ends at {use.end:g} s, the track at {seconds:g} s"
    return ""


def _use(row: Row, confidence: float, cuts: Sequence[float]) -> Use:
    """The use in a line. cuts: seconds of the video."""
    use = Use.of(row)
    after = [time - use.video_start for time in cuts]
    return replace(use, confidence=confidence, cuts=packed_cuts(after, use.video_seconds))


def _same(a: Use, b: Use) -> bool:
    return a.track == b.track and abs(a.start - b.start) <= SAME and abs(a.end - b.end) <= SAME


def _unknown(id: int) -> LibraryError:
    return LibraryError(f"use {id}: no such number", "see `mgsv library uses list`")


@contextmanager
def _rejects(path: PathLike) -> Iterator[Callable[[Sequence[object]], object]]:
    """Writes rows to a new CSV of what was left out; it appears whole or not at all."""
    with new_text(path, errors="backslashreplace") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("line", "reason", "text"))
        yield writer.writerow
