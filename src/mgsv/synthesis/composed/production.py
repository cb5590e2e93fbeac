"""Making the rows of a composed data folder, in several processes or in this one.

Every process can make any video from its number alone: an `Order` says what all of them share.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mgsv.config import option
from mgsv.data.annotations import SPLITS, Row, write_annotations
from mgsv.data.folder import CSV_FOLDER, FRAME_SLOTS, PACKED_FOLDER, SEGMENT_SLOTS, packed_name
from mgsv.data.packed import PackWriter
from mgsv.encoders.registry import music_encoder, video_encoder
from mgsv.errors import ConfigError
from mgsv.jobs import Executor, Listener, Processes, Progress, in_order
from mgsv.runtime.onnx import limit_threads
from mgsv.synthesis.composed.corpus import Item
from mgsv.synthesis.composed.editors import COMPOSERS, LOOSE_EDITOR, LOOSE_UNSYNCED
from mgsv.synthesis.composed.features import video_features, with_codec_noise
from mgsv.synthesis.composed.footage import Bank, Footage
from mgsv.synthesis.composed.music import AnalysedTrack, TrackAnalyser
from mgsv.synthesis.composed.plan import FRAME_RATE, HEIGHT, WIDTH, Plan, plan_line
from mgsv.synthesis.composed.render import film
from mgsv.synthesis.composed.studio import Studio, plan_video, scale_of

CHOICES = ("editor", "second")


@dataclass(frozen=True)
class ComposeOptions:
    """How videos are composed."""

    train: int = option(20_000, "Training rows.")
    val: int = option(400, "Rows of val.")
    test: int = option(400, "Rows of test.")
    seed: int = option(0, "Of everything; the same options and files give the same features.")
    composer: str = option("editor", "Whose rules: editor, or second, which is for testing.")
    plain: float = option(0.1, "Share of videos whose cuts follow no music.")
    loose: float = option(
        0.0, "Share of videos that are edited loosely instead, as published ones mostly are."
    )
    offset_max: float = option(
        0.0, "Shift each video's edit against its music by a constant of up to so many seconds."
    )
    noise: float = option(
        0.0, "Noise on the features of train: 1 is what H.264 at its default quality adds."
    )
    half: bool = option(
        False,
        "Compute the views in bfloat16: faster where the processor supports it, nearly equal.",
    )
    videos: int = option(0, "Video files to render, the first of each split.")
    lossless: bool = option(False, "Render without loss (FFV1 in .mkv), else H.264.")
    sound: bool = option(False, "Render with the music.")

    def __post_init__(self) -> None:
        for name in ("train", "val", "test", "videos", "seed"):
            if getattr(self, name) < 0:
                raise ConfigError(f"`{name}` {getattr(self, name)}: is negative")
        if not any(getattr(self, split) for split in SPLITS):
            raise ConfigError("`train`, `val` and `test` are all 0", "ask for some rows")
        if self.composer not in CHOICES:
            raise ConfigError(
                f"`composer` {self.composer}: unknown", f"choose {' or '.join(CHOICES)}"
            )
        for name in ("plain", "loose"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"`{name}` {getattr(self, name):g}: must lie between 0 and 1")
        if not 0 <= self.noise <= 10:
            raise ConfigError(f"`noise` {self.noise:g}: must lie between 0 and 10")
        if not 0 <= self.offset_max <= 5:
            raise ConfigError(f"`offset_max` {self.offset_max:g}: must lie between 0 and 5 s")


PLANS = "plans.jsonl"
VIDEOS = "videos"

NOISE, LOT = 1_000, 1_001
"""In a seed, what tells noise, and which videos are edited loosely, from plans."""

AT_ONCE = 16
"""Videos a process makes per order."""


def worker_processes(jobs: int) -> Processes:
    """An executor for `compose`, to be closed after use.

    Each process computes in one thread, as together they use all cores already. Raises
    `ConfigError` for fewer than one.
    """
    return Processes(jobs, start=_one_thread)


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
    limit_threads(1)


@dataclass(frozen=True)
class Order:
    """All that a process needs to make any video."""

    options: ComposeOptions
    cache: Path
    items: tuple[Item, ...] = field(compare=False)
    contents: int
    """Stands for the items where orders are compared, as they are for every video."""


@cache
def _tracks(order: Order, split: str) -> tuple[AnalysedTrack, ...]:
    analyser = TrackAnalyser(order.cache)
    return tuple(analyser.track(i) for i in order.items if (i.kind, i.split) == ("music", split))


@cache
def _footage(order: Order, split: str) -> tuple[Footage, ...]:
    bank = Bank(order.cache, order.options.half)
    return tuple(
        bank.footage(item) for item in order.items if item.kind != "music" and item.split == split
    )


@cache
def _studio(order: Order, split: str) -> Studio:
    return Studio(
        _tracks(order, split),
        _footage(order, split),
        scale_of([mood for track in _tracks(order, "train") for mood in track.moods]),
        scale_of([footage.looks.astype(np.float64) for footage in _footage(order, "train")]),
    )


def _plan(order: Order, split: str, index: int) -> Plan:
    options, number = order.options, SPLITS.index(split)
    tracks = _tracks(order, split)
    turn = np.random.default_rng((options.seed, number)).permutation(len(tracks))
    salt = list(COMPOSERS).index(options.composer)
    lot = np.random.default_rng((options.seed, number, index, LOT)).random()
    composer, plain = options.composer, options.plain
    if lot < options.loose:
        composer, plain = LOOSE_EDITOR, LOOSE_UNSYNCED
    return plan_video(
        composer,
        _studio(order, split),
        tracks[turn[index % len(tracks)]],
        np.random.default_rng((options.seed, number, index, salt)),
        video_id=f"{number + 1}{index:09d}",
        split=split,
        plain=plain,
        offset_max=options.offset_max,
    )


def _make(task: tuple[Order, str, range]) -> list[tuple[Plan, npt.NDArray[np.float32]]]:
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


def _film(task: tuple[Order, str, int, Path]) -> None:
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


def fill_folder(folder: Path, order: Order, executor: Executor, progress: Listener) -> int:
    """Write everything but the note into `folder`; how many rows there are."""
    options = order.options
    (folder / CSV_FOLDER).mkdir(parents=True)
    counts = dict(zip(SPLITS, (options.train, options.val, options.test), strict=True))
    done, total = 0, options.train + options.val + options.test
    used: dict[str, AnalysedTrack] = {}
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
            tasks = [
                (order, split, range(n, min(n + AT_ONCE, count))) for n in range(0, count, AT_ONCE)
            ]
            with closing(in_order(executor.map(_make, tasks))) as chunks:
                for chunk in chunks:
                    made = chunk.result()
                    for plan, features in made:
                        track = used[plan.track] = tracks[plan.track]
                        store.add(plan.video_id, features)
                        plans.write(plan_line(plan))
                        rows.append(_row(plan, track))
                    done += len(made)
                    progress(Progress("videos", done, total))
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
        with closing(in_order(executor.map(_film, films))) as outcomes:
            for done, outcome in enumerate(outcomes, 1):
                outcome.result()
                progress(Progress("files", done, len(films)))
    return total


def _row(plan: Plan, track: AnalysedTrack) -> Row:
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
