"""Composed edits: training pairs made of real music and real pictures, the way an editor works.

Each video has a plan (`plan`), made by the rules of one of two editors (`editors`) for a moment of
a real track (`music`). Its features come from precomputed views of its pictures (`footage`,
`features`), and from the same plan a video file can be made (`render`). The result is a data folder
in MGSV-EC's layout; no track and no picture stands in two of its splits.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mgsv.data.annotations import SPLITS
from mgsv.data.folder import COMPOSED, ENCODERS_FILE, PACKED_FOLDER, packed_name
from mgsv.encoders.registry import music_encoder, video_encoder
from mgsv.errors import ConfigError, MgsvError, OutputError, needs_extra, reason_of
from mgsv.files import new_folder, refuse_existing
from mgsv.jobs import Executor, Listener, Processes, Progress, in_order
from mgsv.synthesis.composed.corpus import Item, ItemKind, find_items, read_manifest
from mgsv.synthesis.composed.footage import Bank
from mgsv.synthesis.composed.music import TrackAnalyser
from mgsv.synthesis.composed.production import (
    ComposeOptions,
    Order,
    fill_folder,
)

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class ComposeInputs:
    """What videos are composed of: folders of tracks, of stills and of moving pictures.

    manifest: of a corpus (see `corpus.read_manifest`), which says the splits; else they are drawn.
    """

    music: PathLike
    pictures: PathLike
    clips: PathLike | None = None
    manifest: PathLike | None = None

    def folders(self) -> dict[ItemKind, Path]:
        """The folders that are given, by the kind of their files."""
        folders: dict[ItemKind, Path] = {"music": Path(self.music), "picture": Path(self.pictures)}
        if self.clips is not None:
            folders["clip"] = Path(self.clips)
        return folders

    def items(self, seed: int) -> list[Item]:
        """All files in them, with their splits."""
        folders = self.folders()
        if self.manifest is not None:
            return read_manifest(Path(self.manifest), folders)
        return [item for kind, folder in folders.items() for item in find_items(folder, kind, seed)]


@dataclass(frozen=True)
class ComposeReport:
    """What was made. used: files per kind; skipped: (file, reason) of those left out."""

    output: Path
    rows: int
    used: dict[str, int]
    skipped: tuple[tuple[Path, str], ...] = field(default=())


def compose(
    output: PathLike,
    inputs: ComposeInputs,
    *,
    options: ComposeOptions | None = None,
    cache: PathLike | None = None,
    executor: Executor | None = None,
    licence: str = "not stated",
    progress: Listener | None = None,
) -> ComposeReport:
    """Make the new data folder `output` from the files of `inputs`.

    cache: where analyses are kept between runs, by default beside `output`. executor: does the
    work, for instance in `worker_processes`; None = this process. licence: of models trained on the
    result, noted in it. progress: called after each file and some of the videos.

    Files that cannot be used are in the report. Raises `ConfigError` or `DataError` where too few
    are left for the wanted splits or PyTorch is not installed, `OutputError` where `output` exists
    or it or the cache cannot be written. The folder appears whole or not at all.
    """
    try:
        import mgsv.encoders.networks.efficientnet  # noqa: F401 (computes the pictures' features)
    except ModuleNotFoundError as error:
        raise needs_extra("composing", error) from None
    options, output = options or ComposeOptions(), Path(output)
    refuse_existing(output)
    executor, progress = executor or Processes(1), progress or (lambda _: None)
    cache_folder = Path(cache) if cache is not None else output.with_name(f"{output.name}-cache")
    items = inputs.items(options.seed)
    with new_folder(output, parents=True) as folder:
        usable, skipped = _prepare(items, cache_folder, options.half, executor, progress)
        _refuse_too_few(usable, options)
        order = Order(options, cache_folder, tuple(usable), hash(tuple(usable)))
        rows = fill_folder(folder, order, executor, progress)
        _note(folder, options, usable, skipped, licence)
    used = {str(kind): sum(i.kind == kind for i in usable) for kind in inputs.folders()}
    return ComposeReport(output, rows, used, tuple(skipped))


# --- analysis -------------------------------------------------------------------------------------


def _prepare(
    items: Sequence[Item], cache_folder: Path, half: bool, executor: Executor, progress: Listener
) -> tuple[list[Item], list[tuple[Path, str]]]:
    """The items that can be used, now in the cache, and the files of the others with the reason."""
    usable: list[Item] = []
    skipped: list[tuple[Path, str]] = []
    tasks = [(item, cache_folder, half) for item in items]
    with closing(in_order(executor.map(_analyse, tasks))) as outcomes:
        for done, outcome in enumerate(outcomes, 1):
            item, problem = items[outcome.index], outcome.result()
            if problem is None:
                usable.append(item)
            else:
                skipped.append((item.path, problem))
            progress(Progress("analysing", done, len(items)))
    return usable, skipped


def _analyse(task: tuple[Item, Path, bool]) -> str | None:
    """Put an item into the cache; what is wrong with it, if anything."""
    item, cache_folder, half = task
    try:
        if item.kind == "music":
            TrackAnalyser(cache_folder).track(item)
        else:
            Bank(cache_folder, half).footage(item)
    except OutputError:  # the cache's fault, and so every item's
        raise
    except MgsvError as error:
        return reason_of(error, item.path)
    return None


def _refuse_too_few(items: Sequence[Item], options: ComposeOptions) -> None:
    for split in SPLITS:
        if split != "train" and not getattr(options, split):
            continue
        for kinds, what in ((("music",), "tracks"), (("picture", "clip"), "pictures")):
            if not any(item.split == split and item.kind in kinds for item in items):
                raise ConfigError(
                    f"no {what} are left for the {split} split", "give more files to share out"
                )


def _note(
    folder: Path,
    options: ComposeOptions,
    items: Sequence[Item],
    skipped: Sequence[tuple[Path, str]],
    licence: str,
) -> None:
    """Write what the folder was made with, and by which encoders its features are."""
    split_of = {split: [i for i in items if i.split == split] for split in SPLITS}
    recipe = {
        "options": asdict(options),
        "licence": licence,
        "items": {
            split: {
                kind: sorted(item.id for item in found if item.kind == kind)
                for kind in ("music", "picture", "clip")
            }
            for split, found in split_of.items()
        },
        "skipped": [[path.name, problem] for path, problem in skipped],
    }
    text = json.dumps(recipe, indent=1, ensure_ascii=False) + "\n"
    (folder / COMPOSED).write_text(text, encoding="utf-8")
    made_by = {
        packed_name("frames"): video_encoder().fingerprint,
        packed_name("segments"): music_encoder().fingerprint,
    }
    (folder / PACKED_FOLDER / ENCODERS_FILE).write_text(json.dumps(made_by, indent=1) + "\n")
