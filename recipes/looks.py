"""Train on how pictures look instead of on what the encoder says of each.

A network that reads 1,280 values of every picture learns the few hundred pictures of the corpus by
heart and does not know new ones. So it is trained on `LOOKS` alone, read off the encoder's values
by ridge regression, and on motion. The regression is linear, as the network's projection is: after
training both are one projection, and the network reads the encoder's values as any other does.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from composed_cases import Corpus
from mgsv.data.dataset import KINDS
from mgsv.data.folder import PACKED_FOLDER, packed_name
from mgsv.data.packed import PackedStore, PackWriter
from mgsv.encoders.motion import APPEARANCE_DIM, CHANNELS
from mgsv.files import new_folder
from mgsv.models import checkpoint
from mgsv.models.registry import build
from mgsv.synthesis.composed.studio import scale_of

Floats = npt.NDArray[np.float64]

RIDGE = 1.0
"""Share of the mean variance of the encoder's values that each of them is held by."""
MOST = 3.0
"""Deviations beyond which a look counts no more."""
FRAMES = KINDS[0]


class Reading(NamedTuple):
    """What is read off a frame's features [D]: features @ weight [D, K] + bias [K]."""

    weight: Floats
    bias: Floats


def looks_of(corpus: Corpus, share: float = 1.0) -> Reading:
    """The looks of the training pictures, in deviations, and motion as it is.

    share: of the pictures, drawn at random.
    """
    footage = [
        corpus.footage(item.id)
        for item in corpus.items.values()
        if item.kind != "music" and item.split == "train"
    ]
    drawn = np.random.default_rng(0).permutation(len(footage))[: round(share * len(footage))]
    footage = [footage[n] for n in sorted(drawn.tolist())]
    views = [one.rows.reshape(-1, APPEARANCE_DIM) for one in footage]
    mean, deviation = scale_of([one.looks.astype(np.float64) for one in footage])
    true = [np.clip((one.looks - mean) / deviation, -MOST, MOST) for one in footage]
    wanted = np.repeat(true, [len(rows) for rows in views], axis=0)
    weight, bias = ridge(np.concatenate(views), wanted)
    moving = np.eye(len(CHANNELS))
    corner = np.zeros((len(weight), len(CHANNELS))), np.zeros((len(CHANNELS), weight.shape[1]))
    return Reading(
        np.block([[weight, corner[0]], [corner[1], moving]]),
        np.concatenate([bias, np.zeros(len(CHANNELS))]),
    )


def ridge(seen: npt.NDArray[np.float32], wanted: Floats) -> Reading:
    """By which `wanted` [N, K] is read off `seen` [N, D] with the least squared error."""
    mean, usual = seen.mean(axis=0, dtype=np.float64), wanted.mean(axis=0)
    centred = seen - mean
    spread = centred.T @ centred
    held = RIDGE * float(np.trace(spread)) / len(spread) * np.eye(len(spread))
    weight = np.linalg.solve(spread + held, centred.T @ (wanted - usual))
    return Reading(weight, usual - mean @ weight)


def read_off(data: Path, reading: Reading, output: Path) -> None:
    """Write the data folder `output`: that of `data`, whose frames are what is read off them."""
    name = packed_name(FRAMES)
    with new_folder(output) as folder:
        skipped = shutil.ignore_patterns(name)
        shutil.copytree(data, folder, ignore=skipped, dirs_exist_ok=True)
        store = PackedStore(data / PACKED_FOLDER / name)
        target = folder / PACKED_FOLDER / name
        with PackWriter(target, len(reading.bias), store.slots) as writer:
            for video in store.ids:
                slots = store.read(video)
                seen = slots.features @ reading.weight + reading.bias
                writer.add(video, seen.astype(np.float32), slots.mask)


def folded(source: Path, reading: Reading, output: Path) -> None:
    """Write the checkpoint `output`: that of `source`, which was trained on what is read off the
    frames, but reads the frames themselves."""
    loaded = checkpoint.load(source)
    weights = loaded.model.state_dict()
    weight, bias = (torch.from_numpy(part) for part in reading)
    projection = weights["video.projection.weight"].double()
    weights["video.projection.weight"] = (projection @ weight.T).float()
    weights["video.projection.bias"] += (projection @ bias).float()
    model = build(loaded.name, replace(loaded.settings, frame_dim=len(weight)))
    model.load_state_dict(weights)
    video = replace(loaded.encoders.video, dim=len(weight))
    checkpoint.save(
        output,
        loaded.name,
        model,
        replace(loaded.encoders, video=video),
        record=loaded.record,
        licence=loaded.licence,
        overwrite=True,
    )
