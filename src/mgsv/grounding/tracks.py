"""The tracks of a library as methods see them, and what is wrong where none can be used."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import overload

from mgsv.errors import LibraryError, shown
from mgsv.grounding.habits import learned_habits
from mgsv.library import Library, Track, TrackCurves
from mgsv.library.index import outdated_note
from mgsv.library.library import SHORTEST_TRACK
from mgsv.memory.habits import Habits
from mgsv.memory.model import Memory

KEPT_BYTES = 256_000_000
"""Of features that stay in memory between clips; some 2,500 tracks of three minutes. The others are
read from disk each time."""
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


class Tracks(Sequence[TrackCurves]):
    """Tracks, each read when it is first looked at, and kept as long as there is room."""

    def __init__(
        self,
        read: Callable[[Track], TrackCurves],
        tracks: Sequence[Track],
        *,
        room: int = KEPT_BYTES,
    ) -> None:
        """room: bytes."""
        self._read, self.tracks = read, tracks
        self._kept: dict[int, TrackCurves] = {}
        self._room = room
        self._lock = threading.Lock()

    def only(self, ids: Collection[str]) -> Tracks:
        """Those of these ids, in the same order; what is kept in memory is kept here.

        Raises `LibraryError` where there is none.
        """
        places = {track.id: n for n, track in enumerate(self.tracks) if track.id in set(ids)}
        if not places:
            raise LibraryError("none of the tracks asked for is here", "ask for others")
        chosen = [self.tracks[n] for n in places.values()]
        return Tracks(lambda track: self[places[track.id]], chosen, room=0)

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


class Contents:
    """What a library holds at one time, parsed once.

    usable: the tracks that can be grounded. notes: what a person should know of the others.
    Raises `LibraryError` where none can be grounded.
    """

    def __init__(self, library: Library) -> None:
        self.version = library.version
        self._library = library
        self.usable, self.notes = usable_tracks(library)

    @cached_property
    def curves(self) -> Tracks:
        """What alignment needs of the usable tracks."""
        return Tracks(self._library.curves, self.usable)

    @cached_property
    def features(self) -> Tracks:
        """All features of the usable tracks."""
        return Tracks(self._library.features, self.usable)

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
