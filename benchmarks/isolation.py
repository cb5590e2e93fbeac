"""What decoding in processes of their own costs: the same work with and without, pair by pair.

    .venv/bin/python benchmarks/isolation.py [--rounds 5]

Prints how much more each kind of work takes with decoder processes, in time and in processor time:
medians over pairs of runs, one right after the other in an order that alternates. Processor time
hardly depends on what else the machine does, and includes the start of the processes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mgsv.demo import demo_clip, demo_music
from mgsv.encoders.registry import encoder_pair
from mgsv.library import Library
from mgsv.media import decoder, isolated
from mgsv.media.decoder import SWITCH

TARGET = 0.10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    folder, song = demo_music()
    tracks = [*sorted(folder.rglob("*.opus")), song]
    clip = demo_clip()
    print(f"{os.cpu_count()} cores, {rounds} rounds\n")
    print(f"{'what':36} {'without':>9} {'with':>9} {'cost':>7} {'quartiles':>16}", end="")
    print(f" {'processor':>10}   target")
    with tempfile.TemporaryDirectory(prefix="mgsv-bench-") as scratch:
        # Each measured job is warm: encoders are loaded, files are in the page cache.
        pair = encoder_pair()
        jobs: list[tuple[str, list[Callable[[], object]], str]] = [
            ("decoding a track", [lambda t=t: isolated.read_audio(t) for t in tracks], ""),
            ("a pass over a clip", [lambda: list(isolated.VideoScan(clip, 224))], ""),
            (
                f"indexing {len(tracks)} tracks",
                [lambda: index(tracks, Path(scratch), pair.music)],
                f"at most {TARGET:.0%}",
            ),
            (
                "mgsv ground, one clip and one track",
                [lambda: ground(clip, tracks[0], Path(scratch))],
                "at most 0.15 s",
            ),
        ]
        for what, calls, target in jobs:
            for call in calls:
                call()
            print_row(what, [measured(call, n) for n in range(rounds) for call in calls], target)


@dataclass(frozen=True)
class Pair:
    """The same work without and with decoder processes, in seconds."""

    off: float
    on: float
    processor_off: float
    processor_on: float


def measured(call: Callable[[], object], number: int) -> Pair:
    wall, processor = {}, {}
    for switch in ("off", "on") if number % 2 else ("on", "off"):
        os.environ[SWITCH] = switch
        start, used = time.perf_counter(), processor_time()
        call()
        wall[switch] = time.perf_counter() - start
        decoder.end_all()
        processor[switch] = processor_time() - used
        decoder.start_ahead()
        time.sleep(0.5)
    return Pair(wall["off"], wall["on"], processor["off"], processor["on"])


def processor_time() -> float:
    """Seconds, of this process and of those that have ended."""
    return sum(os.times()[:4])


def print_row(what: str, pairs: list[Pair], target: str) -> None:
    low, middle, high = statistics.quantiles([pair.on / pair.off - 1 for pair in pairs], n=4)
    off, on = (
        statistics.median(column) for column in ([p.off for p in pairs], [p.on for p in pairs])
    )
    processor = statistics.median(pair.processor_on / pair.processor_off - 1 for pair in pairs)
    quartiles = f"{low:+.1%} to {high:+.1%}"
    print(f"{what:36} {off:8.3f}s {on:8.3f}s {middle:+7.1%} {quartiles:>16}", end="")
    print(f" {processor:+10.1%}   {target}", flush=True)


def index(tracks: list[Path], scratch: Path, encoder: object) -> None:
    with (
        tempfile.TemporaryDirectory(dir=scratch) as folder,
        Library.open(tracks, folder=Path(folder), encoder=encoder) as library,
    ):
        assert library.report.added == len(tracks)


def ground(clip: Path, track: Path, scratch: Path) -> None:
    command = [sys.executable, "-m", "mgsv", "ground", clip, "--music", track, "--no-render"]
    command += ["--library", scratch / "library"]
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()
