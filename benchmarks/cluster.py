"""Indexing on a Ray cluster: two nodes of one core against one, and what killed workers lose.

    .venv/bin/python benchmarks/cluster.py [--tracks 40] [--rounds 3] [--kills 50]

Needs `mgsv[cluster]`. The nodes are on this machine, each pinned to a core, so where other programs
take these cores the ratio says little; the load is printed with it. Ray gives its workers the
lowest priority, which RAY_worker_niceness=0 in the environment keeps it from. Tracks are noise with
clicks, made on the spot, encoded by the default encoder. Killed are workers at work, chosen by
chance, some 2 s apart.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import threading
import time
import wave
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))

from mgsv.cluster import Ray
from mgsv.library import Library
from mgsv.runtime.worker import prepare_worker
from ray_cluster import busy_workers, kill, nodes_of_one_core

RATE = 16_000
PAUSE = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=120.0, help="of each track")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=50)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mgsv-bench-") as name:
        scratch = Path(name)
        for number in range(given.tracks):
            write_track(scratch / f"music/{number:04}.wav", number, given.seconds)
        if given.rounds:
            ratios = [measured_ratio(scratch, number) for number in range(given.rounds)]
            print(f"two nodes against one: {statistics.median(ratios):.2f} x (wanted: 1.7)")
        if given.kills:
            count_lost(scratch, given.tracks, given.kills)


def write_track(path: Path, seed: int, seconds: float) -> None:
    chance = np.random.default_rng(seed)
    samples = chance.normal(0, 0.05, int(seconds * RATE))
    samples[:: RATE // 2] = 0.9
    path.parent.mkdir(exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def measured_ratio(scratch: Path, number: int) -> float:
    """Tracks a second of two nodes over those of one, one right after the other."""
    speed = {}
    for count in (1, 2) if number % 2 else (2, 1):
        with (
            nodes_of_one_core(count, pinned=True) as nodes,
            Ray(nodes.address, start=prepare_worker) as ray,
        ):
            list(ray.map(time.sleep, [0.5] * 4 * count))  # the workers have started
            list(ray.map(_warm, range(2 * count)))
            start = time.perf_counter()
            added = index(scratch, ray)
            speed[count] = added / (time.perf_counter() - start)
    load = os.getloadavg()[0]
    print(f"  1 node {speed[1]:.2f}, 2 nodes {speed[2]:.2f} tracks/s; load {load:.1f}", flush=True)
    return speed[2] / speed[1]


def _warm(_: int) -> None:
    from mgsv.encoders.registry import music_encoder
    from mgsv.media.audio import Audio
    from mgsv.media.metre import analyse_metre

    noise = np.random.default_rng(0).normal(0, 0.1, RATE * 4).astype(np.float32)
    music_encoder().encode(Audio(noise, RATE), analyse_metre(noise, RATE)[0])


def index(scratch: Path, ray: Ray) -> int:
    with (
        tempfile.TemporaryDirectory(dir=scratch) as folder,
        Library.open(folder=folder, executor=ray) as library,
    ):
        return library.add(scratch / "music").added


def count_lost(scratch: Path, tracks: int, kills: int) -> None:
    """Index again and again, each time into a new library, until enough workers were killed."""
    chance = random.Random(0)
    killed = lost = runs = 0
    with nodes_of_one_core(2) as nodes, Ray(nodes.address, start=prepare_worker) as ray:
        while killed < kills:
            ended = threading.Event()
            hits: list[int] = []

            thread = threading.Thread(target=strike, args=(chance, kills - killed, hits, ended))
            thread.start()
            lost += tracks - index(scratch, ray)
            ended.set()
            thread.join()
            killed, runs = killed + len(hits), runs + 1
            print(f"  {killed} workers killed in {runs} runs, {lost} tracks lost", flush=True)
    print(f"{killed} kills: {lost} of {runs * tracks} tracks lost (wanted: 0)")


def strike(chance: random.Random, most: int, hits: list[int], ended: threading.Event) -> None:
    """Kill a worker at work now and then; its process id goes to `hits`."""
    while not ended.wait(PAUSE * chance.uniform(0.5, 1.5)) and len(hits) < most:
        if workers := busy_workers():
            hits.append(chance.choice(workers))
            kill(hits[-1])


if __name__ == "__main__":
    main()
