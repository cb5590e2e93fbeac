"""Composed edits: training pairs made of real music and real pictures, the way an editor works.

Each video has a plan (`plan`), made by the rules of one of two editors (`editors`) for a moment of
a real track (`tracks`). Its features come from a bank of precomputed views (`bank`, `miniature`),
and from the same plan a video file can be made (`filming`). The result is a data folder in
MGSV-EC's layout; no track and no picture stands in two of its splits.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mgsv.config import option
from mgsv.data.annotations import SPLITS, Row, write_annotations
from mgsv.data.folder import (
    COMPOSED,
    CSV_FOLDER,
    ENCODERS_FILE,
    FRAME_SLOTS,
    PACKED_FOLDER,
    SEGMENT_SLOTS,
    packed_name,
)
from mgsv.data.packed import PackWriter, refuse_existing
from mgsv.encoders.registry import music_encoder, video_encoder
from mgsv.errors import ConfigError, MgsvError, shown
from mgsv.synthesis.composed.codec_noise import with_codec_noise
from mgsv.synthesis.composed.corpus import Item, ItemKind, find_items, read_manifest
from mgsv.synthesis.composed.editors import COMPOSERS, Studio, plan_video, scale_of
from mgsv.synthesis.composed.features import video_features
from mgsv.synthesis.composed.footage import Bank, Footage
from mgsv.synthesis.composed.music import Listener, Track
from mgsv.synthesis.composed.plan import FRAME_RATE, HEIGHT, WIDTH, Plan, plan_line
from mgsv.synthesis.composed.render import film
from mgsv.synthesis.composed.workers import Workers, several

PathLike = str | os.PathLike[str]
Progress = Callable[[str, int, int], None]

PLANS = "plans.jsonl"
VIDEOS = "videos"

NOISE = 1_000
"""In a seed, what tells noise from plans."""

AT_ONCE = 16
"""Videos a process makes per order."""


@dataclass(frozen=True)
class ComposeOptions:
    """How videos are composed."""

    train: int = option(20_000, "Training rows.")
    val: int = option(400, "Rows of val.")
    test: int = option(400, "Rows of test.")
    seed: int = option(0, "Of everything; the same options and files give the same features.")
    composer: str = option("editor", "Whose rules: editor, or second, which is for testing.")
    plain: float = option(0.1, "Share of videos whose cuts follow no music.")
    offset_max: float = option(
        0.0, "Shift each video's edit against its music by a constant of up to so many seconds."
    )
    noise: float = option(
        0.0, "Noise on the features of train: 1 is what H.264 at its default quality adds."
    )
    half: bool = option(
        False, "Compute the views in bfloat16: faster where the processor knows it, nearly equal."
    )
    videos: int = option(0, "Video files to render, the first of each split.")
    lossless: bool = option(False, "Render without loss (FFV1 in .mkv), else H.264.")
    sound: bool = option(False, "Render with the music.")

    def __post_init__(self) -> None:
        for name in ("train", "val", "test", "videos", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"--{name} {getattr(self, name)}: is negative")
        if not any(getattr(self, split) for split in SPLITS):
            raise ConfigError("--train, --val and --test are all 0", "ask for some rows")
        if self.composer not in COMPOSERS:
            raise ConfigError(
                f"--composer {self.composer}: unknown", f"choose {' or '.join(COMPOSERS)}"
            )
        if not 0 <= self.plain <= 1:
            raise ConfigError(f"--plain {self.plain:g}: must lie between 0 and 1")
        if not 0 <= self.noise <= 10:
            raise ConfigError(f"--noise {self.noise:g}: must lie between 0 and 10")
        if not 0 <= self.offset_max <= 5:
            raise ConfigError(f"--offset-max {self.offset_max:g}: must lie between 0 and 5 s")


@dataclass(frozen=True)
class ComposeReport:
    """What was made. used: files per kind; skipped: (file, reason) of those left out."""

    output: Path
    rows: int
    used: dict[str, int]
    skipped: tuple[tuple[Path, str], ...] = field(default=())


def compose(
    output: PathLike,
    *,
    music: PathLike,
    pictures: PathLike,
    clips: PathLike | None = None,
    manifest: PathLike | None = None,
    options: ComposeOptions | None = None,
    cache: PathLike | None = None,
    jobs: int = 1,
    licence: str = "not stated",
    progress: Progress | None = None,
) -> ComposeReport:
    """Make the new data folder `output` from folders of music, pictures and clips.

    manifest: of a corpus (see `items.read_manifest`), which says the splits; else they are drawn.
    cache: where analyses are kept between runs, by default beside `output`. jobs: processes.
    licence: of models trained on the result, noted in it. progress: called with (what, done, all).

    Files that cannot be used are in the report. Raises `ConfigError` or `DataError` where too few
    are left for the splits that are asked for. The folder appears whole or not at all.
    """
    options, output = options or ComposeOptions(), Path(output)
    refuse_existing(output)
    if jobs < 1:
        raise ConfigError(f"--jobs {jobs}: needs at least 1")
    tell = progress or (lambda *_: None)
    kept = Path(cache) if cache is not None else output.with_name(f"{output.name}-cache")
    folders: dict[ItemKind, Path] = {"music": Path(music), "picture": Path(pictures)}
    if clips is not None:
        folders["clip"] = Path(clips)
    if manifest is not None:
        items = read_manifest(Path(manifest), folders)
    else:
        items = [item for kind in folders for item in find_items(folders[kind], kind, options.seed)]
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{output.name}.partial-", dir=output.parent))
    try:
        with several(jobs) as workers:
            usable, skipped = _prepare(items, kept, options.half, workers, tell)
            _refuse_too_few(usable, options)
            order = _Order(options, kept, tuple(usable), hash(tuple(usable)))
            rows = _fill(partial, order, workers, tell)
        _note(partial, options, usable, skipped, licence)
        partial.chmod(0o755)
        partial.replace(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    used = {kind: sum(item.kind == kind for item in usable) for kind in folders}
    return ComposeReport(output, rows, {str(k): n for k, n in used.items()}, tuple(skipped))


# --- analysis -------------------------------------------------------------------------------------


def _prepare(
    items: Sequence[Item], kept: Path, half: bool, workers: Workers, tell: Progress
) -> tuple[list[Item], list[tuple[Path, str]]]:
    """The items that can be used, now in the cache, and the files of the others with the reason."""
    usable: list[Item] = []
    skipped: list[tuple[Path, str]] = []
    problems = workers.map(_analyse, [(item, kept, half) for item in items])
    for done, (item, problem) in enumerate(zip(items, problems, strict=True), 1):
        if problem is None:
            usable.append(item)
        else:
            skipped.append((item.path, problem))
        tell("analysing", done, len(items))
    return usable, skipped


def _analyse(task: tuple[Item, Path, bool]) -> str | None:
    """Put an item into the cache; what is wrong with it, if anything."""
    item, kept, half = task
    try:
        if item.kind == "music":
            Listener(kept).track(item)
        else:
            Bank(kept, half).footage(item)
    except MgsvError as error:
        return str(error).removeprefix(f"{shown(item.path)}: ")
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


# --- making the rows ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Order:
    """All that a process needs to make any video."""

    options: ComposeOptions
    kept: Path
    items: tuple[Item, ...] = field(compare=False)
    contents: int
    """Stands for the items where orders are compared, as they are for every video."""


@cache
def _tracks(order: _Order, split: str) -> tuple[Track, ...]:
    listener = Listener(order.kept)
    return tuple(listener.track(i) for i in order.items if (i.kind, i.split) == ("music", split))


@cache
def _footage(order: _Order, split: str) -> tuple[Footage, ...]:
    bank = Bank(order.kept, order.options.half)
    return tuple(
        bank.footage(item) for item in order.items if item.kind != "music" and item.split == split
    )


@cache
def _studio(order: _Order, split: str) -> Studio:
    return Studio(
        _tracks(order, split),
        _footage(order, split),
        scale_of([mood for track in _tracks(order, "train") for mood in track.moods]),
        scale_of([footage.looks.astype(np.float64) for footage in _footage(order, "train")]),
    )


def _plan(order: _Order, split: str, index: int) -> Plan:
    options, number = order.options, SPLITS.index(split)
    tracks = _tracks(order, split)
    turn = np.random.default_rng((options.seed, number)).permutation(len(tracks))
    salt = list(COMPOSERS).index(options.composer)
    return plan_video(
        options.composer,
        _studio(order, split),
        tracks[turn[index % len(tracks)]],
        np.random.default_rng((options.seed, number, index, salt)),
        video_id=f"{number + 1}{index:09d}",
        split=split,
        plain=options.plain,
        offset_max=options.offset_max,
    )


def _make(task: tuple[_Order, str, range]) -> list[tuple[Plan, npt.NDArray[np.float32]]]:
    order, split, indices = task
    bank = _studio(order, split).bank
    noise = order.options.noise if split == "train" else 0.0
    made = []
    for index in indices:
        plan = _plan(order, split, index)
        features = video_features(plan, bank)
        if noise:
            rng = np.random.default_rng((order.options.seed, SPLITS.index(split), index, NOISE))
            features = with_codec_noise(features, plan, rng, noise)
        made.append((plan, features))
    return made


def _film(task: tuple[_Order, str, int, Path]) -> None:
    order, split, index, folder = task
    plan = _plan(order, split, index)
    track = next(t for t in _tracks(order, split) if t.id == plan.track)
    options = order.options
    film(
        plan,
        _studio(order, split).bank,
        folder / f"{plan.video_id}{'.mkv' if options.lossless else '.mp4'}",
        crf=None if options.lossless else 23,
        track=track.item.path if options.sound else None,
        track_start=track.item.excerpt[0] if track.item.excerpt else 0.0,
    )


def _fill(folder: Path, order: _Order, workers: Workers, tell: Progress) -> int:
    """Write everything but the note into `folder`; how many rows there are."""
    options = order.options
    (folder / CSV_FOLDER).mkdir(parents=True)
    counts = dict(zip(SPLITS, (options.train, options.val, options.test), strict=True))
    done, total = 0, options.train + options.val + options.test
    used: dict[str, Track] = {}
    frames = folder / PACKED_FOLDER / packed_name("frames")
    with (
        PackWriter(frames, video_encoder().dim, FRAME_SLOTS) as store,
        (folder / PLANS).open("w", encoding="utf-8") as plans,
    ):
        for split, count in counts.items():
            if not count:
                continue
            tracks = {track.id: track for track in _tracks(order, split)}
            rows = []
            chunks = [range(n, min(n + AT_ONCE, count)) for n in range(0, count, AT_ONCE)]
            for made in workers.map(_make, [(order, split, chunk) for chunk in chunks]):
                for plan, features in made:
                    track = used[plan.track] = tracks[plan.track]
                    store.add(plan.video_id, features)
                    plans.write(plan_line(plan))
                    rows.append(_row(plan, track))
                done += len(made)
                tell("videos", done, total)
            write_annotations(folder / CSV_FOLDER / f"{split}_data.csv", rows)
    segments = folder / PACKED_FOLDER / packed_name("segments")
    with PackWriter(segments, music_encoder().dim, SEGMENT_SLOTS) as store:
        for name, track in used.items():
            store.add(name, track.segments[:SEGMENT_SLOTS])
    if options.videos:
        (folder / VIDEOS).mkdir()
        films = [
            (order, split, index, folder / VIDEOS)
            for split, count in counts.items()
            for index in range(min(options.videos, count))
        ]
        for done, _ in enumerate(workers.map(_film, films), 1):
            tell("files", done, len(films))
    return total


def _row(plan: Plan, track: Track) -> Row:
    end = round(plan.music_start + plan.seconds, 3)
    seconds = round(plan.seconds, 3)
    return Row(
        video_id=plan.video_id,
        music_id=plan.track,
        video_start=0.0,
        video_end=seconds,
        music_start=plan.music_start,
        music_end=end,
        music_total_duration=round(max(track.seconds, end), 3),
        video_segment_duration=seconds,
        music_segment_duration=seconds,
        music_path=track.item.path.name,
        video_total_duration=seconds,
        video_width=WIDTH,
        video_height=HEIGHT,
        video_total_frames=plan.frames,
        video_frame_rate=float(FRAME_RATE),
        video_category="Composed",
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
