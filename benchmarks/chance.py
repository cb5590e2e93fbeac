"""How often a best track is said to fit better than chance, with and without the clip's own track.

    python recipes/default_model.py CORPUS COMPOSED
    python benchmarks/chance.py CORPUS COMPOSED WORK [--fit]

Each clip is ranked among the tracks of its split, by the network's final score and the evidence
that a second look foresees. Without: the clip's track and all that is grouped with it are taken
out, so that whatever still stands out does so by luck. `--fit` shows what several confidences do on
val, of which `methods.chance.CONFIDENCE` is one; without it, test is told of. WORK keeps what is
derived of the tracks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scale import Library, rows_of
from scale_library import Pool

from composed_cases import Corpus, cases
from mgsv.methods import chance
from mgsv.methods.base import Placement
from mgsv.methods.glance import second_look
from mgsv.methods.registry import open_method
from mgsv.methods.survey import Surveyor
from mgsv.methods.surveyed import SurveyedRanker

CONFIDENCES = 0.95, 0.98, 0.99, 0.995, 0.998, 0.999
Floats = npt.NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("composed", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--clips", type=int, default=150)
    parser.add_argument("--fit", action="store_true")
    options = parser.parse_args()
    options.embedded = 50_000
    corpus = Corpus(options.corpus, options.composed / "cache")
    names = [name for name, item in corpus.items.items() if item.kind == "music"]
    pool = Pool([corpus.track(name) for name in names])
    families = ["mixed"] if options.fit else ["first", "second", "loose"]
    print("| edits | tracks | confidence | stands out | of these right | its tracks taken out |")
    print("|---|--:|--:|--:|--:|--:|")
    for family in families:
        seen = list(scores_of(family, corpus, pool, names, options))
        for confidence in CONFIDENCES if options.fit else (chance.CONFIDENCE,):
            chance.CONFIDENCE = confidence
            show(family, confidence, seen)


def scores_of(
    family: str, corpus: Corpus, pool: Pool, names: list[str], options: argparse.Namespace
) -> list[tuple[Floats, npt.NDArray[np.bool_]]]:
    """Of each clip, the scores [M] and which tracks are, or are grouped with, its own."""
    ranker = open_method("made").ranker
    assert isinstance(ranker, SurveyedRanker)
    split = "val" if options.fit else "test"
    every = list(cases(options.composed / family, split, corpus))
    places = sorted({names.index(case.plan.track) for case in every})
    library = Library(pool, places, rows_of(pool, ranker, places, options))
    groups = np.array([corpus.items[names[n]].group for n in places])
    found = []
    for n in np.random.default_rng(2).permutation(len(every))[: options.clips].tolist():
        clip = every[n]
        surveyor = Surveyor(clip.query, ranker._survey.weights)
        rows = library.kept
        evidence = second_look(surveyor.edit, surveyor.weights, rows.kept.sketches, rows.sketch)
        final = ranker._network.rerank(clip.query, library, Placement())
        scores = np.array([one.score for one in final]) + ranker._survey.ranking * evidence
        found.append((scores, groups == corpus.items[clip.plan.track].group))
    return found


def show(family: str, confidence: float, seen: list[tuple[Floats, npt.NDArray[np.bool_]]]) -> None:
    above = np.array([stands_out(scores) for scores, _ in seen])
    right = np.array([own[scores.argmax()] for scores, own in seen])
    luck = np.array([stands_out(scores[~own]) for scores, own in seen])
    count, of = int((above & right).sum()), int(above.sum())
    print(
        f"| {family}, {len(seen)} clips | {len(seen[0][0])} | {confidence} | {above.mean():.3f} "
        f"| {count} of {of} | {luck.mean():.3f} |",
        flush=True,
    )


def stands_out(scores: Floats) -> bool:
    return bool(scores.max() > chance.reached_by_luck(scores, len(scores)))


if __name__ == "__main__":
    main()
