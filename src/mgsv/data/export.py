"""A data set of one's own, in the layout in which MGSV-EC is published.

What `mgsv annotate` found and `mgsv extract` made becomes a folder that can be given away: splits,
feature files, statistics, a data card and check sums. Nothing in it tells whose it was: ids are
numbers, and there are no paths and no names. What the numbers stand for is written beside the
folder, for its maker alone.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from mgsv.data.annotations import SPLITS, Annotations, Row, read_annotations, write_rows
from mgsv.data.card import CHECK_SUMS, card
from mgsv.data.features import FeatureFolder
from mgsv.data.folder import (
    CSV_FOLDER,
    ENCODERS_FILE,
    EXPORTED,
    FEATURE_FOLDER,
    DataFolder,
    Kind,
)
from mgsv.data.packed import Slots
from mgsv.data.stats import split_statistics
from mgsv.errors import ConfigError, DataError, shown
from mgsv.files import new_folder, new_text
from mgsv.jobs import Listener, Progress

SHARES = 0.8, 0.1, 0.1
"""Of the rows, in train, val and test, about: tracks that are alike stay together."""
NEAR_COPY = 0.99
"""Cosine of two tracks' mean features from which on they may be one recording."""
LEAST_ROWS = 3
Ids = Mapping[Kind, Mapping[str, str]]
_LICENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")


@dataclass(frozen=True)
class DataExport:
    """What went into a data set.

    rows: of each split. tracks: of all. groups: of tracks that are alike, each in one split. left:
    (video's id in the annotations, why) of rows that are not in it. key: the file that says what
    the new ids stand for.
    """

    output: Path
    rows: Mapping[str, int]
    tracks: int
    groups: int
    left: tuple[tuple[str, str], ...]
    key: Path


def export_data(
    annotations: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    features: str | os.PathLike[str],
    licence: str,
    title: str = "",
    shares: Sequence[float] = SHARES,
    seed: int = 0,
    progress: Listener | None = None,
) -> DataExport:
    """Write the new folder `output`, and the file `output`.key.csv beside it.

    annotations: a CSV of MGSV-EC's columns, as `annotate` writes it. features: a data folder with
    the feature files of its ids, as `extract` writes it. licence: as hubs name it, such as
    "cc-by-4.0". title: of the data card; "" = the folder's name. shares: of the rows in train, val
    and test. seed: of the splits and the new ids.

    Rows without features are left out. Raises `ConfigError` for options, `DataError` where the
    annotations or features cannot be read or too few rows are left, `OutputError` where one of the
    two cannot be written; then neither is there.
    """
    if not _LICENCE.fullmatch(licence):
        raise ConfigError(f"`licence` {shown(licence)!r} is no licence's id", "as in cc-by-4.0")
    if len(shares) != len(SPLITS) or min(shares) < 0 or not np.isclose(sum(shares), 1):
        raise ConfigError("`shares` must be three numbers that sum to 1", "as in 0.8,0.1,0.1")
    output = Path(output)
    source = _Source.open(features)
    rows, left = source.usable(read_annotations(annotations))
    if len(rows) < LEAST_ROWS:
        why = f", the first because: {left[0][1]}" if left else ""
        raise DataError(
            Path(annotations), f"{len(rows)} rows have features{why}", "extract the features first"
        )
    tracks = sorted({row.music_id for row in rows})
    groups = near_copies(source, tracks)
    rng = np.random.default_rng(seed)
    split_of = _splits(rows, dict(zip(tracks, groups, strict=True)), shares, rng)
    ids: Ids = {
        "frames": _new_ids("v", [row.video_id for row in rows], rng),
        "segments": _new_ids("m", tracks, rng),
    }
    key = output.with_name(f"{output.name}.key.csv")
    parts = {
        name: [_renamed(row, ids) for row in rows if split_of[row.music_id] == name]
        for name in SPLITS
    }
    with new_text(key) as stream, new_folder(output) as folder:
        _write_key(stream, ids)
        _write_parts(folder, parts)
        source.copy(folder, ids, progress or (lambda _: None))
        _write_card(folder, parts, title or output.name, licence, len(set(groups)), len(left))
        _write_sums(folder)
    counts = {name: len(part) for name, part in parts.items()}
    return DataExport(output, counts, len(tracks), len(set(groups)), tuple(left), key)


class _Source:
    """The feature files of a data folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folders = {
            "frames": FeatureFolder.frames(root),
            "segments": FeatureFolder.segments(root),
        }

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> _Source:
        root = DataFolder.open(folder).features()
        if root is None:
            raise DataError(Path(folder), "no feature files in it", "make them with `mgsv extract`")
        return cls(root)

    def read(self, kind: Kind, name: str) -> Slots:
        return self._folders[kind].read(name)

    def usable(self, rows: Annotations) -> tuple[list[Row], list[tuple[str, str]]]:
        """The rows whose features can be read, and the others, each with the reason."""
        kept, left = [], []
        for row in rows:
            try:
                self.read("frames", row.video_id)
                self.read("segments", row.music_id)
            except DataError as error:
                left.append((row.video_id, str(error)))
            else:
                kept.append(row)
        return kept, left

    def copy(self, folder: Path, ids: Ids, progress: Listener) -> None:
        for kind, names in ids.items():
            target = FeatureFolder.of(kind, folder / FEATURE_FOLDER)
            for done, (name, new) in enumerate(sorted(names.items(), key=lambda pair: pair[1])):
                target.put(new, *self.read(kind, name))
                progress(Progress(kind, done + 1, len(names)))
        note = self._root / ENCODERS_FILE
        if note.exists():
            (folder / FEATURE_FOLDER / ENCODERS_FILE).write_bytes(note.read_bytes())


def near_copies(source: _Source, tracks: Sequence[str]) -> list[int]:
    """[T] a number for each track, the same for those that sound as if they were one recording."""
    means = []
    for name in tracks:
        features, mask = source.read("segments", name)
        mean = features[mask].mean(axis=0, dtype=np.float64)
        means.append(mean / max(float(np.linalg.norm(mean)), 1e-12))
    vectors = np.array(means)
    group = list(range(len(tracks)))
    for n in range(len(tracks)):
        for other in np.flatnonzero(vectors[:n] @ vectors[n] >= NEAR_COPY).tolist():
            old, new = group[n], group[other]
            group = [new if one == old else one for one in group]
    return group


def _splits(
    rows: Sequence[Row],
    group_of: Mapping[str, int],
    shares: Sequence[float],
    rng: np.random.Generator,
) -> dict[str, str]:
    """Each track's split. Groups go, in random order, to the split that lacks the most rows."""
    sizes = Counter(group_of[row.music_id] for row in rows)
    lacking = {name: share * len(rows) for name, share in zip(SPLITS, shares, strict=True)}
    split_of_group: dict[int, str] = {}
    for group in rng.permutation(sorted(sizes)).tolist():
        name = max(SPLITS, key=lambda split: lacking[split])
        split_of_group[group] = name
        lacking[name] -= sizes[group]
    return {track: split_of_group[group] for track, group in group_of.items()}


def _new_ids(letter: str, names: Sequence[str], rng: np.random.Generator) -> dict[str, str]:
    order = rng.permutation(len(names)).tolist()
    return {name: f"{letter}{place + 1:06}" for name, place in zip(names, order, strict=True)}


def _renamed(row: Row, ids: Ids) -> Row:
    track = ids["segments"][row.music_id]
    return replace(row, video_id=ids["frames"][row.video_id], music_id=track, music_path=track)


def _write_key(stream: object, ids: Ids) -> None:
    writer = csv.writer(stream, lineterminator="\n")  # type: ignore[arg-type]
    writer.writerow(["id", "was"])
    for names in ids.values():
        writer.writerows(sorted((new, name) for name, new in names.items()))


def _write_parts(folder: Path, parts: Mapping[str, Sequence[Row]]) -> None:
    (folder / CSV_FOLDER).mkdir(parents=True)
    for name, rows in parts.items():
        if rows:
            path = folder / CSV_FOLDER / f"{name}_data.csv"
            with path.open("w", encoding="utf-8", newline="") as stream:
                write_rows(stream, rows)


def _write_card(
    folder: Path,
    parts: Mapping[str, Sequence[Row]],
    title: str,
    licence: str,
    groups: int,
    left: int,
) -> None:
    filled = {name: Annotations(tuple(rows)) for name, rows in parts.items() if rows}
    found = [split_statistics(name, rows) for name, rows in filled.items()]
    text = json.dumps([asdict(one) for one in found], indent=1)
    (folder / "statistics.json").write_text(text + "\n")
    record = {"schema": "mgsv.data/1", "licence": licence}
    (folder / EXPORTED).write_text(json.dumps(record, indent=1) + "\n")
    text = card(title, licence, found, groups, left)
    (folder / "README.md").write_text(text, encoding="utf-8")


def _write_sums(folder: Path) -> None:
    lines = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        lines.append(f"{digest}  {path.relative_to(folder).as_posix()}\n")
    (folder / CHECK_SUMS).write_text("".join(lines), encoding="utf-8")
