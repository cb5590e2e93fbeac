"""Finding the nearest of a million embedded windows: exactly, and by an approximate index.

    python recipes/default_model.py CORPUS COMPOSED
    python benchmarks/scale.py CORPUS COMPOSED WORK --tracks 50000
    python benchmarks/vector_search.py CORPUS COMPOSED WORK

The vectors are those that `scale.py` keeps in WORK, each many times with a little noise (a tenth of
the deviation of each dimension); the queries are composed test clips. USearch is measured where it
is installed, which this project does not ask for.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from composed_cases import Corpus, cases
from mgsv.methods.kept import Kept
from mgsv.methods.registry import open_method
from mgsv.methods.surveyed import SurveyedRanker
from mgsv.methods.windows import clip_of

Vectors = npt.NDArray[np.float32]
K = 10
NOISE = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("composed", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--clips", type=int, default=100, help="of each of two families")
    options = parser.parse_args()
    vectors, queries = made(options)
    print(f"{len(vectors):,} vectors of {vectors.shape[1]}, {len(queries)} queries")

    def exact(query: Vectors) -> npt.NDArray[np.intp]:
        return best(vectors @ query)

    truth = [exact(query) for query in queries]
    show("exact, numpy", exact, queries, truth)
    if importlib.util.find_spec("usearch") is None:
        print("USearch is not installed")
        return
    from usearch.index import Index  # type: ignore[import-not-found]

    began = time.perf_counter()
    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f16")
    index.add(np.arange(len(vectors)), vectors)
    print(f"USearch, fp16: built in {time.perf_counter() - began:.0f} s")
    for effort in (64, 256, 1024):
        index.expansion_search = effort
        show(f"USearch, effort {effort}", lambda q: index.search(q, K).keys, queries, truth)


def made(options: argparse.Namespace) -> tuple[Vectors, Vectors]:
    """The vectors [N, d] and the queries [Q, d]."""
    ranker = open_method("made").ranker
    assert isinstance(ranker, SurveyedRanker) and ranker.model is not None
    kept = Kept("bench", ranker.model, options.work / "derived").embeddings
    assert kept is not None and len(kept), "run scale.py first"
    known = np.array(kept.whole("pooled"))
    rng = np.random.default_rng(0)
    vectors = known[rng.integers(len(known), size=options.count)]
    noise = rng.standard_normal(vectors.shape, np.float32)
    vectors += NOISE * known.std(axis=0) * noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    corpus, matcher = Corpus(options.corpus, options.composed / "cache"), ranker.model.matcher
    assert matcher is not None
    clips = [
        clip_of(case.query, ranker.model.limits)
        for family in ("first", "loose")
        for case in list(cases(options.composed / family, "test", corpus))[: options.clips]
    ]
    return vectors, np.array([clip.seen_by(matcher).pooled[0] for clip in clips])


def best(scores: Vectors) -> npt.NDArray[np.intp]:
    return np.asarray(np.argpartition(scores, -K)[-K:])


def show(
    name: str,
    search: Callable[[Vectors], npt.NDArray[np.intp]],
    queries: Vectors,
    truth: list[npt.NDArray[np.intp]],
) -> None:
    seconds, found = [], []
    for query in queries:
        began = time.perf_counter()
        found.append(search(query))
        seconds.append(time.perf_counter() - began)
    recall = np.mean([np.isin(a, b).mean() for a, b in zip(truth, found, strict=True)])
    half, most = np.percentile(seconds, [50, 95]) * 1e3
    load = os.getloadavg()[0]
    print(
        f"{name}: median {half:.1f} ms, p95 {most:.1f} ms, recall@{K} {recall:.3f}; load {load:.1f}"
    )


if __name__ == "__main__":
    main()
