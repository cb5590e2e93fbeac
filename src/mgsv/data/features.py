"""The feature folders as published: two small tensor files per id, its features and its mask.

    vit_feature1/{vit_feature,vit_mask}/{video_id}.pt       float32 [50, 512], [50]
    ast_feature2p5/{ast_feature,ast_mask}/{music_id}.pt     float32 [96, 768], [96]

`ast_feature5`, `ast_feature7p5` and `ast_feature10` hold the other strides, with 240 / stride
slots. A file is only trusted after its shape, dtype and values are checked; loading never runs
code from it.
"""

from __future__ import annotations

import io
import os
import pickle
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mgsv.data.annotations import SPLITS, check_annotations, usable_as_file_name
from mgsv.data.folder import (
    FEATURE_FOLDER,
    FRAME_SLOTS,
    FRAMES_ROOT,
    STRIDES,
    DataFolder,
    Kind,
    spelled,
)
from mgsv.data.packed import BoolArray, FloatArray, PackedStore, Slots
from mgsv.errors import DataError, shown
from mgsv.files import write_file
from mgsv.jobs import Listener, Progress
from mgsv.moment import CANVAS_SECONDS

if TYPE_CHECKING:
    from torch import Tensor

MAX_FILE_BYTES = 16 << 20
"""Largest file or claimed content read; the real ones hold 300 kB."""

AGAIN = "fetch or extract this file again"


@dataclass(frozen=True, slots=True)
class FeatureProblem:
    """One feature file that cannot be used."""

    path: Path
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


@dataclass(frozen=True)
class FeatureFolder:
    """One kind of features at one stride; `slots` and `dim` are what every file must have."""

    kind: Kind
    features: Path
    masks: Path
    slots: int
    dim: int

    @classmethod
    def frames(cls, root: str | os.PathLike[str]) -> FeatureFolder:
        """The videos' features below `root`, the folder that holds `vit_feature1`."""
        folder = Path(root) / FRAMES_ROOT
        return cls("frames", folder / "vit_feature", folder / "vit_mask", FRAME_SLOTS, dim=512)

    @classmethod
    def segments(cls, root: str | os.PathLike[str], stride: float = 2.5) -> FeatureFolder:
        """The tracks' features below `root`, one segment every `stride` seconds."""
        folder = Path(root) / f"ast_feature{spelled(stride)}"
        slots = round(CANVAS_SECONDS / stride)
        return cls("segments", folder / "ast_feature", folder / "ast_mask", slots, dim=768)

    @classmethod
    def of(cls, kind: Kind, root: str | os.PathLike[str], stride: float = 2.5) -> FeatureFolder:
        return cls.frames(root) if kind == "frames" else cls.segments(root, stride)

    def ids(self) -> list[str]:
        """Ids that have a feature file or a mask file, sorted; DataError without the folders."""
        found: set[str] = set()
        for folder in (self.features, self.masks):
            try:
                found |= {
                    entry.name[:-3] for entry in os.scandir(folder) if entry.name[-3:] == ".pt"
                }
            except OSError as error:
                problem = error.strerror or "cannot be read"
                raise DataError(folder, problem, "check the path of the features") from error
        return sorted(found)

    def read(self, name: str) -> Slots:
        """Features [slots, dim], masked rows zero, and mask; DataError naming a bad file."""
        if not usable_as_file_name(name):
            raise DataError(self.features, f"{name!r} cannot name a feature file")
        features_file, mask_file = self.features / f"{name}.pt", self.masks / f"{name}.pt"
        features = _load(features_file, (self.slots, self.dim))
        values = _load(mask_file, (self.slots,))
        if not np.isin(values, (0, 1)).all():
            raise DataError(mask_file, "a mask holds values other than 0 and 1", AGAIN)
        mask = values.astype(bool)
        if not mask.any():
            raise DataError(mask_file, "the mask has no valid place", AGAIN)
        if not np.isfinite(features[mask]).all():
            place = int(np.flatnonzero(~np.isfinite(features).all(axis=1) & mask)[0])
            raise DataError(features_file, f"NaN or infinite value in row {place}", AGAIN)
        return Slots(np.where(mask[:, None], features, np.float32(0)), mask)

    def write(self, name: str, features: FloatArray, mask: BoolArray) -> None:
        """Write the two files of `name`, padded to `slots`; each appears whole or not at all."""
        for path, content in self._files(name, features, mask):
            write_file(path, content, overwrite=True, parents=True)

    def put(self, name: str, features: FloatArray, mask: BoolArray) -> None:
        """The same, for a folder that is a `files.new_folder`: the files by themselves are written
        plainly.
        """
        for path, content in self._files(name, features, mask):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def _files(
        self, name: str, features: FloatArray, mask: BoolArray
    ) -> Iterator[tuple[Path, bytes]]:
        padded = np.zeros((self.slots, self.dim), np.float32)
        padded[: len(features)] = features
        valid = np.zeros(self.slots, np.float32)
        valid[: len(mask)] = mask
        for folder, array in ((self.features, padded), (self.masks, valid)):
            yield folder / f"{name}.pt", _saved(array)


def write_folder(
    root: str | os.PathLike[str], kind: Kind, store: PackedStore, stride: float = 2.5
) -> None:
    """Unpack `store` into new published folders below `root`/features/Kuai_feature.

    For a `root` that is a `files.new_folder`.
    """
    folder = FeatureFolder.of(kind, Path(root) / FEATURE_FOLDER, stride)
    for name in store.ids:
        folder.put(name, *store.read(name))


def check_files(
    folder: str | os.PathLike[str], *, progress: Listener | None = None
) -> list[FeatureProblem]:
    """Everything wrong with the feature files in the data folder `folder`, never stopping early.

    Each file of every stride that is there is read: missing partners, truncated files, wrong
    shapes or dtypes, NaN. Where annotation files lie beside them, ids without features are named
    too. `progress` is called after each id. DataError where there are no features
    at all.
    """
    data = DataFolder.open(folder)
    root = data.features()
    if root is None:
        raise DataError(folder, "no feature folders in it", "fetch them with `mgsv data download`")
    folders = [FeatureFolder.frames(root)] if (root / FRAMES_ROOT).is_dir() else []
    folders += [
        FeatureFolder.segments(root, stride)
        for stride in STRIDES
        if (root / f"ast_feature{spelled(stride)}").is_dir()
    ]
    problems: list[FeatureProblem] = []
    wanted: list[tuple[FeatureFolder, str]] = []
    annotated = _annotated_ids(data)
    for part in folders:
        try:
            wanted += [(part, name) for name in sorted({*part.ids(), *annotated[part.kind]})]
        except DataError as error:
            problems.append(FeatureProblem(error.path, without_path(error)))
    for done, (part, name) in enumerate(wanted):
        try:
            part.read(name)
        except DataError as error:
            problems.append(FeatureProblem(error.path, without_path(error)))
        if progress is not None:
            progress(Progress("feature files", done + 1, len(wanted)))
    return problems


def _annotated_ids(data: DataFolder) -> dict[Kind, set[str]]:
    """The ids that the annotation files lying in the folder need features for."""
    ids: dict[Kind, set[str]] = {"frames": set(), "segments": set()}
    for split in SPLITS:
        path = data.find_csv(split)
        if path is None:
            continue
        try:
            rows, _ = check_annotations(path)
        except DataError:
            continue  # annotations are not what is checked here
        ids["frames"].update(rows.video_ids)
        ids["segments"].update(rows.music_ids)
    return ids


def without_path(error: DataError) -> str:
    """What is wrong, without the file's name before it or the remedy after it."""
    return error.problem.removeprefix(f"{shown(error.path)}: ")


def _load(path: Path, shape: tuple[int, ...]) -> FloatArray:
    """The float32 tensor of `shape` in `path`; DataError naming the file otherwise."""
    import torch  # seconds of import that reading annotations should not pay for

    try:
        if path.stat().st_size > MAX_FILE_BYTES or _claimed_bytes(path) > MAX_FILE_BYTES:
            raise DataError(path, "far larger than a feature file", AGAIN)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of protocols it then refuses; the error says it
            tensor: Tensor | object = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(path, "missing", AGAIN) from error
    except pickle.UnpicklingError as error:
        raise DataError(path, "not a plain tensor file, or damaged", AGAIN) from error
    except DataError:
        raise
    except Exception as error:  # the restricted unpickler meets damaged bytes with any exception
        raise DataError(path, "truncated or damaged", AGAIN) from error
    if not isinstance(tensor, torch.Tensor):
        raise DataError(path, f"holds a {type(tensor).__name__}, not a tensor", AGAIN)
    if tensor.is_sparse or tensor.is_quantized or tensor.dtype != torch.float32:
        raise DataError(path, f"dtype {tensor.dtype}, expected torch.float32", AGAIN)
    if tuple(tensor.shape) != shape:
        raise DataError(path, f"shape {list(tensor.shape)}, expected {list(shape)}", AGAIN)
    return np.asarray(tensor.detach().contiguous().numpy())


def _claimed_bytes(path: Path) -> int:
    """What a zip-based tensor file says it unpacks to; 0 for the older, plain format."""
    if not zipfile.is_zipfile(path):
        return 0
    with zipfile.ZipFile(path) as archive:
        return sum(entry.file_size for entry in archive.infolist())


def _saved(array: FloatArray) -> bytes:
    import torch

    data = io.BytesIO()  # to a file, torch raises errors of its own for a full disk
    torch.save(torch.from_numpy(array), data)
    return data.getvalue()
