"""What is measured: a split's features, which encoders made them, and the split shuffled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mgsv.data.annotations import Annotations
from mgsv.data.batch import Batch
from mgsv.data.dataset import SplitData
from mgsv.data.folder import PLANTED, DataFolder, read_licence
from mgsv.evaluation.protocol import IntArray, Pairs
from mgsv.runtime.model import Encoder, Encoders
from mgsv.synthesis.planted import recipe_fingerprint


def is_planted(folder: DataFolder) -> bool:
    """Whether a data folder holds a planted benchmark."""
    return (folder.root / PLANTED).exists()


def encoders_of(folder: DataFolder, split: SplitData) -> Encoders:
    """Which encoders the features of a data folder come from.

    A planted benchmark's views depend on its recipe, so each recipe is an encoder of its own; else
    the folder notes what made its features, and where it does not they are CLIP's and AST's.
    """
    if is_planted(folder):
        fingerprint = recipe_fingerprint(folder.root)
        video, music = ("planted-frames", fingerprint), ("planted-segments", fingerprint)
    else:
        encoders = folder.encoders()
        video, music = encoders["frames"], encoders["segments"]
    return Encoders(
        video=Encoder(video[0], split.frames.dim, video[1]),
        music=Encoder(music[0], split.segments.dim, music[1]),
    )


def licence_of(folder: DataFolder) -> str:
    """The licence that binds weights fitted to a data folder: that of what it was made from."""
    if is_planted(folder):
        return "Apache-2.0"
    return read_licence(folder.root) or "CC-BY-NC-4.0"  # MGSV-EC's


def part_of(split: SplitData, rows: int, seed: int | None = None) -> SplitData:
    """At most `rows` rows of `split`: the first of the file, or drawn with `seed`; 0 for all."""
    if rows == 0 or rows >= len(split):
        return split
    at = np.arange(rows)
    if seed is not None:
        at = np.sort(np.random.default_rng(seed).choice(len(split), rows, replace=False))
    chosen = Annotations(tuple(split.rows[int(i)] for i in at))
    return SplitData(chosen, split.frames, split.segments, split.canvas_seconds)


class ShuffledVideos:
    """Pairs in which every row has another row's video, with its length.

    A model that uses its videos must fall to what can be predicted from the tracks alone. The wrong
    video comes from a cyclic shift of a random order, so that no row keeps its own.
    """

    def __init__(self, pairs: Pairs, seed: int = 0) -> None:
        self._pairs = pairs
        order = np.random.default_rng(seed).permutation(len(pairs.rows))
        self._other = np.empty_like(order)
        self._other[order] = np.roll(order, 1)

    @property
    def rows(self) -> Annotations:
        return self._pairs.rows

    def batch(self, rows: IntArray) -> Batch:
        right, wrong = self._pairs.batch(rows), self._pairs.batch(self._other[rows])
        return replace(
            right,
            frame_feats=wrong.frame_feats,
            frame_mask=wrong.frame_mask,
            video_seconds=wrong.video_seconds,
            video_ids=wrong.video_ids,
        )
