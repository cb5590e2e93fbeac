"""Past uses: what they tell on the real annotations, and fused with stand-ins for a model.

    python benchmarks/memory.py real FOLDER   (with val_data.csv and test_data.csv of MGSV-EC)
    python benchmarks/memory.py fusion
    python benchmarks/memory.py speed

No model is asked in `fusion`: the stand-ins are the planted oracle's answers, of which a share is
exchanged for random ones, with a confidence that knows a little of which.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from mgsv.data.annotations import Annotations
from mgsv.data.dataset import SplitData
from mgsv.data.folder import DataFolder
from mgsv.evaluation.memory import evaluate_fusion, evaluate_memory
from mgsv.evaluation.results import Results
from mgsv.memory.model import ClipTraits, Memory
from mgsv.memory.use import Use
from mgsv.synthesis.planted import PlantOptions, plant, predict_oracle

PLANTED = PlantOptions(train=2500, val=500, test=1000, tracks=1000, hot=0.7, seed=8)
KEPT = {"poor": 0.2, "fair": 0.5, "good": 0.8, "oracle": 1.0}
"""Share of the oracle's answers that each stand-in keeps."""


def real(folder: Path) -> None:
    """Both directions: one split as the memory, the other as queries."""
    for uses, queries in (("val", "test"), ("test", "val")):
        document = evaluate_memory(folder / f"{uses}_data.csv", folder / f"{queries}_data.csv")
        print(f"{uses} as memory, {queries} as queries")
        table(document["parts"][:3])


def table(parts: list[dict[str, Any]]) -> None:
    for part in parts:
        for name, found in part["methods"].items():
            low, high = found["intervals"]["mIoU"]
            print(
                f"  {part['part']:14} {part['queries']:5} {name:24}"
                f"{found['measures']['mIoU']:8.4f}  ({low:.4f} to {high:.4f})"
            )
        if "gain" in part:
            low, high = part["gain"]["interval"]
            print(f"  {'':45}{part['gain']['mIoU']:+8.4f}  ({low:+.4f} to {high:+.4f}) gained")


def fusion() -> None:
    """Memory, stand-in and both fused on a planted benchmark with usual moments."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = plant(Path(temporary) / "planted", PLANTED)
        data = DataFolder.open(folder)
        splits = {name: SplitData.from_folder(data, name).rows for name in ("val", "test")}
        oracle = {name: predict_oracle(data, rows) for name, rows in splits.items()}
        uses = data.annotations("train")
    for name, kept in KEPT.items():
        val, test = (
            worsened(rows, oracle[split], kept, seed)
            for seed, (split, rows) in enumerate(splits.items())
        )
        document, fitted = evaluate_fusion(uses, val=val, test=test)
        print(f"{name} stand-in ({kept:.0%} of the oracle's answers kept); {fitted}")
        table(document["parts"])


def worsened(rows: Annotations, moments: np.ndarray, kept: float, seed: int) -> Results:
    """The oracle's answers [V, 2], all but a share of `kept` thrown anywhere on their tracks."""
    rng = np.random.default_rng(seed)
    good = rng.random(len(rows)) < kept
    anywhere = rng.random(len(rows)) * np.maximum(rows.track_seconds - rows.video_seconds, 0)
    starts = np.where(good, moments[:, 0], anywhere)
    confidence = good + rng.normal(0, 0.8, len(rows))
    return Results.of(rows, np.stack([starts, starts + rows.video_seconds], axis=1), confidence)


def speed(uses: int = 100_000, tracks: int = 10_000, asked: int = 1000) -> None:
    """CPU time to make a memory of many uses, and to ask it."""
    rng = np.random.default_rng(0)
    starts = rng.uniform(0, 100, uses)
    known = [
        Use(f"t{n % tracks}", s, s + 20, 150.0, f"v{n}", 0.0, 20.0)
        for n, s in enumerate(starts.tolist())
    ]
    begun = time.process_time()
    memory = Memory(known)
    made = time.process_time()
    for n in range(asked):
        memory.density(f"t{n}", 150.0, ClipTraits(20.0)).candidates()
    done = time.process_time()
    print(f"{uses} uses of {tracks} tracks: made in {made - begun:.2f} s of CPU")
    print(f"candidates on one track: {1000 * (done - made) / asked:.2f} ms of CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["real", "fusion", "speed"])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("../shared/mgsv-ec"))
    given = parser.parse_args()
    if given.what == "real":
        real(given.folder)
    else:
        {"fusion": fusion, "speed": speed}[given.what]()


if __name__ == "__main__":
    main()
