"""Speed and memory of indexing, grounding and rendering, each as a process, as a user runs it.

    make bench        # or: .venv/bin/python benchmarks/ground.py

Prints one row per figure with its target. Music: the 28 bundled tracks; clips are made on the spot.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from mgsv.demo import demo_music
from mgsv.library import Track, TrackFeatures
from mgsv.media.audio import probe_audio
from mgsv.media.rhythm import ONSET_RATE
from mgsv.media.video import CURVE_RATE, VideoCurves, VideoInfo
from mgsv.methods.base import Method, Placement, Query
from mgsv.methods.sync import Sync

MGSV = [sys.executable, "-m", "mgsv"]


def main() -> None:
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}\n")
    print(f"{'what':58} {'measured':>14}   target")
    with tempfile.TemporaryDirectory(prefix="mgsv-bench-") as scratch:
        folder = Path(scratch)
        help_time()
        indexing(folder)
        grounding(folder)
        memory(folder)
        scoring()
        rendering(folder)


def row(what: str, measured: str, target: str) -> None:
    print(f"{what:58} {measured:>14}   {target}", flush=True)


def help_time() -> None:
    seconds = min(run(*MGSV, "--help")[0] for _ in range(3))
    row("mgsv --help", f"{seconds:.2f} s", "at most 0.5 s")


def indexing(folder: Path) -> None:
    music = demo_music()[0]
    total = sum(probe_audio(path).duration for path in music.rglob("*.opus"))
    wall, cpu, _ = run(*MGSV, "library", "add", str(music), "--library", str(folder / "lib"))
    row(f"indexing 28 tracks ({total / 60:.1f} min), process start included", f"{wall:.1f} s", "")
    row("  times real time", f"{total / wall:.0f}x", "at least 60x")
    row("  cores used (CPU time / wall)", f"{cpu / wall:.2f}", "both")


def grounding(folder: Path) -> None:
    clip = make_clip(folder / "clip720.mp4", 1280, 720, 10)
    command = ground_command(clip, folder)
    wall = min(run(*command, "--no-render")[0] for _ in range(3))
    row("ground, 10 s 720p clip, 28 indexed tracks, no render", f"{wall:.2f} s", "")
    wall = min(run(*command, "--overwrite")[0] for _ in range(3))
    row("ground, the same, rendered", f"{wall:.2f} s", "at most 6 s")
    code = "import mgsv.cli, mgsv.grounding, mgsv.media.render, mgsv.media.timeline"
    imports = min(run(sys.executable, "-c", code)[0] for _ in range(3))
    row("  of which Python's start and imports", f"{imports:.2f} s", "at most 2.5 s")


def memory(folder: Path) -> None:
    for name, width, height, seconds in (
        ("10 s 720p", 1280, 720, 10),
        ("10 s 2160p", 3840, 2160, 10),
        ("120 s 720p", 1280, 720, 120),
    ):
        clip = make_clip(folder / f"memory-{height}-{seconds}.mp4", width, height, seconds)
        _, _, peak = run(*ground_command(clip, folder), "--overwrite")
        row(f"peak memory of ground with render, {name}", f"{peak / 1e9:.2f} GB", "at most 1.2 GB")


def scoring() -> None:
    rng = np.random.default_rng(0)
    tracks = [synthetic_track(i, 180.0, rng) for i in range(1000)]
    length = 24 * CURVE_RATE
    curves = VideoCurves(
        duration=24.0,
        motion=rng.gamma(2.0, 0.02, int(length)).astype(np.float32),
        light=np.full(int(length), 0.5, np.float32),
        cuts=np.sort(rng.uniform(0, 24, 12)).astype(np.float32),
    )
    info = VideoInfo(Path("synthetic.mp4"), 24.0, 1280, 720, 0, 25.0, "h264", False)
    query, sync = Query(info, curves), Sync()
    with clock() as taken:
        scores = sync.score_tracks(query, tracks)
    row("sync: score 1,000 synthetic three-minute tracks", f"{taken[0]:.2f} s", "at most 2 s")
    with clock() as taken:
        sync.chance(query, tracks)
        best = [tracks[i] for i in np.argsort(-scores)[:20]]
        Method("sync", sync, sync).detect(query, best, Placement())
    row("  then chance level and 20 detections", f"{taken[0]:.2f} s", "")


def rendering(folder: Path) -> None:
    clip = make_clip(folder / "clip60.mp4", 1280, 720, 60)
    song = demo_music()[1]
    code = (
        "import sys; from mgsv.media.render import render; from mgsv.moment import Moment\n"
        "import time; t = time.perf_counter()\n"
        "r = render(sys.argv[1], sys.argv[2], Moment(5.0, 65.0), sys.argv[3])\n"
        "assert r.copied_video; print(time.perf_counter() - t)"
    )
    target = folder / "out60.mp4"
    arguments = [sys.executable, "-c", code, str(clip), str(song), str(target)]
    taken = float(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)
    row("render a 60 s 720p clip, video copied", f"{taken:.2f} s", "")
    row("  times real time", f"{60 / taken:.0f}x", "at least 20x")


def ground_command(clip: Path, folder: Path) -> list[str]:
    library = ["--music", str(demo_music()[0]), "--library", str(folder / "lib")]
    return [*MGSV, "ground", str(clip), *library]


def run(*command: str) -> tuple[float, float, float]:
    """(wall seconds, CPU seconds, peak resident bytes) of one process that must succeed."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    text = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{text}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024.0


@contextmanager
def clock() -> Iterator[list[float]]:
    taken: list[float] = []
    start = time.perf_counter()
    yield taken
    taken.append(time.perf_counter() - start)


def make_clip(path: Path, width: int, height: int, seconds: int) -> Path:
    """`write_clip` in a process of its own: a process started later inherits this one's peak."""
    size = [str(number) for number in (width, height, seconds)]
    subprocess.run([sys.executable, __file__, str(path), *size], check=True)
    return path


def write_clip(path: Path, width: int, height: int, seconds: int) -> None:
    """A moving, noisy picture with a cut every 1.3 s, at 25 frames a second."""
    rng = np.random.default_rng(height)
    stills = [rng.integers(0, 255, (height // 8, width // 8, 3), np.uint8) for _ in range(4)]
    pictures = [still.repeat(8, axis=0).repeat(8, axis=1) for still in stills]
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.time_base = Fraction(1, 25)
        for index in range(seconds * 25):
            picture = np.roll(pictures[int(index / 32.5) % 4], index * 4, axis=1)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = index
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def synthetic_track(number: int, seconds: float, rng: np.random.Generator) -> TrackFeatures:
    length = round(seconds * ONSET_RATE)
    beats = np.arange(0.0, seconds, 0.5, dtype=np.float32)
    onset = rng.exponential(0.2, length)
    onset[(beats * ONSET_RATE).astype(int)] += 2.0
    energy = np.clip(0.6 + np.cumsum(rng.normal(0, 0.001, length)), 0, 1)
    track = Track(
        id=f"{number:032x}", path=Path(f"{number}.mp3"), duration=seconds, tempo=120.0, tags=()
    )
    return TrackFeatures(
        track=track,
        segments=np.zeros((72, 4), np.float16),
        segment_mask=np.ones(72, bool),
        onset=onset.astype(np.float16),
        energy=energy.astype(np.float16),
        beats=beats,
    )


if __name__ == "__main__":
    if len(sys.argv) == 5:
        write_clip(Path(sys.argv[1]), *(int(number) for number in sys.argv[2:]))
    else:
        main()
