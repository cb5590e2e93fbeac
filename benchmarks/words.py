"""How right words are: precision at 5 against chance, by mood folders and by files' own genres.

    python benchmarks/words.py --moods FOLDER --music FOLDER [--library DIR]

--moods: folders named like a word of the vocabulary, with tracks of that mood. --music: tracks, of
which those count whose own tags name a genre of the vocabulary; the tag is hidden from the words.
A class needs five tracks. Chance is the share of its class among all.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mgsv.library import Library, Track
from mgsv.library.credits import NO_CREDITS
from mgsv.library.words import vocabulary
from mgsv.library.words.fit import Fit, names_genre

BEST = 5
LEAST = 5


def precision(library: Library, tracks: Sequence[Track], classes: Mapping[str, set[str]]) -> None:
    """Print a row per class, which is word → ids of the tracks that it is true of."""
    hidden = [replace(track, credits=NO_CREDITS) for track in tracks]
    fit = Fit(
        hidden,
        lambda: library.probabilities(hidden),
        library.curves,
    )
    for name, members in sorted(classes.items()):
        word = vocabulary().get(name)
        assert word is not None
        scores = fit.of(word)
        best = np.argsort(-scores, kind="stable")[:BEST]
        hits = sum(hidden[n].id in members for n in best.tolist())
        chance = len(members) / len(tracks)
        times = hits / BEST / chance
        print(
            f"| {name} | {len(members)} of {len(tracks)} | {hits / BEST:.2f} | {chance:.2f} "
            f"| {times:.1f} |"
        )


def genres(tracks: Sequence[Track]) -> dict[str, set[str]]:
    found = {
        word.name: {
            track.id
            for track in tracks
            if names_genre(track.credits.genre, (word.name, *word.synonyms))
        }
        for word in vocabulary().words
        if word.kind == "genre"
    }
    return {name: ids for name, ids in found.items() if len(ids) >= LEAST}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moods", type=Path)
    parser.add_argument("--music", type=Path)
    parser.add_argument("--library", type=Path)
    given = parser.parse_args()
    print("| word | tracks | precision at 5 | chance | times |")
    print("|---|---|---|---|---|")
    if given.moods:
        with Library.open(given.moods, folder=given.library) as library:
            tracks = library.tracks()
            classes: dict[str, set[str]] = {}
            for track in tracks:
                classes.setdefault(track.path.parent.name, set()).add(track.id)
            precision(library, tracks, classes)
    if given.music:
        with Library.open(given.music, folder=given.library) as library:
            tagged = [track for track in library.tracks() if track.credits.genre]
            precision(library, tagged, genres(tagged))


if __name__ == "__main__":
    main()
