"""How well the first stage foresees the ranking of all tracks, and what each step costs.

    python recipes/default_model.py CORPUS COMPOSED
    python benchmarks/scale.py CORPUS COMPOSED WORK --tracks 10000 --clips 24

The library is `scale_library`'s: the corpus's tracks, then excerpts and time-scaled copies. Clips
are composed test edits; their tracks are among the corpus's. WORK keeps what is derived of the
library. Of copies beyond `--embedded`, the embeddings are those of the copy of the same source
whose pace is nearest.

The exhaustive ranking would survey every track for every clip. Here the survey's own evidence is
computed of the `--surveyed` best by the second look at all tracks, and the best among these is
taken for the best of all. Seconds are the processor's, which other work on the machine changes
less than the clock's.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from scale_library import Pool, fill, key_of

from composed_cases import Corpus, cases
from mgsv.library import TrackCurves
from mgsv.methods.base import Placement
from mgsv.methods.first_stage import FirstStage
from mgsv.methods.glance import first_look, second_look
from mgsv.methods.kept import Kept, KeptRows, embedded
from mgsv.methods.registry import open_method
from mgsv.methods.survey import Surveyor
from mgsv.methods.surveyed import SurveyedRanker
from mgsv.methods.tracklist import TrackList

T = TypeVar("T")


class Library(TrackList):
    def __init__(self, pool: Pool, count: int, rows: KeptRows) -> None:
        self._pool, self._count, self._rows = pool, count, rows

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> TrackCurves:  # type: ignore[override]
        return self._pool.features(index, segments=False)

    @property
    def kept(self) -> KeptRows:
        return self._rows


@dataclass
class Found:
    """Of one clip: ranks, from 0 on, and whether each of the ten best is in the shortlist."""

    first: int
    second: int
    ten: float
    exhaustive: int
    end_to_end: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("composed", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--tracks", type=int, default=10_000)
    parser.add_argument("--embedded", type=int, default=50_000)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--surveyed", type=int, default=200)
    parser.add_argument("--shortlist", type=int, default=100)
    options = parser.parse_args()
    corpus = Corpus(options.corpus, options.composed / "cache")
    names = [name for name, item in corpus.items.items() if item.kind == "music"]
    pool = Pool([corpus.track(name) for name in names])
    ranker = open_method("made").ranker
    assert isinstance(ranker, SurveyedRanker)
    library = Library(pool, options.tracks, rows_of(pool, ranker, options))
    every = list(cases(options.composed / "first", "test", corpus))
    chosen = np.random.default_rng(1).permutation(len(every))[: options.clips]
    print(f"{options.tracks} tracks, {len(names)} of the corpus; load {os.getloadavg()[0]:.0f}")
    cost: dict[str, list[float]] = {}
    found = []
    for n in chosen.tolist():
        clip = every[n]
        truth = names.index(clip.plan.track)
        found.append(measured(library, ranker, clip.query, truth, options, cost))
        show(found, cost, options)


def rows_of(pool: Pool, ranker: SurveyedRanker, options: argparse.Namespace) -> KeptRows:
    """What is kept of the library, made where it is not there yet."""
    kept = Kept("bench", ranker.model, options.work / "derived")
    fill(kept, pool, options.tracks)
    assert kept.embeddings is not None and ranker.model is not None and ranker.model.matcher
    count = min(options.tracks, options.embedded)
    for begin in range(len(kept.embeddings), count, 2048):
        places = range(begin, min(count, begin + 2048))
        rows = embedded(
            ranker.model.matcher,
            [pool.features(n) for n in places],
            ranker.model.limits.max_segments,
        )
        kept.embeddings.add([key_of(pool.copy(n)) for n in places], rows)
    copies = [pool.copy(n) for n in range(options.tracks)]
    keys = [key_of(copy) for copy in copies]
    embedding = kept.embeddings.rows(keys)
    known: dict[int, list[tuple[float, int]]] = {}
    for n in np.flatnonzero(embedding >= 0).tolist():
        known.setdefault(copies[n].source, []).append((copies[n].pace, int(embedding[n])))
    for n in np.flatnonzero(embedding < 0).tolist():
        pace = copies[n].pace
        embedding[n] = min(known[copies[n].source], key=lambda one: abs(one[0] - pace))[1]
    return KeptRows(kept, kept.sketches.rows(keys), embedding)


def measured(
    library: Library,
    ranker: SurveyedRanker,
    query: object,
    truth: int,
    options: argparse.Namespace,
    cost: dict[str, list[float]],
) -> Found:
    rows, survey, stage = library.kept, ranker._survey, FirstStage()
    sketches, weights, worth = rows.kept.sketches, survey.weights, survey.ranking
    surveyor = Surveyor(query, weights)  # type: ignore[arg-type]

    def timed(name: str, count: int, work: Callable[[], T]) -> T:
        began = time.process_time()
        result = work()
        cost.setdefault(name, []).append((time.process_time() - began) / count * 1e6)
        return result

    count = len(library)
    network = ranker._network
    towers = timed("towers", count, lambda: network.score_tracks(query, library))  # type: ignore[arg-type]
    glance = timed(
        "first look", len(sketches), lambda: first_look(surveyor.edit, weights, sketches)
    )
    second = timed(
        "second look", count, lambda: second_look(surveyor.edit, weights, sketches, rows.sketch)
    )
    full = timed("network", count, lambda: network.rerank(query, library, Placement()))  # type: ignore[arg-type]
    scores = np.array([one.score for one in full])
    first = stage.tower * towers + worth * stage.evidence * glance[rows.sketch]
    then = scores + worth * stage.evidence * second
    best = np.argsort(-then, kind="stable")[: options.surveyed]
    asked = np.union1d(best, [truth])
    evidence = timed("survey", len(asked), lambda: evidences(surveyor, library, asked))
    final = dict(zip(asked.tolist(), scores[asked] + worth * evidence, strict=True))
    order = sorted(best.tolist(), key=lambda n: -final[n])
    looked = np.argsort(-first, kind="stable")[: stage.looks(count)]
    short = looked[np.argsort(-then[looked], kind="stable")][: options.shortlist].tolist()
    above = [n for n in final if n != truth and final[n] > final[truth]]
    shown = [n for n in above if n in short]
    return Found(
        first=int((first > first[order[0]]).sum()),
        second=int((then > then[order[0]]).sum()),
        ten=float(np.mean([n in short for n in order[:10]])),
        exhaustive=len(above),
        end_to_end=len(shown) if truth in short else count,
    )


def evidences(surveyor: Surveyor, library: Library, places: Sequence[int]) -> np.ndarray:  # type: ignore[type-arg]
    rows = library.kept
    return np.array([surveyor.evidence(rows.music(int(n), library[int(n)])) for n in places])


def show(found: Sequence[Found], cost: dict[str, list[float]], options: argparse.Namespace) -> None:
    short, looks = options.shortlist, FirstStage().looks(options.tracks)

    def share(values: Sequence[bool]) -> str:
        return f"{np.mean(values):.3f}"

    kept = [one.first < looks and one.second < short for one in found]
    wide = [one.first < looks and one.second < 200 for one in found]
    print(
        f"{len(found)} clips: the best is in {short}: {share(kept)}, in 200: {share(wide)}; "
        f"of the ten best {np.mean([one.ten for one in found]):.3f}; "
        f"R1 {share([one.end_to_end < 1 for one in found])} of "
        f"{share([one.exhaustive < 1 for one in found])}, "
        f"R10 {share([one.end_to_end < 10 for one in found])} of "
        f"{share([one.exhaustive < 10 for one in found])}; microseconds a track: "
        + ", ".join(f"{name} {np.mean(values):.0f}" for name, values in cost.items()),
        flush=True,
    )


if __name__ == "__main__":
    main()
