"""What it costs that several threads ground with one session at the same time.

    python benchmarks/sharing.py                # 1, 2 and 4 threads
    python benchmarks/sharing.py --clips 24

Each count of threads grounds the same clips, in a process of its own, whose CPU time is shown too.
More threads than cores should cost no more CPU time a clip, and no wall time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from ground import make_clip

from mgsv.demo import demo_music

CODE = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
import mgsv
clip, music, folder, threads, clips, part = sys.argv[1:]
with mgsv.Session.open(music, folder=folder) as session:
    read = session.read(clip)
    session.ground(read)
    work = {"all": lambda _: session.ground(clip), "read": lambda _: session.read(clip),
            "find": lambda _: session.ground(read)}[part]
    with ThreadPoolExecutor(int(threads)) as pool:
        wall, cpu = time.perf_counter(), time.process_time()
        list(pool.map(work, range(int(clips))))
        print(time.perf_counter() - wall, time.process_time() - cpu)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--tries", type=int, default=3, help="the best of which counts")
    options = parser.parse_args()
    print(f"{'what':34} {'threads':>7} {'s a clip':>9} {'CPU s a clip':>13}")
    with tempfile.TemporaryDirectory(prefix="mgsv-sharing-") as scratch:
        folder = Path(scratch)
        clip, music = make_clip(folder / "clip.mp4", 640, 360, 10), demo_music()[0]
        for part, what in (
            ("all", "ground a 10 s 360p clip"),
            ("read", "  read it, decoding not counted"),
            ("find", "  find its moments"),
        ):
            for threads in options.threads:
                command = [clip, music, folder / "library", threads, options.clips, part]
                found = [times(*map(str, command)) for _ in range(options.tries)]
                wall, cpu = (min(one[n] for one in found) / options.clips for n in (0, 1))
                print(f"{what:34} {threads:7} {wall:9.3f} {cpu:13.3f}", flush=True)


def times(*arguments: str) -> tuple[float, float]:
    """(wall, CPU) seconds of all clips."""
    command = [sys.executable, "-c", CODE, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    wall, cpu = map(float, done.stdout.split())
    return wall, cpu


if __name__ == "__main__":
    main()
