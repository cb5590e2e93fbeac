"""Which tracks of a library can be grounded, and what is wrong where none can."""

from __future__ import annotations

from pathlib import Path

from mgsv.errors import LibraryError, shown
from mgsv.library.library import SHORTEST_TRACK, Library, Track

_NAMED = 3


def usable_tracks(library: Library) -> tuple[list[Track], list[str]]:
    """The tracks in view that are long enough, in order of path, and a note on those that are not.

    Raises `LibraryError` where there is none: it names the files and what is wrong with each.
    """
    tracks = library.tracks()
    usable = [track for track in tracks if not track.too_short]
    if not usable:
        raise _none_usable(library, tracks)
    if skipped := len(tracks) - len(usable):
        least = f"{SHORTEST_TRACK:g} s"
        note = f"{skipped} of {len(tracks)} tracks are shorter than {least} and were left out"
        return usable, [note]
    return usable, []


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
