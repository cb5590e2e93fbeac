"""How well tracks fit words, as places among each other."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mgsv.library.track import Track, TrackCurves
from mgsv.library.words.vocabulary import MEASURED, Word

FloatArray = npt.NDArray[np.float64]

TAGS = 3
"""Measures that all tags together count as much as: chosen on the corpus (`benchmarks/words.py`),
where a word is told by tags better than by tempo or onsets."""


class Fit:
    """Tracks beside each other, each sign measured when a word first needs it.

    A track's place by a sign is the share of the others that have less of it, from 0 to 1: signs of
    different kinds can be averaged, and words mean something in any library.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        tags: Callable[[], Sequence[Mapping[str, float]]],
        curves: Callable[[Track], TrackCurves],
    ) -> None:
        """tags: tag → probability of each track. curves: of a track."""
        self.tracks = tracks
        self._read_tags, self._curves = tags, curves
        self._tags: Sequence[Mapping[str, float]] | None = None
        self._places: dict[str, FloatArray] = {}

    def of(self, word: Word) -> FloatArray:
        """How well each track fits `word`, [N] from 0 to 1: the mean of its places by each measure
        and by all tags together, which count `TAGS` times.

        Of tags, the roots of their probabilities are summed: 0.1 more counts most where there was
        none, and a tag that no track has much of says little.

        A track whose file names the word as its genre fits it by 1.
        """
        parts = [
            self.place(sign) if weight > 0 else 1 - self.place(sign)
            for sign, weight in word.signs.items()
            if sign in MEASURED
        ]
        tags = {sign: weight for sign, weight in word.signs.items() if sign not in MEASURED}
        if tags:
            amounts = [weight * np.sqrt(self._values(tag)) for tag, weight in tags.items()]
            parts += TAGS * [_places(np.sum(amounts, axis=0))]
        fit = np.mean(parts, axis=0)
        names = (word.name, *word.synonyms)
        own = [names_genre(track.credits.genre, names) for track in self.tracks]
        return np.where(own, 1.0, fit)

    def place(self, sign: str) -> FloatArray:
        """Each track's place by one sign, [N]; 0.5 where it is not known."""
        if sign not in self._places:
            self._places[sign] = _places(self._values(sign))
        return self._places[sign]

    def tags(self) -> Sequence[Mapping[str, float]]:
        """Tag → probability of each track."""
        if self._tags is None:
            self._tags = self._read_tags()
        return self._tags

    def _values(self, sign: str) -> FloatArray:
        if sign == "tempo":
            found = [track.tempo or np.nan for track in self.tracks]
        elif sign in ("energy", "onsets"):
            curve = operator.attrgetter("energy" if sign == "energy" else "onset")
            found = [
                float(np.mean(curve(self._curves(track)), dtype=np.float64))
                for track in self.tracks
            ]
        elif sign == "brightness":
            found = [track.brightness or np.nan for track in self.tracks]
        else:
            assert sign not in MEASURED
            found = [tags.get(sign, np.nan) for tags in self.tags()]
        return np.array(found, np.float64)


def names_genre(genre: str, names: Sequence[str]) -> bool:
    """Whether a file's genre is, or has as a part, one of `names`."""
    given = f" {' '.join(genre.casefold().replace('/', ' ').replace(';', ' ').split())} "
    return any(f" {name.casefold()} " in given for name in names)


def _places(values: FloatArray) -> FloatArray:
    known = np.isfinite(values)
    places = np.full(len(values), 0.5)
    if (count := int(known.sum())) > 1:
        ordered = np.sort(values[known])
        below = np.searchsorted(ordered, values[known], "left")
        up_to = np.searchsorted(ordered, values[known], "right")
        places[known] = (below + up_to - 1) / 2 / (count - 1)
    return places
