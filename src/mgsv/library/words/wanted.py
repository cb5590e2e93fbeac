"""Which tracks are wanted, in words, and which are left of a library then."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mgsv.errors import ConfigError, LibraryError
from mgsv.library.library import Library
from mgsv.library.licences import allowed, wanted_licences
from mgsv.library.track import Track
from mgsv.library.words.fit import Fit, names_genre
from mgsv.library.words.vocabulary import vocabulary

KEPT = 0.25
"""Share of the tracks that words keep, the best by them; the picture decides among these."""
FEWEST = 8
"""Tracks that are kept at least, or half of them where they are few: of fewer, nobody can say what
chance reaches."""
_TEMPO = re.compile(r"(\d+(?:\.\d+)?)?\s*[-–]\s*(\d+(?:\.\d+)?)?|(\d+(?:\.\d+)?)")
_NEAR = 3.0
"""Beats per minute by which a tempo may be off where one number is named."""
_ROUNDED = 0.5
"""The same for a range: tempos are listed in whole numbers, and 110 is meant as it is listed."""


@dataclass(frozen=True)
class Wanted:
    """What music is wanted; an empty field wants nothing. Raises `ConfigError` for one that makes
    no sense.
    """

    like: str = ""
    """Words of the vocabulary, as in "calm piano"."""
    without: str = ""
    """Words that it should not be like."""
    tempo: str = ""
    """Beats per minute, as in "90-110", "120-", "-90" or "120"."""
    instrumental: bool = False
    """Nobody sings, by the tags."""
    licence: str = ""
    """Names, of which one is enough, as in "cc-by,cc0"."""
    genre: str = ""
    """Genres, of which one is enough: by the file's own tag, or by ear where it has none."""

    def __post_init__(self) -> None:
        for name in ("like", "without", "genre"):
            if getattr(self, name):
                vocabulary().read(getattr(self, name), name)
        if self.tempo:
            self.tempo_range()
        if self.licence:
            wanted_licences(self.licence)

    def __bool__(self) -> bool:
        return self != Wanted()

    def tempo_range(self) -> tuple[float, float]:
        """From and to, in beats per minute."""
        found = _TEMPO.fullmatch(self.tempo.strip())
        if found is None or not any(found.groups()):
            raise ConfigError(f"`tempo` {self.tempo}: no tempo", "give one as 90-110, 120- or 120")
        if found[3]:
            return float(found[3]) - _NEAR, float(found[3]) + _NEAR
        low, high = float(found[1] or 0), float(found[2] or math.inf)
        if low > high:
            raise ConfigError(f"`tempo` {self.tempo}: no tempo", "give the slower one first")
        return low - _ROUNDED, high + _ROUNDED


@dataclass(frozen=True)
class Narrowed:
    """The tracks that are left, in their order, and why."""

    tracks: Sequence[Track]
    fit: Mapping[str, float] = field(default_factory=dict)
    """Track's id → how well it fits the words, 0 to 1; nothing without words."""
    notes: tuple[str, ...] = ()
    """How many were left out, and for what, a line each."""

    @property
    def ids(self) -> list[str]:
        return [track.id for track in self.tracks]


def narrow(library: Library, tracks: Sequence[Track], wanted: Wanted) -> Narrowed:
    """Those of `tracks` of `library` that are as `wanted`.

    Tempo, licence, genre and vocals leave out what does not fit; of the rest, words keep the best
    quarter. Raises `LibraryError` where nothing is left, with what left out most.
    """
    if not wanted:
        return Narrowed(tracks)
    fit = Fit(
        tracks,
        lambda: library.probabilities(tracks),
        library.curves,
    )
    kept = np.ones(len(tracks), bool)
    notes: list[str] = []
    for what, fits in _conditions(fit, wanted):
        out = kept & ~fits
        if out.any():
            notes.append(f"left out: {int(out.sum())} of {len(tracks)} tracks, {what}")
        kept &= fits
        if not kept.any():
            raise LibraryError(f"no track is left: {'; '.join(notes)}", "ask for less")
    said = {}
    if wanted.like or wanted.without:
        scores = _scores(fit, wanted)
        left = np.flatnonzero(kept)
        most = max(math.ceil(KEPT * len(left)), min(FEWEST, math.ceil(len(left) / 2)))
        best = left[np.argsort(-scores[left], kind="stable")[:most]]
        if len(best) < len(left):
            notes.append(
                f"looked at: the {len(best)} of {len(left)} tracks that fit the words best"
            )
        kept = np.zeros(len(tracks), bool)
        kept[best] = True
        said = {tracks[n].id: float(scores[n]) for n in best.tolist()}
    return Narrowed([tracks[n] for n in np.flatnonzero(kept).tolist()], said, tuple(notes))


def _conditions(fit: Fit, wanted: Wanted) -> list[tuple[str, np.ndarray]]:
    """(why the others are left out, which tracks fulfil it [N]) for each condition."""
    tracks = fit.tracks
    found: list[tuple[str, list[bool]]] = []
    if wanted.licence:
        names = wanted_licences(wanted.licence)
        unknown = sum(not track.credits.licence for track in tracks)
        why = f"under another licence or an unknown one ({unknown} unknown)"
        found.append((why, [allowed(track.credits.licence, names) for track in tracks]))
    if wanted.tempo:
        low, high = wanted.tempo_range()
        found.append(("of another tempo", [low <= track.tempo <= high for track in tracks]))
    if wanted.instrumental:
        found.append(("with vocals", [_instrumental(tags) for tags in fit.tags()]))
    if wanted.genre:
        words = vocabulary().read(wanted.genre, "genre")
        names = [name for word in words for name in (word.name, *word.synonyms)]
        tags = {sign.casefold() for word in words for sign, w in word.signs.items() if w > 0}
        heard = {tag for tag in tags if any(tag == name.casefold() for name in names)} or tags
        found.append(
            (
                "of another genre",
                [
                    names_genre(track.credits.genre, names)
                    if track.credits.genre
                    else any(tag.casefold() in heard for tag in track.tags)
                    for track in tracks
                ],
            )
        )
    return [(why, np.array(fits, bool)) for why, fits in found]


def _instrumental(tags: Mapping[str, float]) -> bool:
    vocals = ("female vocalists", "male vocalists", "female vocalist")
    return tags.get("instrumental", 0.0) >= max(tags.get(tag, 0.0) for tag in vocals)


def _scores(fit: Fit, wanted: Wanted) -> np.ndarray:
    """How well each track fits the words, [N] from 0 to 1: the mean over all of them."""
    words = vocabulary()
    parts = []
    if wanted.like:
        parts += [fit.of(word) for word in words.read(wanted.like, "like")]
    if wanted.without:
        parts += [1 - fit.of(word) for word in words.read(wanted.without, "without")]
    return np.asarray(np.mean(parts, axis=0))
