"""What the default encoders and the default model answer by ONNX Runtime and by PyTorch.

    python benchmarks/same_answers.py                              # the demo
    python benchmarks/same_answers.py --composed DIR --music DIR   # composed test edits

Both get the same files. Of the encoders, each picture and each patch of sound is compared; of the
whole, every track's rank, score and moment for each clip. `--composed DIR` is a folder that `mgsv
data compose --videos N` made of the files under --music: its test videos are grounded in the tracks
that they were cut to. Needs mgsv[research], and about a minute for the demo.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import torch

from mgsv.data.annotations import read_annotations
from mgsv.data.folder import CSV_FOLDER
from mgsv.demo import demo_clip, demo_music
from mgsv.encoders import efficientnet, musicnn
from mgsv.encoders.networks.efficientnet import load_efficientnet
from mgsv.encoders.networks.musicnn import load_musicnn
from mgsv.grounding.options import GroundOptions
from mgsv.grounding.result import Grounding
from mgsv.grounding.session import Session
from mgsv.library import Library
from mgsv.methods.registry import DEFAULT_METHOD
from mgsv.models.system import System
from mgsv.models.weights import shipped_checkpoint
from mgsv.synthesis.composed import VIDEOS

Array = npt.NDArray[Any]

NEAR = 0.010
"""Seconds by which two moments may differ and be called the same."""


Answer = Callable[[Array], list[Array]]


class Recorder:
    """A network in the place of an encoder's, which keeps what it answered, by its input."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.answers: dict[bytes, list[Array]] = {}

    def run(self, _: Sequence[str], inputs: Mapping[str, Array]) -> list[Array]:
        (given,) = inputs.values()
        given = np.ascontiguousarray(given)
        found = self._answer(given)
        self.answers[hashlib.sha256(given).digest()] = found
        return found


def by_onnx() -> tuple[Recorder, Recorder]:
    """The encoders' files, for pictures and for sound."""
    pictures, sound = efficientnet.shared_efficientnet(), musicnn.shared_musicnn()
    return (
        Recorder(lambda given: pictures.run(["features"], {"pictures": given})),
        Recorder(lambda given: sound.run(["features", "tags"], {"patch": given})),
    )


def by_torch() -> tuple[Recorder, Recorder]:
    """The published networks, for pictures and for sound."""
    pictures, sound = load_efficientnet(), load_musicnn()

    @torch.inference_mode()
    def of_pictures(given: Array) -> list[Array]:
        scaled = (torch.from_numpy(given).permute(0, 3, 1, 2).float() - 127) / 128
        return [pictures(scaled).numpy()]

    @torch.inference_mode()
    def of_sound(given: Array) -> list[Array]:
        found = sound(torch.from_numpy(given)[None])
        return [found.mean_pool[0].numpy(), found.tags[0].numpy()]

    return Recorder(of_pictures), Recorder(of_sound)


@dataclass(frozen=True)
class Side:
    """One of the two ways to run everything."""

    name: str
    method: str | System
    pictures: Recorder
    sound: Recorder

    @contextmanager
    def encoders(self) -> Iterator[None]:
        """The default encoders use this side's networks."""
        with (
            mock.patch.object(efficientnet, "shared_efficientnet", lambda: self.pictures),
            mock.patch.object(musicnn, "shared_musicnn", lambda: self.sound),
        ):
            yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--composed", type=Path, help="data folder with test videos")
    parser.add_argument("--music", type=Path, help="folder of the files it was made of")
    options = parser.parse_args()
    if options.composed:
        clips, music = composed(options.composed, options.music)
    else:
        clips, music = [demo_clip()], demo_music()
    sides = (
        Side("onnx", DEFAULT_METHOD, *by_onnx()),
        Side("torch", System(checkpoint=shipped_checkpoint()), *by_torch()),
    )
    found = [grounded(side, clips, music) for side in sides]
    onnx, own = sides
    show_features("pictures", onnx.pictures, own.pictures)
    show_features("sound", onnx.sound, own.sound)
    show_answers(*found)


def composed(folder: Path, music: Path) -> tuple[list[Path], list[Path]]:
    """The test videos that were rendered, and the tracks of all of them."""
    rows = {row.video_id: row for row in read_annotations(folder / CSV_FOLDER / "test_data.csv")}
    clips = [path for path in sorted((folder / VIDEOS).iterdir()) if path.stem in rows]
    return clips, sorted({music / Path(rows[path.stem].music_path).name for path in clips})


def grounded(side: Side, clips: Sequence[Path], music: Sequence[Path]) -> list[Grounding]:
    """Every clip in the whole music, indexed anew."""
    with (
        tempfile.TemporaryDirectory(prefix="mgsv-same-") as folder,
        side.encoders(),
        Library.open(music, folder=folder) as library,
    ):
        tracks = library.tracks()
        print(f"{side.name}: {len(clips)} clips, {len(tracks)} tracks", flush=True)
        session = Session(library, method=side.method)
        return [session.ground(clip, GroundOptions(top=len(tracks))) for clip in clips]


def show_features(what: str, one: Recorder, other: Recorder) -> None:
    """Per row: the length of the difference over that of the features, and their cosine."""
    assert one.answers.keys() == other.answers.keys()
    pairs = [(one.answers[key], other.answers[key]) for key in one.answers]
    a, b = (
        np.concatenate([np.atleast_2d(pair[n][0]) for pair in pairs]).astype(np.float64)
        for n in (0, 1)
    )
    lengths = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    relative = np.linalg.norm(a - b, axis=1) / lengths[1]
    least = ((a * b).sum(axis=1) / (lengths[0] * lengths[1])).min()
    print(
        f"{what}: {len(a)} rows of {a.shape[1]}, largest relative difference {relative.max():.1e}, "
        f"least cosine 1 - {max(0.0, 1 - least):.1e}"
    )


def show_answers(one: Sequence[Grounding], other: Sequence[Grounding]) -> None:
    first, rankings, moments, near, worst, scores = 0, 0, 0, 0, 0.0, 0.0
    for a, b in zip(one, other, strict=True):
        names = [[found.track.path for found in side] for side in (a, b)]
        first += names[0][0] == names[1][0]
        rankings += names[0] == names[1]
        twin = {found.track.path: found for found in b}
        for found in a:
            same = twin[found.track.path]
            apart = max(abs(found.start - same.start), abs(found.end - same.end))
            worst, scores = max(worst, apart), max(scores, abs(found.score - same.score))
            moments, near = moments + 1, near + (apart <= NEAR)
    print(f"best track the same: {first} of {len(one)} clips")
    print(f"ranking of all tracks the same: {rankings} of {len(one)} clips")
    print(f"moments within {1000 * NEAR:.0f} ms: {near} of {moments}, largest {worst:.3f} s apart")
    print(f"scores: largest difference {scores:.1e}")


if __name__ == "__main__":
    main()
