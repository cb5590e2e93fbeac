"""The habits that a library's uses show, counted anew whenever they are wanted."""

from __future__ import annotations

from mgsv.errors import LibraryError
from mgsv.library import Library
from mgsv.memory.habits import Habits, Observation
from mgsv.methods.habits import observe
from mgsv.methods.origin import origin_of
from mgsv.methods.placement import Music

MOST_USES = 300
"""Uses that are looked at, the latest: looking at one takes some 15 ms, and people change."""


def learned_habits(library: Library) -> Habits:
    """What the uses in `library` show, but for those from before a reset.

    A use of a track that the library holds no more, or whose features cannot be read, teaches
    nothing. Raises `LibraryError` where the uses themselves cannot be read.
    """
    uses = [(id, use) for id, use in library.uses.all() if not use.before_reset]
    uses.sort(key=lambda one: one[0])
    heard: dict[str, Music | None] = {}
    seen: list[Observation] = []
    for _, use in uses[-MOST_USES:]:
        if use.track not in heard:
            heard[use.track] = _music(library, use.track)
        if (music := heard[use.track]) is not None:
            seen.append(observe(use, music, origin_of(music.pattern)))
    return Habits.of(seen, [track.tags for track in library.tracks(missing=True)])


def _music(library: Library, id: str) -> Music | None:
    track = library.track(id)
    if track is None:
        return None
    try:
        return Music.of(library.features(track))
    except LibraryError:
        return None
