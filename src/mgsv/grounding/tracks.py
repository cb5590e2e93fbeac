"""The tracks of a library as methods see them, and what is wrong where none can be used."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import overload

import numpy as np

from mgsv.errors import LibraryError, shown
from mgsv.grounding.habits import learned_habits
from mgsv.jobs import Listener, Progress
from mgsv.library import Library, Track, TrackCurves
from mgsv.library.index import outdated_note
from mgsv.library.packs import Key, prune
from mgsv.library.recordings import Recordings
from mgsv.library.track import SHORTEST_TRACK
from mgsv.memory.habits import Habits
from mgsv.memory.model import Memory
from mgsv.methods.kept import Kept, KeptRows
from mgsv.methods.tracklist import TrackList
from mgsv.runtime.model import GroundingModel

KEPT_BYTES = 256_000_000
"""Of features that stay in memory between clips; some 2,500 tracks of three minutes. The others are
read from disk each time."""
PREPARING = "preparing"
"""`Progress.what` while what ranking keeps of tracks is made."""
DERIVED_AT_ONCE = 512
"""Tracks whose embeddings are in memory, and written, together."""
_NAMED = 3


def usable_tracks(library: Library) -> tuple[list[Track], list[str]]:
    """The tracks in view that are long enough, in order of path, and notes on those that are not,
    and on those that an earlier version analysed.

    Raises `LibraryError` where there is none: it names the files and what is wrong with each.
    """
    tracks = library.tracks()
    usable = [track for track in tracks if not track.too_short]
    if not usable:
        raise _none_usable(library, tracks)
    notes = []
    if skipped := len(tracks) - len(usable):
        least = f"{SHORTEST_TRACK:g} s"
        notes.append(
            f"{skipped} of {len(tracks)} tracks are shorter than {least} and were left out"
        )
    if outdated := sum(track.outdated for track in usable):
        notes.append(outdated_note(outdated, len(usable)))
    notes += library.list_problems
    return usable, notes


def _none_usable(library: Library, short: list[Track]) -> LibraryError:
    least = f"{SHORTEST_TRACK:g} s"
    reasons = [
        *((track.path, f"it lasts {track.duration:.1f} s, less than {least}") for track in short),
        *library.report.failed,
        *((track.path, "the file is gone") for track in library.tracks(missing=True)),
    ]
    by_file: dict[Path, str] = {}
    for path, reason in reasons:
        by_file.setdefault(path, reason)
    if not by_file:
        return LibraryError("the library holds no tracks", "add music with `mgsv library add`")
    named = [f"{shown(path.name)}: {why}" for path, why in list(by_file.items())[:_NAMED]]
    if more := len(by_file) - len(named):
        named.append(f"and {more} more")
    which = (
        "no track can be used"
        if len(by_file) == 1
        else f"none of {len(by_file)} tracks can be used"
    )
    return LibraryError(f"{which}: {'; '.join(named)}", f"give music of at least {least}")


class Tracks(TrackList):
    """Tracks, each read when it is first looked at, and kept as long as there is room."""

    def __init__(
        self,
        read: Callable[[Track], TrackCurves],
        tracks: Sequence[Track],
        *,
        room: int = KEPT_BYTES,
        derived: KeptRows | None = None,
        curves: Tracks | None = None,
    ) -> None:
        """room: bytes. derived: what the library keeps of them. curves: the same, of which curves
        alone are read; None: these.
        """
        self._read, self.tracks = read, tracks
        self._kept: dict[int, TrackCurves] = {}
        self._room, self._derived, self._curves = room, derived, curves
        self._lock = threading.Lock()

    def only(self, ids: Collection[str]) -> Tracks:
        """Those of these ids, in the same order; what is kept in memory is kept here.

        Raises `LibraryError` where there is none.
        """
        wanted = set(ids)
        places = {track.id: n for n, track in enumerate(self.tracks) if track.id in wanted}
        if not places:
            raise LibraryError("none of the tracks asked for is here", "ask for others")
        rows = np.array([*places.values()], np.intp)
        return Tracks(
            lambda track: self[places[track.id]],
            [self.tracks[n] for n in places.values()],
            room=0,
            derived=None if self._derived is None else self._derived.at(rows),
            curves=None if self._curves is None else self._curves.only(wanted),
        )

    def __len__(self) -> int:
        return len(self.tracks)

    @overload
    def __getitem__(self, index: int) -> TrackCurves: ...
    @overload
    def __getitem__(self, index: slice) -> list[TrackCurves]: ...
    def __getitem__(self, index: int | slice) -> TrackCurves | list[TrackCurves]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(len(self)))]
        place = range(len(self.tracks))[index]
        known = self._kept.get(place)
        if known is None:
            known = self._read(self.tracks[place])
            size = sum(getattr(getattr(known, field.name), "nbytes", 0) for field in fields(known))
            with self._lock:
                if size <= self._room and place not in self._kept:
                    self._room -= size
                    self._kept[place] = known
        return known

    @property
    def kept(self) -> KeptRows | None:
        return self._derived

    @property
    def curves(self) -> Tracks:
        return self if self._curves is None else self._curves

    def of(self, track: Track) -> TrackCurves:
        """What is read of one of the tracks."""
        return self[self._places[track.id]]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {track.id: place for place, track in enumerate(self.tracks)}

    @property
    def records(self) -> Sequence[Track]:
        return self.tracks


class Contents:
    """What a library holds at one time, parsed once.

    usable: the tracks that can be grounded. notes: what a person should know of the others.
    Raises `LibraryError` where none can be grounded.
    """

    def __init__(
        self,
        library: Library,
        model: GroundingModel | None = None,
        progress: Listener | None = None,
    ) -> None:
        """model: the one whose ranking uses what is kept of tracks. progress: called while that is
        made.
        """
        self.version = library.version
        self._library = library
        self.usable, self.notes = usable_tracks(library)
        self._derived: KeptRows | None = None
        if model is not None:
            self._derived, damaged = derived(library, self.usable, model, progress)
            self.notes = [*self.notes, *damaged]

    @cached_property
    def curves(self) -> Tracks:
        """What alignment needs of the usable tracks."""
        return Tracks(self._library.curves, self.usable, derived=self._derived)

    @cached_property
    def features(self) -> Tracks:
        """All features of the usable tracks."""
        return Tracks(
            self._library.features, self.usable, derived=self._derived, curves=self.curves
        )

    @cached_property
    def recordings(self) -> Recordings:
        """Which of the usable tracks are one recording, as far as it was looked at."""
        return Recordings(self.curves.of)

    @cached_property
    def memory(self) -> Memory:
        """Of the uses in the library."""
        return Memory(use for _, use in self._library.uses.all())

    @cached_property
    def habits(self) -> Habits:
        """That these uses show."""
        return learned_habits(self._library)

    @cached_property
    def fingerprint(self) -> str:
        return self._library.fingerprint


def derived(
    library: Library,
    tracks: Sequence[Track],
    model: GroundingModel,
    progress: Listener | None = None,
) -> tuple[KeptRows, list[str]]:
    """What `library` keeps of `tracks` for a model, brought up to date, and a note on each file of
    it that could not be used.

    Where the library's folder cannot be written, it is made and not kept. progress: called after
    every few tracks that it is made of.
    """
    report = progress or (lambda _: None)
    kept = Kept(library.encoder_fingerprint or "", model, library.derived)
    notes = [
        f"{shown(path)}: {why}; it was made again" for p in kept.packs for path, why in p.damaged
    ]
    revisions = library.revisions()
    keys = [Key(track.id, revisions.get(track.id, "")) for track in tracks]
    missing = kept.missing(keys).tolist()
    for begin in range(0, len(missing), DERIVED_AT_ONCE):
        report(Progress(PREPARING, begin, len(missing)))
        group = missing[begin : begin + DERIVED_AT_ONCE]
        kept.derive([keys[n] for n in group], [library.features(tracks[n]) for n in group])
    if missing:
        report(Progress(PREPARING, len(missing), len(missing)))
    every = [Key(*pair) for pair in revisions.items()]
    for pack in kept.packs:
        pack.tidy(every)
    if missing and library.derived is not None:
        prune(library.derived)
    return kept.of(keys), notes
