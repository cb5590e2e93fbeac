"""Time of every system: per training sample, and per grounded video.

    python benchmarks/systems.py            # published sizes; 64 rows a step, 1,000 tracks
    python benchmarks/systems.py --quick    # a fraction of it, to see that all works

Features are synthetic, with lengths as in the data (see `made.py`). A training sample is a row of a
step: loss, gradients, AdamW. A grounded video is what `mgsv ground` asks of a method whose clip and
music are features already: a score for every track, the final one for the best 100, and the moment
on the best 20. Times are of the fastest repetition; weights are random.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from ground import synthetic_track
from made import make_batch
from torch import nn

from mgsv.library import TrackFeatures
from mgsv.media.video import CURVE_RATE, VideoCurves, VideoInfo
from mgsv.methods.base import Candidate, Placement, Query
from mgsv.methods.learned import learned
from mgsv.models.adapter import grounding_model
from mgsv.models.checkpoint import Checkpoint
from mgsv.models.composite import Composite
from mgsv.models.registry import COMPOSITE, PAPERS_COMPOSITE, about, build, systems
from mgsv.runtime.model import Encoders
from mgsv.training.config import TrainConfig
from mgsv.training.optimizer import make_optimizer
from mgsv.training.table import FIRST_STAGE

TOP = 5
CLIP_SECONDS = 24.0


def fastest(job: Callable[[], object], times: int) -> float:
    """Seconds of the fastest of `times` repetitions, after one that warms up."""
    taken = []
    for _ in range(times + 1):
        began = time.perf_counter()
        job()
        taken.append(time.perf_counter() - began)
    return min(taken[1:])


def training_seconds(name: str, rows: int, repeat: int) -> float:
    """Of one row of a step."""
    torch.manual_seed(0)
    model = build(name).train()
    optimizer = make_optimizer(model.parameter_groups(), TrainConfig())
    batch = make_batch(rows, False, seed=1)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        sum(model.loss(batch).values()).backward()
        optimizer.step()

    return fastest(step, repeat) / rows


def system(name: str) -> nn.Module:
    """The system as it grounds: the composite of its parts, a re-ranker behind its first stage."""
    torch.manual_seed(0)
    if name == COMPOSITE:
        return Composite(*(build(part) for part in PAPERS_COMPOSITE)).eval()
    model = build(name)
    if name in FIRST_STAGE:
        model = Composite(build(FIRST_STAGE[name]), model, model)
    return model.eval()


def grounding_seconds(name: str, tracks: Sequence[TrackFeatures], repeat: int) -> float:
    """Of one video."""
    method = learned(grounding_model(Checkpoint(name, system(name), Encoders(), {}, "")))
    query = clip()

    def ground() -> None:
        best = method.shortlist(query, tracks, TOP, Placement())
        method.place(query, [Candidate(tracks[n], ranked) for n, ranked in best], Placement())

    return fastest(ground, repeat)


def clip() -> Query:
    rng = np.random.default_rng(0)
    length = int(CLIP_SECONDS * CURVE_RATE)
    curves = VideoCurves(
        duration=CLIP_SECONDS,
        motion=rng.gamma(2.0, 0.02, length).astype(np.float32),
        light=np.full(length, 0.5, np.float32),
        cuts=np.sort(rng.uniform(0, CLIP_SECONDS, 12)).astype(np.float32),
    )
    info = VideoInfo(Path("synthetic.mp4"), CLIP_SECONDS, 1280, 720, 0, 25.0, "h264", False)
    return Query(info, curves, rng.normal(size=(int(CLIP_SECONDS), 512)).astype(np.float32))


def library(count: int) -> list[TrackFeatures]:
    rng = np.random.default_rng(1)
    tracks = []
    for number in range(count):
        segments = int(min(96, rng.integers(14, 99)))
        features = synthetic_track(number, segments * 2.5, rng)
        feats = rng.normal(size=(segments, 768)).astype(np.float16)
        tracks.append(replace(features, segments=feats, segment_mask=np.ones(segments, bool)))
    return tracks


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="8 rows, 12 tracks, once each")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=64, help="rows of a training step")
    parser.add_argument("--tracks", type=int, default=1000, help="tracks to ground in")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions; the fastest counts")
    parser.add_argument("--systems", default="", metavar="A,B", help="only these")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.tracks, options.repeat = 8, 12, 1
    torch.set_num_threads(options.threads)
    tracks = library(options.tracks)
    print(f"{options.rows} rows a step, {options.tracks} tracks, {options.threads} threads\n")
    print(f"{'system':16} {'training sample':>16} {'grounded video':>16}")
    figures = {}
    for name in options.systems.split(",") if options.systems else systems():
        # A composite is trained as its parts.
        sample = None
        if name != COMPOSITE:
            sample = training_seconds(name, options.rows, options.repeat)
        video = grounding_seconds(name, tracks, options.repeat)
        figures[name] = {"training_sample_seconds": sample, "grounded_video_seconds": video}
        shown = "" if sample is None else f"{1000 * sample:.1f} ms"
        print(f"{about(name).title:16} {shown:>16} {video:>14.2f} s", flush=True)
    if options.json:
        document = {**vars(options), "json": str(options.json), "systems": figures}
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
