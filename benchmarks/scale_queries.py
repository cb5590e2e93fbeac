"""How long a query takes in libraries on disk, with all of it warm and from a cold start.

    python recipes/default_model.py CORPUS COMPOSED
    python benchmarks/scale_queries.py CORPUS COMPOSED WORK CLIP --tracks 2000 10000

The libraries are real ones, with a feature file for each track; the tracks are the corpus's, then
excerpts and time-scaled copies of them (`scale_library`), whose music files hold nothing but a
number. Warm: a session that has grounded another clip before, and CLIP has been read. Cold:
`mgsv ground CLIP --no-render` as a process of its own, its files in the system's memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from scale_library import Pool, arrays_of

from composed_cases import Corpus
from mgsv.encoders.registry import encoder_pair
from mgsv.grounding import GroundOptions, Session
from mgsv.jobs import Progress
from mgsv.library import Library
from mgsv.library.features import TrackRecord
from mgsv.library.filestore import FileStore
from mgsv.library.store import Place

TIMES = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("composed", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--tracks", type=int, nargs="+", default=[2000, 10_000])
    parser.add_argument("--save", type=Path, metavar="FILE")
    options = parser.parse_args()
    corpus = Corpus(options.corpus, options.composed / "cache")
    names = [name for name, item in corpus.items.items() if item.kind == "music"]
    pool = Pool([corpus.track(name) for name in names])
    sizes = []
    for count in options.tracks:
        folder = options.work / f"library-{count}"
        music = options.work / f"music-{count}"
        if not folder.exists():
            began = time.perf_counter()
            make(folder, music, pool, count)
            print(f"{count} tracks: made in {time.perf_counter() - began:.0f} s")
        sizes.append(measure(folder, music, options.clip, count))
    if options.save:
        options.save.write_text(json.dumps({"sizes": sizes}, indent=1) + "\n")


def make(folder: Path, music: Path, pool: Pool, count: int) -> None:
    encoder = encoder_pair("default").music.fingerprint
    store = FileStore(folder)
    store._db.execute("PRAGMA synchronous = OFF")
    with store.writing(1.0, print):
        for n in range(count):
            copy = pool.copy(n)
            file = music / f"{n // 1000:03}" / f"{n:06}.flac"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(str(n))
            track = pool.tracks[copy.source]
            made = TrackRecord(copy.name, copy.seconds, track.track.tempo * copy.pace, {})
            store.put(made, encoder, arrays_of(track, copy))
            status = file.stat()
            path = os.fsencode(file.resolve())
            store.place(Place(path, status.st_size, status.st_mtime_ns, copy.name))
    store.close()


def measure(folder: Path, music: Path, clip: Path, count: int) -> dict[str, float]:
    began, made = time.perf_counter(), [0.0]

    def prepared(progress: Progress) -> None:
        if progress.done == progress.total:
            made.append(time.perf_counter() - began)
            print(f"{count} tracks: sketches and embeddings made in {made[-1]:.0f} s")

    with Library.open(folder=folder, encoder=None) as library:
        session = Session(library, progress=prepared)
        query = session.read(clip)
        options = GroundOptions(top=5)
        session.ground(query, options)
        times = []
        for _ in range(TIMES):
            start = time.perf_counter()
            session.ground(query, options)
            times.append(time.perf_counter() - start)
    command = [sys.executable, "-m", "mgsv", "ground", clip, "--music", music]
    command += ["--library", folder, "--no-render", "--json"]
    cold = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([str(part) for part in command], check=True, capture_output=True)
        cold.append(time.perf_counter() - start)
    found = {
        "tracks": count,
        "prepared": made[-1],
        "warm": float(np.median(times)),
        "warm_most": max(times),
        "cold": float(np.median(cold)),
        "load": os.getloadavg()[0],
    }
    print(json.dumps(found), flush=True)
    return found


if __name__ == "__main__":
    main()
