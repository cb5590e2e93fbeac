"""`mgsv data check`: everything in a data folder that a run would stumble over."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mgsv.data.annotations import SPLITS, check_annotations
from mgsv.data.features import FeatureFolder, check_files, without_path
from mgsv.data.folder import PLANTED, STRIDES, DataFolder, Kind
from mgsv.data.packed import PackedStore
from mgsv.encoders.registry import music_encoder, video_encoder
from mgsv.errors import DataError
from mgsv.jobs import Listener, Progress


@dataclass
class FolderReport:
    """What was read, and everything wrong with it."""

    rows: int = 0
    """Rows of the annotation files, the good ones."""
    files: int = 0
    """Ids whose feature and mask files were read or missed."""
    stores: int = 0
    """Packed stores."""
    problems: list[tuple[Path, str]] = field(default_factory=list)
    """(file, what is wrong), annotations first."""


def check_folder(
    folder: str | os.PathLike[str], *, progress: Listener | None = None
) -> FolderReport:
    """Check annotations, feature files and packed stores of a data folder, never stopping early.

    Named are: bad rows with line and field; feature files that are missing, truncated, of the
    wrong shape or dtype, or hold NaN; packed stores that have changed, hold NaN, or lack an
    annotated id. `progress` is called after each id. DataError where the folder holds
    nothing of the kind.
    """
    data = DataFolder.open(folder)
    report = FolderReport()
    ids: dict[Kind, set[str]] = {"frames": set(), "segments": set()}
    csvs = [path for split in SPLITS if (path := data.find_csv(split)) is not None]
    for path in csvs:
        try:
            rows, problems = check_annotations(path)
        except DataError as error:
            report.problems.append((error.path, without_path(error)))
            continue
        report.rows += len(rows)
        report.problems += [(path, str(problem)) for problem in problems]
        ids["frames"].update(rows.video_ids)
        ids["segments"].update(rows.music_ids)

    if data.features() is not None:

        def count(step: Progress) -> None:
            report.files = step.total or 0
            if progress is not None:
                progress(step)

        report.problems += [(p.path, p.text) for p in check_files(folder, progress=count)]

    layouts = [FeatureFolder.frames(data.root)]
    layouts += [FeatureFolder.segments(data.root, stride) for stride in STRIDES]
    places = [data.packed("frames"), *(data.packed("segments", stride) for stride in STRIDES)]
    for store, layout in zip(places, layouts, strict=True):
        if store.exists():
            report.stores += 1
            made_by = data.made_by().get(store.name, "").partition(":")[0]
            dim = _encoder_dim(layout.kind, made_by) if made_by else layout.dim
            # A planted benchmark is as large as its options say.
            wanted = None if (data.root / PLANTED).exists() else (layout.slots, dim)
            report.problems += _check_store(store, wanted, ids[layout.kind], progress)

    if not (csvs or report.files or report.stores or report.problems):
        raise DataError(
            folder, "no annotations and no features in it", "fetch them with `mgsv data download`"
        )
    return report


def _check_store(
    folder: Path,
    wanted: tuple[int, int] | None,
    annotated: set[str],
    progress: Listener | None,
) -> Iterator[tuple[Path, str]]:
    try:
        store = PackedStore(folder)
        store.verify()
    except DataError as error:
        yield error.path, without_path(error)
        return
    if wanted is not None and (store.slots, store.dim) != wanted:
        slots, dim = wanted
        yield folder, f"rows of {store.slots} × {store.dim}, expected {slots} × {dim}"
    for missing in sorted(annotated - set(store.ids)):
        yield folder, f"no features for {missing!r}"
    for done, name in enumerate(store.ids):
        if not np.isfinite(store.read(name).features).all():
            yield folder, f"NaN or infinite value in the features of {name!r}"
        if progress is not None:
            progress(Progress(f"packed {folder.name}", done + 1, len(store)))


def _encoder_dim(kind: Kind, name: str) -> int:
    """Columns of what the encoder `name` makes of a video or a track."""
    return (video_encoder if kind == "frames" else music_encoder)(name).dim
