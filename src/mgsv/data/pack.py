"""`mgsv data pack`: from published feature folders to packed stores, once."""

from __future__ import annotations

import os
from pathlib import Path

from mgsv.data.features import FeatureFolder
from mgsv.data.folder import PACKED_FOLDER, DataFolder, Kind, packed_name
from mgsv.data.packed import PackedStore, PackWriter
from mgsv.errors import DataError
from mgsv.jobs import Listener, Progress

KINDS: tuple[Kind, ...] = ("frames", "segments")


def pack(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    stride: float = 2.5,
    progress: Listener | None = None,
) -> list[Path]:
    """Pack the features of data folder `folder` into `output`, by default `folder`/packed.

    Makes `frames` and `segments-2p5` (or another stride), and returns them. A store that is
    already there is kept as it is, so an interrupted run resumes with the next one; each store is
    read back and compared with its source before it gets its name. `progress` is called
    after each id. DataError naming the file where a feature file is bad.
    """
    root = DataFolder.open(folder).features()
    if root is None:
        raise DataError(folder, "no feature folders in it", "fetch them with `mgsv data download`")
    target = Path(folder) / PACKED_FOLDER if output is None else Path(output)
    stores = []
    for kind in KINDS:
        source = FeatureFolder.of(kind, root, stride)
        store = target / packed_name(kind, stride)
        if store.exists():
            _refuse_other(PackedStore(store), source)
        else:
            _pack_one(kind, source, store, progress)
        stores.append(store)
    return stores


def _pack_one(
    kind: Kind,
    source: FeatureFolder,
    target: Path,
    progress: Listener | None,
) -> None:
    ids = source.ids()
    if not ids:
        raise DataError(source.features, "holds no feature files", "check the path")
    with PackWriter(target, source.dim, source.slots) as store:
        for done, name in enumerate(ids):
            store.add(name, *source.read(name))
            if progress is not None:
                progress(Progress(kind, done + 1, len(ids)))


def _refuse_other(store: PackedStore, source: FeatureFolder) -> None:
    """A store left by an earlier run is only good while it holds the ids that are there now."""
    store.verify()
    if list(store.ids) != source.ids():
        raise DataError(
            store.folder,
            "was packed from other ids than the feature folder holds now",
            "name another output, or remove it yourself",
        )
