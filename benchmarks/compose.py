"""Composed edits: how like the features are to those of rendered files, and how fast they come.

    python benchmarks/compose.py likeness --music DIR --pictures DIR [--clips DIR] [--videos 6]
    python benchmarks/compose.py speed    --music DIR --pictures DIR [--clips DIR] [--rows 200]

`likeness` prints cosines of the rows, lossless and through H.264, and the scales of
`synthesis/composed/features.py`.
Everything is made in a temporary folder; --cache keeps the analyses.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from mgsv.data.folder import PACKED_FOLDER, packed_name
from mgsv.data.packed import PackedStore
from mgsv.encoders.motion import APPEARANCE_DIM, CHANNELS
from mgsv.encoders.registry import video_encoder
from mgsv.media.video import VideoScan
from mgsv.synthesis.composed import (
    PLANS,
    VIDEOS,
    ComposeInputs,
    ComposeOptions,
    compose,
    worker_processes,
)
from mgsv.synthesis.composed.plan import Plan, read_plans


def likeness(arguments: argparse.Namespace, folder: Path) -> None:
    """Direct features against those of the files, without loss and as H.264."""
    for name, lossless in (("lossless", True), ("H.264, CRF 23", False)):
        options = ComposeOptions(
            train=arguments.videos, val=0, test=0, videos=arguments.videos, lossless=lossless
        )
        root = make(arguments, folder / name, options)
        store = PackedStore(root / PACKED_FOLDER / packed_name("frames"))
        plans = read_plans(root / PLANS)
        direct = [store.read(plan.video_id).features for plan in plans]
        files = [encoded(next((root / VIDEOS).glob(f"{plan.video_id}.*"))) for plan in plans]
        files = [rows[: len(own)] for rows, own in zip(files, direct, strict=True)]
        a, b = np.concatenate(direct), np.concatenate(files)
        cosines = cosine(a, b)
        looks = cosine(a[:, :APPEARANCE_DIM], b[:, :APPEARANCE_DIM])
        print(f"{name}: {len(a)} rows of {len(plans)} videos")
        print(f"  cosine, all 1288      mean {cosines.mean():.4f}  least {cosines.min():.4f}")
        print(f"  cosine, appearance    mean {looks.mean():.4f}  least {looks.min():.4f}")
        error = np.abs(a - b)[:, APPEARANCE_DIM:].mean(0)
        usual = np.abs(b)[:, APPEARANCE_DIM:].mean(0)
        for channel, off, of in zip(CHANNELS, error, usual, strict=True):
            print(f"  {channel:14} mean error {off:.3f} of {of:.3f}")
        if not lossless:
            print_noise(plans, direct, files)


def print_noise(plans: list[Plan], direct: list[np.ndarray], files: list[np.ndarray]) -> None:
    """The constants of `synthesis/composed/features.py`."""
    a, b = np.concatenate(direct), np.concatenate(files)
    x, rest = a[:, :APPEARANCE_DIM], (b - a)[:, :APPEARANCE_DIM]
    edges = np.quantile(x, np.linspace(0, 1, 21))
    place = np.clip(np.searchsorted(edges, x) - 1, 0, 19)
    filled = [n for n in range(20) if (place == n).any()]  # many values are 0 alike
    middle = np.array([x[place == n].mean() for n in filled])
    spread = np.array([np.sqrt((rest[place == n] ** 2).mean()) for n in filled])
    share, floor = np.polyfit(middle, spread, 1)
    pairs = []
    for plan, own, file in zip(plans, direct, files, strict=True):
        shot = np.searchsorted([s.start for s in plan.shots], np.arange(len(own)) + 1e-6)
        left = (file - own)[:, :APPEARANCE_DIM] / (floor + share * own[:, :APPEARANCE_DIM])
        same = np.flatnonzero(np.diff(shot) == 0)
        pairs += [(left[n] * left[n + 1]).mean() / (left[n] ** 2).mean() for n in same]
    motion = (b - a)[:, APPEARANCE_DIM:].std(0)
    print(f"  noise: FLOOR {floor:.3f}, SHARE {share:.3f}, LASTING {np.mean(pairs):.2f}")
    print(f"  noise: MOTION {', '.join(f'{value:.3f}' for value in motion)}")


def encoded(path: Path) -> np.ndarray:
    encoder = video_encoder()
    scan = VideoScan(path, encoder.image_size)
    return encoder.encode(scan, lambda: scan.curves)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-9)


def speed(arguments: argparse.Namespace, folder: Path) -> None:
    """Pairs an hour with everything analysed, by the wall and by one processor's time."""
    make(arguments, folder / "warm", ComposeOptions(train=1, val=0, test=0))
    for jobs in (1, 2):
        begun, used = time.perf_counter(), time.process_time()
        options = ComposeOptions(train=arguments.rows, val=0, test=0)
        make(arguments, folder / f"jobs-{jobs}", options, jobs)
        wall, used = time.perf_counter() - begun, time.process_time() - used
        own = f", {used / arguments.rows:.3f} s of one processor each" if jobs == 1 else ""
        print(f"{jobs} jobs: {3600 * arguments.rows / wall:9,.0f} pairs/h on this machine{own}")


def make(
    arguments: argparse.Namespace, output: Path, options: ComposeOptions, jobs: int = 1
) -> Path:
    with worker_processes(jobs) as workers:
        return compose(
            output,
            ComposeInputs(arguments.music, arguments.pictures, arguments.clips),
            options=options,
            cache=arguments.cache or output.parent / "cache",
            executor=workers,
        ).output


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["likeness", "speed"])
    for name in ("music", "pictures", "clips", "cache"):
        parser.add_argument(f"--{name}", type=Path, required=name in ("music", "pictures"))
    parser.add_argument("--videos", type=int, default=6)
    parser.add_argument("--rows", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        {"likeness": likeness, "speed": speed}[given.what](given, Path(temporary))
