"""What decoding in processes of their own costs: the same work with and without, pair by pair.

    .venv/bin/python benchmarks/isolation.py [--rounds 5]

Prints how much longer each kind of work takes with decoder processes: the median over pairs of
runs, one right after the other in an order that alternates, and the quartiles.
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
from pathlib import Path

from mgsv.demo import demo_clip, demo_music
from mgsv.encoders.registry import encoder_pair
from mgsv.library import Library
from mgsv.media import isolated
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
    print(f"{'what':44} {'without':>9} {'with':>9} {'cost':>7}  {'quartiles':>16}   target")
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


def measured(call: Callable[[], object], number: int) -> tuple[float, float]:
    """Seconds without and with decoder processes."""
    seconds = {}
    for switch in ("off", "on") if number % 2 else ("on", "off"):
        os.environ[SWITCH] = switch
        start = time.perf_counter()
        call()
        seconds[switch] = time.perf_counter() - start
    return seconds["off"], seconds["on"]


def print_row(what: str, pairs: list[tuple[float, float]], target: str) -> None:
    costs = [on / off - 1 for off, on in pairs]
    low, middle, high = statistics.quantiles(costs, n=4)
    off, on = (statistics.median(column) for column in zip(*pairs, strict=True))
    quartiles = f"{low:+.1%} to {high:+.1%}"
    print(
        f"{what:44} {off:8.3f}s {on:8.3f}s {middle:+7.1%}  {quartiles:>16}   {target}", flush=True
    )


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
