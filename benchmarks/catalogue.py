"""A catalogue of a million tracks, all of it generated: opening, adding, looking up, listing.

    python benchmarks/catalogue.py WORK [--tracks 1000000] [--width 761]

Each track has a path, a record with five tags, and the mean of `--width` made-up features, as a
real one has; there are no feature files but those that are added here. WORK keeps the catalogue.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mgsv.library import Library
from mgsv.library.features import TrackRecord
from mgsv.library.filestore import FileStore
from mgsv.library.store import Place

ENCODER = "made-up:0123456789abcdef"
TAGS = json.dumps({"guitar": 0.5, "rock": 0.4, "slow": 0.3, "piano": 0.2, "ambient": 0.1})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--tracks", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=761)
    options = parser.parse_args()
    folder = options.work / f"catalogue-{options.tracks}-{options.width}"
    if not folder.exists():
        began = time.perf_counter()
        made(folder, options.tracks, options.width)
        print(f"generated in {time.perf_counter() - began:.0f} s")
    size = (folder / "catalogue.sqlite").stat().st_size
    print(f"{options.tracks} generated tracks, {size / 1e9:.2f} GB, load {os.getloadavg()[0]:.1f}")
    measured(folder, options.tracks, options.width)


def made(folder: Path, tracks: int, width: int) -> None:
    store = FileStore(folder)
    db = store._db
    mean = np.zeros(width, "<f4").tobytes()
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA cache_size = -1000000")
    db.execute("BEGIN")
    db.executemany(
        "INSERT INTO track VALUES (?, 180.0, 120.0)", ((name(n),) for n in range(tracks))
    )
    db.executemany(
        "INSERT INTO feature VALUES (?, ?, ?, ?, ?, ?, 2)",
        ((name(n), ENCODER, f"{n}", TAGS, name(n), mean) for n in range(tracks)),
    )
    db.executemany("INSERT INTO place VALUES (?, 1, 1, ?, '')", places(tracks))
    db.execute("COMMIT")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()


def name(n: int) -> str:
    """Ids are hashes: they lie anywhere."""
    return f"{(n * 0x9E3779B97F4A7C15) % (1 << 64):016x}{n:016x}"


def places(tracks: int) -> Iterator[tuple[bytes, str]]:
    for n in range(tracks):
        yield f"/made-up/{n // 1000:06}/{n:09}.flac".encode(), name(n)


def measured(folder: Path, tracks: int, width: int) -> None:
    began = time.perf_counter()
    with Library.open(folder=folder, encoder=None) as library:
        assert library.encoder_fingerprint == ENCODER
        told("opened, encoder known", began)
        store = library._store
        times = []
        for n in range(20):
            began = time.perf_counter()
            added(store, tracks + n + int(time.time()), width)
            times.append(time.perf_counter() - began)
        print(
            f"one track added: median {1e3 * np.median(times):.1f} ms, most {1e3 * max(times):.1f}"
        )
        began = time.perf_counter()
        for n in range(1000):
            assert store.record(name(n * (tracks // 1000)), ENCODER)
        told("1000 records looked up", began)
        began = time.perf_counter()
        assert len(list(itertools.islice(library.each(), 1000))) == 1000
        told("the first 1000 of a listing", began)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"most memory: {most:.0f} MB")


def added(store: object, n: int, width: int) -> None:
    """As `mgsv library add` does once a file is analysed."""
    assert isinstance(store, FileStore)
    arrays = {
        "segments": np.zeros((70, width), np.float16),
        "segment_mask": np.ones(70, bool),
        "onset": np.zeros(11_000, np.float16),
        "energy": np.zeros(11_000, np.float16),
        "beats": np.zeros(300, np.float32),
    }
    with store.writing(1.0, print):
        store.put(TrackRecord(name(n), 180.0, 120.0, json.loads(TAGS)), ENCODER, arrays)
        store.place(Place(f"/made-up/new/{n}.flac".encode(), 1, 1, name(n)))


def told(what: str, began: float) -> None:
    print(f"{what}: {1e3 * (time.perf_counter() - began):.0f} ms", flush=True)


if __name__ == "__main__":
    main()
