"""How right words are: precision at 5 against chance, by mood folders and by files' own genres.

    python benchmarks/words.py --moods FOLDER --music FOLDER [--names] [--library DIR]
        [--instrumental classic instrumental fronted]

--moods: folders named like a word of the vocabulary, with tracks of that mood. --music: tracks, of
which those count whose own tags name a genre of the vocabulary; the tag is hidden from the words.
--names: all tracks of --music, those of a mood being those whose file names say so ("battle",
"graveyard", "peace"): labels too weak to report, on which how signs are weighed was chosen. A class
needs five tracks. Chance is the share of its class among all. Printed are precision at 5, and the
average precision, each with how often chance it is. --instrumental: words in the files' own genres;
printed is how many of the tracks that have one, and of those of --moods, `--instrumental` keeps.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mgsv.library import Library, Track
from mgsv.library.credits import NO_CREDITS
from mgsv.library.words import Wanted, narrow, vocabulary
from mgsv.library.words.fit import Fit, names_genre

BEST = 5
LEAST = 5
NAMES = {
    "energetic": "battle|combat|fight|attack|frantic|race|speedup|speeditup|warfare",
    "aggressive": "battle|combat|fight|hell|chaos|war-of|warfare|insanity|"
    "armygeddon|mutilated|metal",
    "dark": "horror|hell|dark|dungeon|ghost|graveyard|halloween|fear|underground|suspense|demon|"
    "shadow|night|haunt|mansion|death|threat|intrigue|suspicion",
    "calm": "peace|calm|safe-room|sanctuary|garden|valley|ambient|ocean|nature|morning|dream|"
    "country|farm|agriculture",
    "happy": "party|dance|victory|win-theme|wingame|upbeat|spunky|christmas|holiday|fair|fruit|"
    "beach|tropical|jewels|chipdisko",
    "sad": "sad|farewell|defeat|loose|death|casualties|dead|orphan",
    "dramatic": "battle|epic|boss|siege|vengeful|revenge|heroes|legends|city-falls|king-is-dead|"
    "dangerous",
}
"""Mood → what file names of game music of that mood hold."""


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
        order = np.argsort(-scores, kind="stable").tolist()
        hits = np.array([hidden[n].id in members for n in order])
        chance, five = hits.mean(), hits[:BEST].mean()
        average = (hits.cumsum() / np.arange(1, len(hits) + 1))[hits].mean()
        print(
            f"| {name} | {len(members)} of {len(tracks)} | {five:.2f} | {chance:.2f} "
            f"| {five / chance:.1f} | {average:.2f} | {average / chance:.1f} |"
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


def kept(library: Library, tracks: Sequence[Track]) -> int:
    return len(narrow(library, tracks, Wanted(instrumental=True)).tracks)


def by_name(tracks: Sequence[Track]) -> dict[str, set[str]]:
    return {
        mood: {track.id for track in tracks if re.search(pattern, track.path.stem)}
        for mood, pattern in NAMES.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moods", type=Path)
    parser.add_argument("--music", type=Path)
    parser.add_argument("--names", action="store_true")
    parser.add_argument("--instrumental", nargs="*", default=[], metavar="WORD")
    parser.add_argument("--library", type=Path)
    given = parser.parse_args()
    print("| word | tracks | precision at 5 | chance | times | average precision | times |")
    print("|---|---|---|---|---|---|---|")
    if given.moods:
        with Library.open(given.moods, folder=given.library) as library:
            tracks = library.tracks()
            classes: dict[str, set[str]] = {}
            for track in tracks:
                classes.setdefault(track.path.parent.name, set()).add(track.id)
            precision(library, tracks, classes)
            if given.instrumental:
                print(f"instrumental: {kept(library, tracks)} of {len(tracks)} of moods")
    if given.music:
        with Library.open(given.music, folder=given.library) as library:
            tagged = [track for track in library.tracks() if track.credits.genre]
            precision(library, tagged, genres(tagged))
            for word in given.instrumental:
                some = [track for track in tagged if word in track.credits.genre.casefold()]
                print(f"instrumental: {kept(library, some)} of {len(some)} {word}")
            if given.names:
                tracks = library.tracks()
                precision(library, tracks, by_name(tracks))


if __name__ == "__main__":
    main()
