"""The planted benchmark: made-up data in exactly MGSV-EC's layout, with a known way to solve it.

Every track is a latent song (`songs.py`). Its music features are one fixed view of the latent
states, a video's frames are another, noisier view of the states of the music moment the video
uses. A model has to find out, from pairs alone, how the two views correspond, and then where on
the track the video's second-by-second course lies; nothing in a video tells the moment without
its track, and (while `hot` is 0) nothing in a track tells it without the video.

Durations, moment lengths and positions, and the long-tail use of tracks follow the statistics of
MGSV-EC: videos of some 24 s, tracks of some 140 s, a third of the moments within the first half
second, the rest up to 190 s, each moment as long as its video.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mgsv.config import option
from mgsv.data.annotations import SPLITS, Row, write_annotations
from mgsv.data.folder import CSV_FOLDER, PACKED_FOLDER, packed_name
from mgsv.data.packed import FloatArray, PackWriter, refuse_existing
from mgsv.errors import ConfigError
from mgsv.synthesis.planted.songs import STATES, STEP, SongOptions, song, states_at

FRAME_DIM, FRAME_SLOTS = 512, 50
SEGMENT_DIM, SEGMENT_SLOTS = 768, STATES
RECIPE = "planted.json"

T = TypeVar("T")

FULL = {"train": 49_194, "val": 2_000, "test": 2_000, "tracks": 4_050}
"""The sizes of MGSV-EC."""

HELD_OUT = 1.0535
"""Tracks in val or test per track in val: 1,893 of MGSV-EC's 2,000 stand in both."""

UNSEEN = 0.263
"""Share of those tracks that no training row uses: 4,050 - 3,496 of 2,107."""

HOT_USE = 0.84
"""Share of the rows of a hot track that use its hot moment; two agree in 70 %, as in MGSV-EC."""

CURVED_DIM = 8
"""Dimensions the nonlinear part of a view adds."""


@dataclass(frozen=True)
class PlantOptions(SongOptions):
    """How a planted benchmark is made. With the defaults of size it is as large as MGSV-EC."""

    train: int = option(FULL["train"], "Training rows.")
    val: int = option(FULL["val"], "Rows of val, at most one per track.")
    test: int = option(FULL["test"], "Rows of test, at most one per track.")
    tracks: int = option(FULL["tracks"], "Tracks.")
    seed: int = option(0, "Of everything; the same options give the same bytes.")
    hot: float = option(0.0, "Share of tracks with one usual moment.")
    noise: float = option(
        0.5, "Deviation of what a video adds to each latent, whose own is 1, per second."
    )
    style: float = option(
        0.4, "The same, but constant over a video: its own look, which makes retrieval harder."
    )
    grain: float = option(
        0.5, "Noise on each feature of both views; averaged out by any good projection."
    )
    curve: float = option(
        0.3, "Weight of a part of each view that is useless for the task and differs between them."
    )

    def __post_init__(self) -> None:
        for name in ("train", "val", "test"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name} {getattr(self, name)}: needs at least 1 row")
        for name in ("val", "test"):
            if getattr(self, name) > self.tracks:
                raise ConfigError(
                    f"--{name} {getattr(self, name)} with --tracks {self.tracks}",
                    "these splits hold one row per track, so they need as many tracks",
                )
        for name in ("hot", "family_similarity", "repeat_similarity"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"--{name.replace('_', '-')}: must lie between 0 and 1")
        for name in ("noise", "style", "grain", "curve"):
            if not 0 <= getattr(self, name) < 100:
                raise ConfigError(f"--{name}: must lie between 0 and 100")
        if not 2 <= self.latent_dim <= 256 or self.family_size < 1:
            raise ConfigError("--latent-dim must lie in 2 to 256, --family-size be at least 1")


@dataclass(frozen=True)
class View:
    """One modality's fixed projection of latent states [T, K] to features [T, D].

    features = [states, curve * tanh(states @ bend)] @ matrix + grain. `matrix` has full row rank,
    so the states come back exactly from features without grain.
    """

    matrix: FloatArray
    bend: FloatArray
    curve: float
    grain: float

    @classmethod
    def make(cls, seed: int, salt: int, dim: int, options: PlantOptions) -> View:
        rng = np.random.default_rng((seed, 3, salt))
        latent = options.latent_dim
        matrix = rng.standard_normal((latent + CURVED_DIM, dim)) / np.sqrt(latent)
        bend = rng.standard_normal((latent, CURVED_DIM)) / np.sqrt(latent) * 2
        return cls(matrix.astype(np.float32), bend.astype(np.float32), options.curve, options.grain)

    def project(self, states: FloatArray, rng: np.random.Generator) -> FloatArray:
        curved = self.curve * np.tanh(states @ self.bend)
        features = np.concatenate([states, curved], axis=-1) @ self.matrix
        return features + np.float32(self.grain) * rng.standard_normal(features.shape, np.float32)

    def states(self, features: FloatArray) -> FloatArray:
        """The latent states [..., K] that `features` [..., D] show, by least squares."""
        return np.asarray(features @ self._inverse, np.float32)

    @cached_property
    def _inverse(self) -> FloatArray:
        """[D, K] what gives the states back; the curved part is dropped."""
        return np.asarray(np.linalg.pinv(self.matrix)[:, : self.bend.shape[0]], np.float32)


def views(options: PlantOptions) -> tuple[View, View]:
    """The views of (frames, segments), which only an oracle may know."""
    return (
        View.make(options.seed, 1, FRAME_DIM, options),
        View.make(options.seed, 2, SEGMENT_DIM, options),
    )


def plant(
    output: str | os.PathLike[str],
    options: PlantOptions | None = None,
    *,
    files: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Make a planted benchmark in the new folder `output`, laid out as the hub data set is.

    The features are written as a packed store, and with `files` also as the published folders of
    `.pt` files. `progress` is called with (what, done, all). The folder appears whole or not at
    all. The same options give the same bytes. Memory stays below 1 GB at any size: rows are
    streamed.
    """
    options = options or PlantOptions()
    output = Path(output)
    refuse_existing(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{output.name}.partial-", dir=output.parent))
    try:
        _fill(partial, options, files, progress or (lambda *_: None))
        partial.chmod(0o755)
        partial.replace(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return output


def read_recipe(folder: str | os.PathLike[str]) -> PlantOptions:
    """The options a planted benchmark was made with."""
    path = Path(folder) / RECIPE
    try:
        return PlantOptions(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"{folder} is not a planted benchmark", "its oracle is unknown"
        ) from error


def _fill(
    folder: Path, options: PlantOptions, files: bool, progress: Callable[[str, int, int], None]
) -> None:
    (folder / RECIPE).write_text(json.dumps(asdict(options), indent=1) + "\n", encoding="utf-8")
    rows = plan_rows(options)
    csvs = folder / CSV_FOLDER
    csvs.mkdir(parents=True)
    for split in SPLITS:
        write_annotations(csvs / f"{split}_data.csv", rows[split])

    frame_view, segment_view = views(options)
    tracks = {row.music_id: row.music_total_duration for split in SPLITS for row in rows[split]}
    numbers = {music_id(options, number): number for number in range(options.tracks)}
    songs = np.zeros((options.tracks, STATES, options.latent_dim), np.float32)
    with PackWriter(
        folder / PACKED_FOLDER / packed_name("segments"), SEGMENT_DIM, SEGMENT_SLOTS
    ) as store:
        for done, (name, seconds) in enumerate(tracks.items()):
            number = numbers[name]
            songs[number] = song(options.seed, number, options)
            length = segment_count(seconds)
            rng = np.random.default_rng((options.seed, 4, number))
            store.add(name, segment_view.project(songs[number, :length], rng))
            progress("tracks", done + 1, len(tracks))
    with PackWriter(
        folder / PACKED_FOLDER / packed_name("frames"), FRAME_DIM, FRAME_SLOTS
    ) as store:
        done, total = 0, sum(map(len, rows.values()))
        for split in SPLITS:
            for row in rows[split]:
                rng = np.random.default_rng((options.seed, 5, int(row.video_id)))
                states = video_states(row, songs[numbers[row.music_id]], options, rng)
                store.add(row.video_id, frame_view.project(states, rng))
                done += 1
                progress("videos", done, total)
    if files:
        from mgsv.data.features import write_folder
        from mgsv.data.packed import PackedStore

        for kind in ("frames", "segments"):
            store_of_kind = PackedStore(folder / PACKED_FOLDER / packed_name(kind))
            write_folder(folder, kind, store_of_kind)


def video_states(
    row: Row, states: FloatArray, options: PlantOptions, rng: np.random.Generator
) -> FloatArray:
    """[F, K] what the video shows at whole seconds: the moment's states, style and noise."""
    seconds = row.music_start + np.arange(frame_count(row))
    shape = (len(seconds), options.latent_dim)
    style = options.style * rng.standard_normal((1, options.latent_dim), np.float32)
    noise = options.noise * rng.standard_normal(shape, np.float32)
    return np.asarray(states_at(states, seconds) + style + noise, np.float32)


def frame_count(row: Row) -> int:
    """Frames at floor(video_start) … min(floor(video_end), last second, 49)."""
    last = [int(row.video_end), FRAME_SLOTS - 1]
    if row.video_total_duration is not None:
        last.append(int(row.video_total_duration))
    return max(1, min(last) - int(row.video_start) + 1)


def segment_count(track_seconds: float) -> int:
    """Windows whose centre 0, 2.5, … lies on the track and on the canvas."""
    return min(int(track_seconds / STEP) + 1, SEGMENT_SLOTS)


def music_id(options: PlantOptions, number: int) -> str:
    """Like the real ones an id with a `+`; unlike them, it says what it is."""
    return f"planted{options.seed}+{number:05d}"


# --- which video uses which moment ---------------------------------------------------------------

VIDEO_SECONDS = ((0, 5.2), (0.05, 8.9), (0.25, 14.3), (0.5, 20.5), (0.75, 31), (0.9, 40), (1, 49.5))
TRACK_SECONDS = ((0, 30), (0.05, 34), (0.25, 63), (0.5, 155), (0.75, 204), (0.9, 224), (1, 239.9))
LATE_STARTS = (
    (0, 0.5),
    (0.07, 4),
    (0.13, 9),
    (0.22, 22),
    (0.44, 50),
    (0.7, 68),
    (0.9, 104),
    (1, 190),
)
"""Quantiles (share, seconds), linear between; rounded from MGSV-EC's val and test."""

AT_START, EXACTLY_ZERO = 0.32, 0.75
"""Share of moments drawn within the first half second (a third, with those that have no room to be
later), and of those at 0.0."""

CATEGORIES = {"Fashion": 44, "Games": 12, "Home Furnishings": 9, "Food": 7, "Beauty": 5, "Cars": 3}
CATEGORIES |= {"High-tech Gadgets": 4, "Agriculture": 4, "Lifestyle": 2, "Health": 2, "Other": 8}
SIZES = {(1080, 1920): 71, (2160, 3840): 14, (720, 1280): 8, (1080, 1440): 4, (1280, 720): 3}
RATES = {30: 41, 60: 40, 31: 11, 25: 5, 50: 3}

POPULARITY = 1.3
"""Spread (sigma) of the log-normal popularity of tracks: few tracks carry most videos."""


def plan_rows(options: PlantOptions) -> dict[str, list[Row]]:
    """The annotations of each split: val and test hold one row per track, train the long tail."""
    rng = np.random.default_rng((options.seed, 0))
    track_seconds = np.round(_quantile(TRACK_SECONDS, rng.random(options.tracks)), 3)
    held = rng.permutation(options.tracks)[: _held_out(options)]
    unseen = rng.permutation(held)[: min(round(UNSEEN * len(held)), options.tracks - 1)]
    seen = np.setdiff1d(np.arange(options.tracks), unseen)
    popularity = rng.lognormal(0, POPULARITY, len(seen))
    used = rng.choice(seen, options.train, p=popularity / popularity.sum())
    once = rng.permutation(seen)[: options.train]  # every training track is used at least once
    used[: len(once)] = once
    chosen = {
        "train": rng.permutation(used),
        "val": rng.permutation(held[: options.val]),
        # from the back, so that every held-out track is in val or test, as far as they reach
        "test": rng.permutation(held[::-1][: options.test]),
    }
    is_hot = rng.random(options.tracks) < options.hot
    hot_place = rng.random((options.tracks, 2))
    first = 100_000_000_000
    rows: dict[str, list[Row]] = {}
    for split in SPLITS:
        tracks = chosen[split]
        seconds = track_seconds[tracks]
        widths = np.minimum(_quantile(VIDEO_SECONDS, rng.random(len(tracks))), seconds - 0.1)
        fresh = _starts(rng.random((len(tracks), 2)), np.maximum(seconds - widths, 0))
        usual = _starts(hot_place[tracks], np.maximum(seconds - HOT_ROOM, 0))
        fits = usual + widths <= seconds
        uses_hot = is_hot[tracks] & fits & (rng.random(len(tracks)) < HOT_USE)
        starts = np.asarray(np.round(np.where(uses_hot, usual, fresh), 3), np.float64)
        widths = np.round(np.minimum(widths, seconds - starts), 3)
        rows[split] = list(_describe(options, first, tracks, seconds, starts, widths, rng))
        first += len(tracks)
    return rows


HOT_ROOM = 25.0
"""Seconds a track leaves after its hot moment's start, so that most videos fit there."""


def _held_out(options: PlantOptions) -> int:
    wanted = max(options.val, options.test)
    return min(options.tracks, max(wanted, round(HELD_OUT * wanted)))


def _quantile(
    knots: tuple[tuple[float, float], ...], share: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    shares, values = zip(*knots, strict=True)
    return np.asarray(np.interp(share, shares, values))


def _starts(
    random: npt.NDArray[np.float64], room: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """[N] start seconds within `room` [N], of uniform `random` [N, 2]."""
    shares, values = zip(*LATE_STARTS, strict=True)
    late = np.interp(random[:, 1] * np.interp(room, values, shares), shares, values)
    within = np.maximum(0, random[:, 1] - EXACTLY_ZERO) / (1 - EXACTLY_ZERO) * 0.5
    starts = np.where((random[:, 0] < AT_START) | (room < 1), within, late)
    return np.minimum(starts, room)


def _describe(
    options: PlantOptions,
    first: int,
    tracks: npt.NDArray[np.int64],
    track_seconds: npt.NDArray[np.float64],
    starts: npt.NDArray[np.float64],
    widths: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> Iterator[Row]:
    """Rows with all columns filled in; `first` is the first video id."""
    count = len(tracks)
    categories = _pick(list(CATEGORIES), list(CATEGORIES.values()), count, rng)
    sizes = _pick(list(SIZES), list(SIZES.values()), count, rng)
    rates = _pick(list(RATES), list(RATES.values()), count, rng)
    extra = np.round(rng.uniform(0.01, 0.15, count), 3)
    for n in range(count):
        width, start = float(widths[n]), float(starts[n])
        total = round(width + float(extra[n]), 3)
        name = music_id(options, int(tracks[n]))
        yield Row(
            video_id=str(first + n),
            music_id=name,
            video_start=0.0,
            video_end=width,
            music_start=start,
            music_end=round(start + width, 3),
            music_total_duration=float(track_seconds[n]),
            video_segment_duration=width,
            music_segment_duration=width,
            music_path=f"/planted/{name}+Lied № {tracks[n]}.mp3",
            video_total_duration=total,
            video_width=sizes[n][0],
            video_height=sizes[n][1],
            video_total_frames=int(total * rates[n]),
            video_frame_rate=float(rates[n]),
            video_category=categories[n],
        )


def _pick(values: list[T], weights: list[int], count: int, rng: np.random.Generator) -> list[T]:
    shares = np.array(weights) / sum(weights)
    return [values[place] for place in rng.choice(len(values), count, p=shares)]
