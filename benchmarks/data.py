"""Packed store against feature files; the planted benchmark's oracle and blind rows.

    python benchmarks/data.py read  [--rows 2000]
    python benchmarks/data.py planted [--full | --train 12000 --tracks 2000 --held-out 1000]

Everything is made in a temporary folder (the full planted benchmark takes 4 GB there).
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mgsv.data.dataset import SplitData
from mgsv.data.folder import FEATURE_FOLDER, DataFolder
from mgsv.data.packed import PackedStore
from mgsv.data.sampler import padding_share
from mgsv.methods.blind import blind_answers
from mgsv.moment import iou
from mgsv.synthesis.planted import PlantOptions, plant, predict_oracle

BATCH = 64


def read(rows: int, folder: Path) -> None:
    """Samples/s of batches from files and from the store, both from a warm page cache."""
    options = PlantOptions(train=rows, val=50, test=50, tracks=max(50, rows // 3))
    root = plant(folder / "planted", options, files=True)
    data = SplitData.open(root, "train")
    order = np.random.default_rng(0).permutation(len(data))
    batches = [order[n : n + BATCH] for n in range(0, len(order) - BATCH + 1, BATCH)]

    def from_files() -> Iterator[torch.Tensor]:
        for batch in batches:
            yield plain_batch(root, data, batch)

    def from_store(trim: bool) -> Iterator[torch.Tensor]:
        for batch in batches:
            yield data.batch(batch, trim=trim).segment_feats

    def bucketed() -> Iterator[torch.Tensor]:
        for batch in data.sampler(BATCH).epoch(0):
            yield data.batch(batch).segment_feats

    files = rate("feature files, torch.load and stack", from_files, len(batches))
    for name, maker in (
        ("packed store, every slot", lambda: from_store(False)),
        ("packed store, trimmed", lambda: from_store(True)),
        ("packed store, trimmed, by length", bucketed),
    ):
        print(f"{'':40}{rate(name, maker, len(batches)) / files:8.1f} x")
    print(f"padding by length: {100 * padding_share(data.sampler(BATCH)):.1f} % of all slots")


def plain_batch(root: Path, data: SplitData, batch: np.ndarray) -> torch.Tensor:
    """The same batch the plain way: four files per sample, masked, stacked; without any checks."""
    rows = [data.rows[int(n)] for n in batch]
    stacked = []
    for kind, ids in (
        ("vit_feature1/vit", [row.video_id for row in rows]),
        ("ast_feature2p5/ast", [row.music_id for row in rows]),
    ):
        features, masks = (
            torch.stack(
                [
                    torch.load(root / FEATURE_FOLDER / f"{kind}_{part}" / f"{name}.pt")
                    for name in ids
                ]
            )
            for part in ("feature", "mask")
        )
        stacked.append(features * masks[..., None])
    return stacked[1]


def rate(name: str, make: Callable[[], Iterator[torch.Tensor]], batches: int) -> float:
    """Best of three runs in samples/s."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        for _ in make():
            pass
        seconds.append(time.perf_counter() - start)
    samples = BATCH * batches / min(seconds)
    print(f"{name:40}{samples:8.0f} samples/s")
    return samples


def planted(options: PlantOptions, folder: Path) -> None:
    """mIoU of the oracle and of every blind baseline on the test split."""
    start = time.perf_counter()
    root = plant(folder / "planted", options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"made in {time.perf_counter() - start:.0f} s, peak memory {peak:.0f} MB; {options}")
    data = DataFolder.open(root)
    train, test = data.annotations("train"), data.annotations("test")
    blind = blind_answers(test, PackedStore(data.packed("segments")), train)
    for name, moments in ({"oracle": predict_oracle(data, test)} | blind).items():
        overlaps = iou(moments, test.moments)
        print(
            f"{name:18}mIoU {overlaps.mean():.3f}   IoU > 0.5 {100 * (overlaps > 0.5).mean():.1f} %"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=("read", "planted"))
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--train", type=int, default=12_000)
    parser.add_argument("--held-out", type=int, default=1_000)
    parser.add_argument("--tracks", type=int, default=2_000)
    parser.add_argument("--hot", type=float, default=0.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    options = PlantOptions(hot=given.hot)
    if not given.full:
        held_out = given.held_out
        options = replace(
            options, train=given.train, val=held_out, test=held_out, tracks=given.tracks
        )
    with tempfile.TemporaryDirectory() as folder:
        if given.what == "read":
            read(given.rows, Path(folder))
        else:
            planted(options, Path(folder))


if __name__ == "__main__":
    main()
