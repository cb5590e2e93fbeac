"""What teaches which music suits a picture? Small two-tower networks, compared on val.

    python recipes/taste.py CORPUS WORK

WORK is that of `recipes/default_model.py`; what is missing of `pairs`, `mixed` and `others` is
composed.
Each network sees the mean of a clip's frames and of a track's segments, so that it trains in
seconds; what it is given differs. Printed is how often the right one of val's tracks is among the
best ten, with its standard error over clips, for each kind of edit.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from composed_cases import Corpus
from default_model import made_of
from looks import looks_of
from mgsv.data.dataset import SplitData
from mgsv.evaluation.measures import ranks
from mgsv.models.moods import masked_mean
from mgsv.synthesis.composed import PLANS
from mgsv.synthesis.composed.plan import read_plans

Floats = npt.NDArray[np.float64]

STEPS, BATCH, RATE, DECAY = 500, 256, 2e-3, 0.1
SHARES = (0.25, 0.5)
"""Of the training pictures from which looks are read."""


@dataclass(frozen=True)
class Pairs:
    """Means of V clips' frames [V, D], of M tracks [M, E], and the track of each clip [V]."""

    clips: Tensor
    tracks: Tensor
    true: Tensor
    kinds: npt.NDArray[np.str_]

    @classmethod
    def of(cls, folder: Path, split: str) -> Pairs:
        data = SplitData.open(folder, split)
        by_plan = {plan.video_id: plan.composer for plan in read_plans(folder / PLANS)}
        _, first, true = np.unique(
            np.array(data.rows.music_ids), return_index=True, return_inverse=True
        )
        clips = torch.cat([_clips(data, rows) for rows in _blocks(np.arange(len(data)))])
        tracks = torch.cat([_tracks(data, rows) for rows in _blocks(first)])
        kinds = np.array([by_plan.get(name, "") for name in data.rows.video_ids])
        return cls(clips, tracks, torch.from_numpy(true), kinds)


def _blocks(rows: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    return np.array_split(rows, -(-len(rows) // BATCH))


def _clips(data: SplitData, rows: npt.NDArray[np.int64]) -> Tensor:
    batch = data.batch(rows)
    return masked_mean(batch.frame_feats, batch.frame_mask)


def _tracks(data: SplitData, rows: npt.NDArray[np.int64]) -> Tensor:
    batch = data.batch(rows)
    return masked_mean(batch.segment_feats, batch.segment_mask)


class Towers(nn.Module):
    def __init__(self, clip: int, track: int, width: int, dropped: float) -> None:
        super().__init__()
        self.clip, self.track = (
            nn.Sequential(
                nn.Dropout(dropped), nn.Linear(dim, width), nn.ReLU(), nn.Linear(width, 32)
            )
            for dim in (clip, track)
        )

    def forward(self, clips: Tensor, tracks: Tensor) -> Tensor:
        """[V, M] scores."""
        return self.clip(clips) @ self.track(tracks).T / 8


def scores(
    known: Pairs,
    asked: Sequence[Pairs],
    *,
    seed: int = 0,
    width: int = 32,
    dropped: float = 0.0,
    noise: float = 0.0,
) -> list[Floats]:
    """Of a network trained on the pairs `known`, for each of `asked` [V, M]. noise: on the clips,
    in deviations."""
    torch.manual_seed(seed)
    usual = [(side.mean(0), side.std(0) + 1e-6) for side in (known.clips, known.tracks)]
    clips, tracks = (
        (side - mean) / spread
        for side, (mean, spread) in zip((known.clips, known.tracks), usual, strict=True)
    )
    network = Towers(clips.shape[1], tracks.shape[1], width, dropped)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1 / STEPS, STEPS)
    for _ in range(STEPS):
        rows = torch.randint(len(clips), (BATCH,))
        ids = known.true[rows]
        seen = clips[rows] + noise * torch.randn(BATCH, clips.shape[1])
        same = (ids[:, None] == ids) & ~torch.eye(BATCH, dtype=torch.bool)
        logits = network(seen, tracks[ids]).masked_fill(same, -1e9)
        wanted = torch.arange(BATCH)
        loss = F.cross_entropy(logits, wanted) + F.cross_entropy(logits.T, wanted)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    network.eval()
    with torch.inference_mode():
        return [
            network(
                (one.clips - usual[0][0]) / usual[0][1], (one.tracks - usual[1][0]) / usual[1][1]
            )
            .double()
            .numpy()
            for one in asked
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--jobs", type=int, default=2, help="processes that compose")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    work: Path = options.work
    corpus = Corpus(options.corpus, work / "cache")
    made_of(corpus, work, options.jobs, ["pairs", "mixed", "others"])
    known = Pairs.of(work / "pairs", "train")
    asked = [Pairs.of(work / name, "val") for name in ("mixed", "others")]

    def read(share: float = 1.0) -> list[Pairs]:
        reading = looks_of(corpus, share)
        weight, bias = (torch.from_numpy(part).float() for part in reading)
        return [replace(one, clips=one.clips @ weight + bias) for one in (known, *asked)]

    seeds = options.seeds
    plain = [known, *asked]
    show("encoder values", plain, [scores(plain[0], plain[1:], seed=n) for n in seeds])
    for what, more in (
        ("half of them dropped", {"dropped": 0.5}),
        ("noise of 1 deviation", {"noise": 1.0}),
        ("noise of 3 deviations", {"noise": 3.0}),
    ):
        show(what, plain, [scores(plain[0], plain[1:], seed=n, **more) for n in seeds])
    show("width 256", plain, [scores(plain[0], plain[1:], seed=n, width=256) for n in seeds])
    several(plain, seeds)
    looks = read()
    show("looks", looks, [scores(looks[0], looks[1:], seed=n) for n in seeds])
    for share in SHARES:
        some = read(share)
        found = [scores(some[0], some[1:], seed=n) for n in seeds]
        show(f"looks, by {share:.0%} of the pictures", some, found)
    show("looks, width 256", looks, [scores(looks[0], looks[1:], seed=n, width=256) for n in seeds])
    several(looks, seeds)


def several(pairs: Sequence[Pairs], seeds: Sequence[int]) -> None:
    """The mean of the networks of all seeds, where there are several."""
    if len(seeds) < 2:
        return
    found = [scores(pairs[0], pairs[1:], seed=n) for n in seeds]
    even = [[one / one.std(axis=1, keepdims=True) for one in each] for each in found]
    mean = [np.mean(parts, axis=0) for parts in zip(*even, strict=True)]
    show(f"mean of {len(seeds)} networks", pairs, [mean])


def show(what: str, pairs: Sequence[Pairs], found: Sequence[Sequence[Floats]]) -> None:
    cells = []
    for n, one in enumerate(pairs[1:]):
        among = np.mean([ranks(each[n], one.true.numpy()) <= 10 for each in found], axis=0)
        for kind in sorted(set(one.kinds.tolist())):
            of = among[one.kinds == kind]
            cells.append(f"{kind} {of.mean():.1%} ± {of.std() / np.sqrt(len(of)):.1%}")
    print(f"{what:36}", ", ".join(cells), flush=True)


if __name__ == "__main__":
    main()
