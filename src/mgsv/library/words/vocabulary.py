"""The words that music can be narrowed by: a table in the package, `vocabulary.tsv`."""

from __future__ import annotations

import csv
import difflib
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from mgsv.errors import ConfigError

MEASURED = ("tempo", "energy", "onsets", "brightness")
"""Signs that are measured; all others are tags."""
_FILLERS = frozenset(("and", "a", "an", "the", "with", "of", "some", "very", "music", "song"))
_NEAREST = 5


@dataclass(frozen=True)
class Word:
    """A word and what speaks for it."""

    name: str
    kind: str
    """"mood", "sound", "instrument" or "genre"."""
    synonyms: tuple[str, ...]
    signs: Mapping[str, float]
    """Tag or measure → 1 where much of it speaks for the word, −1 where it speaks against it."""


class Vocabulary:
    """All words, by their names and synonyms."""

    def __init__(self, words: list[Word]) -> None:
        self.words = words
        self._by_name = {
            name.casefold(): word for word in words for name in (*word.synonyms, word.name)
        } | {word.name.casefold(): word for word in words}
        self._longest = max(len(name.split()) for name in self._by_name)

    def read(self, text: str, field: str) -> list[Word]:
        """The words in `text`, of which the longest known ones are taken: "calm piano, hip hop".

        field: what an error calls it. Raises `ConfigError` for an unknown word, with the nearest
        known ones.
        """
        found: list[Word] = []
        for part in re.split(r"[,;]", text.casefold()):
            given = part.split()
            while given:
                taken, word = self._first(given)
                if word is None and given[0] not in _FILLERS:
                    raise self._unknown(given[0], field)
                if word is not None and word not in found:
                    found.append(word)
                given = given[taken:]
        if not found:
            raise ConfigError(f"`{field}`: no word", "give some, with commas between")
        return found

    def get(self, name: str) -> Word | None:
        return self._by_name.get(name.casefold())

    def _first(self, given: list[str]) -> tuple[int, Word | None]:
        for count in range(min(self._longest, len(given)), 0, -1):
            if (word := self.get(" ".join(given[:count]))) is not None:
                return count, word
        return 1, None

    def _unknown(self, name: str, field: str) -> ConfigError:
        near = difflib.get_close_matches(name, self._by_name, _NEAREST)
        known = near or [word.name for word in self.words if word.kind == "mood"]
        which = "the nearest are" if near else "words are English, for example"
        return ConfigError(f"`{field}` {name}: an unknown word", f"{which} {', '.join(known)}")


@functools.cache
def vocabulary() -> Vocabulary:
    """The vocabulary of the package."""
    text = (resources.files("mgsv.library.words") / "vocabulary.tsv").read_text("utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    return Vocabulary([_word(row) for row in rows])


def _word(row: Mapping[str, str]) -> Word:
    signs = {
        sign.removeprefix("-"): -1.0 if sign.startswith("-") else 1.0
        for sign in _listed(row["signs"])
    }
    return Word(row["word"], row["kind"], _listed(row["synonyms"]), signs)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
