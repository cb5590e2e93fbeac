"""Which planted video uses which moment: annotations with the statistics of MGSV-EC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mgsv.data.annotations import SPLITS, Row
from mgsv.synthesis.planted.options import PlantOptions
from mgsv.synthesis.planted.worlds import STEP, Quantiles, World, world_named
from mgsv.synthesis.statistics import (
    AT_START,
    CATEGORIES,
    EXACTLY_ZERO,
    RATES,
    SIZES,
)

T = TypeVar("T")

HELD_OUT = 1.0535
"""Tracks in val or test per track in val: 1,893 of MGSV-EC's 2,000 stand in both."""

UNSEEN = 0.263
"""Share of those tracks that no training row uses: 4,050 - 3,496 of 2,107."""

HOT_USE = 0.84
"""Share of the rows of a hot track that use its hot moment; two agree in 70 %, as in MGSV-EC."""

POPULARITY = 1.3
"""Spread (sigma) of the log-normal popularity of tracks: few tracks carry most videos."""


def plan_rows(options: PlantOptions) -> dict[str, list[Row]]:
    """The annotations of each split: val and test hold one row per track, train the long tail."""
    rng, world = np.random.default_rng((options.seed, 0)), world_named(options.world)
    track_seconds = np.round(_quantile(world.track_seconds, rng.random(options.tracks)), 3)
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
        widths = np.minimum(_quantile(world.video_seconds, rng.random(len(tracks))), seconds - 0.1)
        fresh = _starts(world, rng.random((len(tracks), 2)), np.maximum(seconds - widths, 0))
        usual = _starts(world, hot_place[tracks], np.maximum(seconds - world.hot_room, 0))
        fits = usual + widths <= seconds
        uses_hot = is_hot[tracks] & fits & (rng.random(len(tracks)) < HOT_USE)
        starts = np.asarray(np.round(np.where(uses_hot, usual, fresh), 3), np.float64)
        widths = np.round(np.minimum(widths, seconds - starts), 3)
        rows[split] = list(_describe(options, first, tracks, seconds, starts, widths, rng))
        first += len(tracks)
    return rows


def _held_out(options: PlantOptions) -> int:
    wanted = max(options.val, options.test)
    return min(options.tracks, max(wanted, round(HELD_OUT * wanted)))


def _quantile(knots: Quantiles, share: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shares, values = zip(*knots, strict=True)
    return np.asarray(np.interp(share, shares, values))


def _starts(
    world: World, random: npt.NDArray[np.float64], room: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """[N] start seconds within `room` [N], of uniform `random` [N, 2]."""
    shares, values = zip(*world.late_starts, strict=True)
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


def video_frames(row: Row, world: World) -> int:
    """Frames at floor(video_start) … min(floor(video_end), last second), as far as they fit."""
    last = [int(row.video_end), world.frames - 1]
    if row.video_total_duration is not None:
        last.append(int(row.video_total_duration))
    return max(1, min(last) - int(row.video_start) + 1)


def track_segments(track_seconds: float, world: World) -> int:
    """Windows whose centre 0, 2.5, … lies on the track and on the canvas."""
    return min(int(track_seconds / STEP) + 1, world.segments)


def music_id(options: PlantOptions, number: int) -> str:
    """Like the real ones an id with a `+`; unlike them, it says what it is."""
    return f"planted{options.seed}+{number:05d}"
