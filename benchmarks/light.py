"""The base install with ONNX Runtime beside an older one with torch, by turns in one run.

    python benchmarks/light.py OLD NEW      # the Pythons of two environments with mgsv installed

OLD is one from before torch became an extra. The two take turns, and of each figure the best of
some tries counts: on a shared machine only the ratios mean something.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from ground import make_clip, run

from mgsv.demo import demo_music
from mgsv.media.audio import probe_audio

Figure = Callable[[str], float]

PICTURES = """
import time, numpy as np
from mgsv.encoders import efficientnet as e
pictures = list(np.random.default_rng(0).integers(0, 255, (4, 256, 320, 3), np.uint8))
e.embed_pictures(pictures)
times = []
for _ in range(12):
    start = time.perf_counter()
    e.embed_pictures(pictures)
    times.append(time.perf_counter() - start)
print(4 / min(times))
"""
MUSIC = """
import sys, time, numpy as np
from mgsv.encoders.musicnn import embed_track
if "torch" in sys.modules:  # as indexing has it: the tracks take all cores
    sys.modules["torch"].set_num_threads(1)
sound = np.random.default_rng(0).normal(0, 0.1, 16_000 * 30).astype("f4")
embed_track(sound, 12)
times = []
for _ in range(5):
    start = time.perf_counter()
    embed_track(sound, 12)
    times.append(time.perf_counter() - start)
print(30 / min(times))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("old", help="Python of the older environment")
    parser.add_argument("new", help="Python of the base install")
    parser.add_argument("--tries", type=int, default=3)
    options = parser.parse_args()
    print(f"{'what':52} {'old':>9} {'new':>9} {'new / old':>10}")
    with tempfile.TemporaryDirectory(prefix="mgsv-light-") as scratch:
        folder = Path(scratch)
        clip = make_clip(folder / "clip720.mp4", 1280, 720, 10)
        music = demo_music()[0]
        seconds = sum(probe_audio(path).duration for path in music.rglob("*.opus"))

        def library(python: str) -> Path:
            return folder / f"library-{('old', 'new')[python == options.new]}"

        def index(python: str) -> float:
            """Times real time, into a library of its own."""
            with tempfile.TemporaryDirectory(dir=folder) as fresh:
                command = [python, "-m", "mgsv", "library", "add", str(music), "--library", fresh]
                return seconds / run(*command)[0]

        def ground(python: str, of: int) -> float:
            command = [python, "-m", "mgsv", "ground", str(clip), "--music", str(music)]
            return run(*command, "--library", str(library(python)), "--no-render")[of]

        for python in (options.old, options.new):
            add = [python, "-m", "mgsv", "library", "add", str(music)]
            run(*add, "--library", str(library(python)))
        tries = options.tries
        row = Comparison(options.old, options.new, tries)
        row("ground, 10 s 720p, 28 indexed tracks, s", lambda p: ground(p, 0), min)
        row("  its CPU time, s", lambda p: ground(p, 1), min)
        row("  its peak memory, GB", lambda p: ground(p, 2) / 1e9, min)
        row("indexing 28 tracks, process start included, x", index, max)
        row("music encoder on one thread, times real time", lambda p: printed(p, MUSIC), max)
        row("pictures a second", lambda p: printed(p, PICTURES), max)
        row("import mgsv, process start included, s", lambda p: run(p, "-c", "import mgsv")[0], min)


class Comparison:
    """Prints one figure of both environments, measured by turns."""

    def __init__(self, old: str, new: str, tries: int) -> None:
        self._sides, self._tries = (old, new), tries

    def __call__(self, what: str, figure: Figure, best: Callable[[list[float]], float]) -> None:
        found: dict[str, list[float]] = {side: [] for side in self._sides}
        for _ in range(self._tries):
            for side in self._sides:
                found[side].append(figure(side))
        old, new = (best(found[side]) for side in self._sides)
        print(f"{what:52} {old:9.2f} {new:9.2f} {new / old:10.2f}", flush=True)


def printed(python: str, code: str) -> float:
    """The number that a program prints."""
    done = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()
