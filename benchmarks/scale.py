"""How well the shortlist foresees the ranking of all tracks, and what each step costs a track.

    python recipes/default_model.py CORPUS COMPOSED
    python benchmarks/scale.py CORPUS COMPOSED WORK --fit
    python benchmarks/scale.py CORPUS COMPOSED WORK --clips 24 --save scale.json

A library holds the corpus's tracks, those that clips are cut to first among them, then excerpts and
time-scaled copies of all (`scale_library`). Clips are composed test edits of the first editor; with
`--fit` they are val edits of the mixture, on which the weights of the first stage are chosen. WORK
keeps what is derived of the library. Of copies beyond `--embedded`, the embeddings are those of the
copy of the same source whose pace is nearest.

The exhaustive ranking gives every track its final score, with the survey's own evidence. In
libraries of more than `--surveyed` tracks that is computed of so many, the best by the second look
at all tracks, and the others are taken to be worse. Seconds are the processor's, which other work
on the machine changes less than the clock's.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scale_library import Pool, fill, key_of

from composed_cases import Corpus, cases
from mgsv.library import TrackCurves
from mgsv.methods.base import Method, Placement, Query
from mgsv.methods.first_stage import FirstStage
from mgsv.methods.glance import first_look, second_look
from mgsv.methods.kept import Kept, KeptRows, embedded
from mgsv.methods.registry import open_method
from mgsv.methods.survey import Surveyor
from mgsv.methods.surveyed import SurveyedRanker
from mgsv.methods.tracklist import TrackList

Floats = npt.NDArray[np.float64]
T = TypeVar("T")

SHORTLISTS = 50, 100, 200
TOWERS = 0.6, 0.9, 1.2, 1.5, 1.9, 2.4, 3.0
EVIDENCE = 0.4, 0.6, 0.8, 1.0, 1.25


class Library(TrackList):
    def __init__(self, pool: Pool, places: Sequence[int], rows: KeptRows) -> None:
        self._pool, self._places, self._rows = pool, places, rows

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> TrackCurves:  # type: ignore[override]
        return self._pool.features(self._places[index], segments=False)

    @property
    def kept(self) -> KeptRows:
        return self._rows


@dataclass(frozen=True)
class Seen:
    """One clip in one library: what each step gives every track, before the first stage's weights.

    surveyed: places of those whose final score is known, rising, and their `final` scores.
    """

    truth: int
    towers: Floats
    glance: Floats
    second: Floats
    network: Floats
    worth: float
    surveyed: npt.NDArray[np.intp]
    final: Floats

    def shortlist(self, stage: FirstStage, most: int) -> npt.NDArray[np.intp]:
        """As `SurveyedRanker.score_tracks` finds it."""
        first = stage.tower * self.towers + self.worth * stage.evidence * self.glance
        looked = np.argsort(-first, kind="stable")[: stage.looks(len(first))]
        then = self.network + self.worth * stage.evidence * self.second
        return looked[np.argsort(-then[looked], kind="stable")][:most]

    @property
    def order(self) -> npt.NDArray[np.intp]:
        """The exhaustive ranking, best first."""
        return self.surveyed[np.argsort(-self.final, kind="stable")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("composed", type=Path)
    parser.add_argument("work", type=Path)
    sizes = [100, 1000, 10_000, 100_000]
    parser.add_argument("--tracks", type=int, nargs="+", default=sizes)
    parser.add_argument("--embedded", type=int, default=50_000)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--surveyed", type=int, default=1000)
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--save", type=Path, metavar="FILE")
    options = parser.parse_args()
    corpus = Corpus(options.corpus, options.composed / "cache")
    names = [name for name, item in corpus.items.items() if item.kind == "music"]
    pool = Pool([corpus.track(name) for name in names])
    method = open_method("made")
    ranker = method.ranker
    assert isinstance(ranker, SurveyedRanker)
    family, split = ("mixed", "val") if options.fit else ("first", "test")
    every = list(cases(options.composed / family, split, corpus))
    chosen = np.random.default_rng(1).permutation(len(every))[: options.clips].tolist()
    clips = [(every[n].query, names.index(every[n].plan.track)) for n in chosen]
    wanted = list(dict.fromkeys(truth for _, truth in clips))
    tables = []
    for count in [10_000] if options.fit else options.tracks:
        others = (n for n in itertools.count() if n not in set(wanted))
        places = sorted([*wanted, *itertools.islice(others, count - len(wanted))])
        library = Library(pool, places, rows_of(pool, ranker, places, options))
        cost: dict[str, list[float]] = {}
        seen = [
            look(library, ranker, query, places.index(truth), options.surveyed, cost)
            for query, truth in clips
        ]
        if options.fit:
            fit(seen)
            return
        table = measures(seen, ranker._first) | {
            "corpus_tracks": sum(n < len(names) for n in places),
            "query_seconds": float(
                np.median([seconds(method, library, query) for query, _ in clips])
            ),
            "microseconds": {name: float(np.mean(values)) for name, values in cost.items()},
        }
        tables.append(table)
        print(json.dumps(table), f"load {os.getloadavg()[0]:.0f}", flush=True)
    if options.save:
        record = {"first_stage": asdict(ranker._first), "sizes": tables}
        options.save.write_text(json.dumps(record, indent=1) + "\n")


def rows_of(
    pool: Pool, ranker: SurveyedRanker, places: Sequence[int], options: argparse.Namespace
) -> KeptRows:
    """What is kept of the library, made where it is not there yet."""
    kept = Kept("bench", ranker.model, options.work / "derived")
    fill(kept, pool, max(places) + 1)
    assert kept.embeddings is not None and ranker.model is not None and ranker.model.matcher
    for some in batched(range(len(kept.embeddings), min(max(places) + 1, options.embedded)), 2048):
        tracks = [pool.features(n) for n in some]
        rows = embedded(ranker.model.matcher, tracks, ranker.model.limits.max_segments)
        kept.embeddings.add([key_of(pool.copy(n)) for n in some], rows)
    copies = [pool.copy(n) for n in places]
    keys = [key_of(copy) for copy in copies]
    embedding = kept.embeddings.rows(keys)
    known: dict[int, list[tuple[float, int]]] = {}
    for n in np.flatnonzero(embedding >= 0).tolist():
        known.setdefault(copies[n].source, []).append((copies[n].pace, int(embedding[n])))
    for n in np.flatnonzero(embedding < 0).tolist():
        pace = copies[n].pace
        embedding[n] = min(known[copies[n].source], key=lambda one: abs(one[0] - pace))[1]
    return KeptRows(kept, kept.sketches.rows(keys), embedding)


def seconds(method: Method, library: Library, query: Query) -> float:
    """By the clock: the shortlist and what luck reaches, of a clip that was read before."""
    began = time.perf_counter()
    best = method.shortlist(query, library, 5, Placement())
    method.ranker.chance(query, library, {n: one.score for n, one in best})
    return time.perf_counter() - began


def batched(numbers: range, size: int) -> Iterator[range]:
    return (numbers[n : n + size] for n in range(0, len(numbers), size))


def look(
    library: Library,
    ranker: SurveyedRanker,
    query: Query,
    truth: int,
    most: int,
    cost: dict[str, list[float]],
) -> Seen:
    rows, survey, network = library.kept, ranker._survey, ranker._network
    sketches, weights, worth = rows.kept.sketches, survey.weights, survey.ranking
    surveyor, count = Surveyor(query, weights), len(library)

    def timed(name: str, count: int, work: Callable[[], T]) -> T:
        began = time.process_time()
        result = work()
        cost.setdefault(name, []).append((time.process_time() - began) / count * 1e6)
        return result

    edit = surveyor.edit
    towers = timed("towers", count, lambda: network.score_tracks(query, library))
    glance = timed("first look", len(sketches), lambda: first_look(edit, weights, sketches))
    second = timed("second look", count, lambda: second_look(edit, weights, sketches, rows.sketch))
    full = timed("network", count, lambda: network.rerank(query, library, Placement()))
    scores = np.array([one.score for one in full])
    likely = np.argsort(-(scores + worth * second), kind="stable")[:most]
    surveyed = np.union1d(likely, [truth])
    evidence = timed(
        "survey",
        len(surveyed),
        lambda: np.array([surveyor.evidence(rows.music(n, library[n])) for n in surveyed.tolist()]),
    )
    return Seen(
        truth=truth,
        towers=towers.astype(np.float64),
        glance=glance[rows.sketch],
        second=second,
        network=scores,
        worth=worth,
        surveyed=surveyed,
        final=scores[surveyed] + worth * evidence,
    )


def measures(seen: Sequence[Seen], stage: FirstStage) -> dict[str, Any]:
    """Shares of clips, but for `ten`, of the ten best tracks of all clips."""
    found: dict[str, Any] = {"tracks": len(seen[0].towers), "clips": len(seen)}
    for most in SHORTLISTS:
        lists = [one.shortlist(stage, most) for one in seen]
        pairs = list(zip(seen, lists, strict=True))
        found[f"best_in_{most}"] = float(np.mean([one.order[0] in some for one, some in pairs]))
        ten = [np.isin(one.order[:10], some).mean() for one, some in pairs]
        found[f"ten_in_{most}"] = float(np.mean(ten))
        for k in (1, 10):
            ends = [rank(one, some) < k for one, some in pairs]
            found[f"R{k}_of_{most}"] = float(np.mean(ends))
    for k in (1, 10):
        found[f"R{k}_exhaustive"] = float(np.mean([rank(one, one.surveyed) < k for one in seen]))
    return found


def rank(seen: Seen, among: npt.NDArray[np.intp]) -> float:
    """Of the right track, from 0 on, by the final score among some of the surveyed tracks."""
    if seen.truth not in among:
        return np.inf
    final = dict(zip(seen.surveyed.tolist(), seen.final.tolist(), strict=True))
    own = final[seen.truth]
    return sum(final.get(n, -np.inf) > own for n in among.tolist())


def fit(seen: Sequence[Seen]) -> None:
    """Print how each pair of weights does, the best of them last."""
    tried = []
    for tower, evidence in itertools.product(TOWERS, EVIDENCE):
        found = measures(seen, FirstStage(tower, evidence))
        own = found["ten_in_100"], found["best_in_100"], -abs(evidence - 1)
        tried.append((own, tower, evidence))
    for (ten, best, _), tower, evidence in sorted(tried):
        print(f"tower {tower}, evidence {evidence}: best {best:.3f}, ten best {ten:.3f}")
    found = measures(seen, FirstStage())
    for most in SHORTLISTS:
        shares = found[f"best_in_{most}"], found[f"ten_in_{most}"]
        print(f"as in mgsv, {most} candidates: best {shares[0]:.3f}, ten best {shares[1]:.3f}")


if __name__ == "__main__":
    main()
