"""`mgsv data stats`: what annotation files hold, as the card's table and the paper's plots."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mgsv.data.annotations import SPLITS, Annotations, Row, read_annotations
from mgsv.data.folder import DataFolder
from mgsv.drawing import BLUE, INK, ORANGE, encoded, styled
from mgsv.errors import DataError
from mgsv.files import refuse_existing, write_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = npt.NDArray[np.float64]

AT_START = 0.5
"""A moment that starts within so many seconds counts as the track's beginning."""

AS_LONG = 0.1
"""Seconds by which a moment may differ from its video and still be as long."""


@dataclass(frozen=True)
class SplitStatistics:
    """One row of the table. Seconds are means; shares are fractions."""

    split: str
    videos: int
    tracks: int
    moments: int
    """Distinct (track, start, end), times to the millisecond."""
    video_seconds: float
    """Of the video's segment that carries the music."""
    track_seconds: float
    """Mean over distinct tracks."""
    moment_seconds: float
    from_start: float
    """Share of moments that start within the first half second of their track."""
    as_long_as_video: float
    """Share of moments as long as their video, within 0.1 s."""
    largest_use: int
    """Videos on the most used track."""


@dataclass(frozen=True)
class Statistics:
    """The table, one row per file and one for all of them, and the plots written."""

    splits: tuple[SplitStatistics, ...]
    plots: tuple[Path, ...] = ()


def stats(
    csvs: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    plots: str | os.PathLike[str] | None = None,
) -> Statistics:
    """Statistics of annotation files, or of every split in a data folder.

    With `plots`, a folder, also draws the distributions there as PNG files (needs the extra
    `train`). DataError where a file is bad, OutputError where a plot exists or cannot be written.
    """
    files = _files(csvs)
    parts = {name: read_annotations(path) for name, path in files.items()}
    rows = [split_statistics(name, annotations) for name, annotations in parts.items()]
    if len(parts) > 1:
        together = Annotations(tuple(row for part in parts.values() for row in part))
        rows.append(split_statistics("all", together))
    drawn = () if plots is None else draw_plots(parts, Path(plots))
    return Statistics(tuple(rows), drawn)


def split_statistics(split: str, rows: Annotations) -> SplitStatistics:
    """The statistics of `rows`, which must not be empty."""
    tracks = {row.music_id: row.music_total_duration for row in rows}
    widths = rows.moments[:, 1] - rows.moments[:, 0]
    distinct = {(r.music_id, round(r.music_start, 3), round(r.music_end, 3)) for r in rows}
    return SplitStatistics(
        split=split,
        videos=len(rows),
        tracks=len(tracks),
        moments=len(distinct),
        video_seconds=float(rows.video_seconds.mean()),
        track_seconds=float(np.mean(list(tracks.values()))),
        moment_seconds=float(widths.mean()),
        from_start=float((rows.moments[:, 0] < AT_START).mean()),
        as_long_as_video=float((np.abs(widths - rows.video_seconds) <= AS_LONG).mean()),
        largest_use=max(Counter(rows.music_ids).values()),
    )


def _files(csvs: Sequence[str | os.PathLike[str]] | str | os.PathLike[str]) -> dict[str, Path]:
    """Name of each file's split → the file."""
    if not isinstance(csvs, str | os.PathLike):
        files = [Path(path) for path in csvs]
    elif Path(csvs).is_dir():
        data = DataFolder.open(csvs)
        files = [path for split in SPLITS if (path := data.find_csv(split)) is not None]
    else:
        files = [Path(csvs)]
    if not files:
        raise DataError(str(csvs), "no annotation files in it", "name the CSV files themselves")
    named = {path.stem.removesuffix("_data"): path for path in files}
    return named if len(named) == len(files) else {str(path): path for path in files}


# --- plots ---------------------------------------------------------------------------------------

COLOURS = (BLUE, ORANGE, "#5b9a5b")
LISTED = 15
"""Categories and resolutions drawn by name; the rest is one bar."""


def draw_plots(parts: dict[str, Annotations], folder: Path) -> tuple[Path, ...]:
    """Draw each plot of `parts` (split → rows) as a PNG file in `folder`."""
    from matplotlib.figure import Figure

    makers: dict[str, tuple[Callable[[Figure, dict[str, Annotations]], None], float]] = {
        "durations": (_durations, 3.4),
        "track-use": (_track_use, 3.4),
        "positions": (_positions, 3.4),
        "categories": (_categories, 4.6),
        "resolutions": (_resolutions, 4.2),
    }
    paths = tuple(folder / f"{name}.png" for name in makers)
    for path in paths:
        refuse_existing(path)
    images = []
    for maker, height in makers.values():
        with styled():
            figure = Figure(figsize=(9, height), layout="constrained")
            maker(figure, parts)
            images.append(encoded(figure, "png", dpi=150))
    for path, image in zip(paths, images, strict=True):
        write_file(path, image, parents=True)
    return paths


def _durations(figure: Figure, parts: dict[str, Annotations]) -> None:
    left, right = figure.subplots(1, 2)
    _histogram(left, {s: rows.video_seconds for s, rows in parts.items()}, 2.0, "video length (s)")
    tracks = {
        split: np.array(list({r.music_id: r.music_total_duration for r in rows}.values()))
        for split, rows in parts.items()
    }
    _histogram(right, tracks, 10.0, "track length (s)", what="tracks")


def _positions(figure: Figure, parts: dict[str, Annotations]) -> None:
    left, right = figure.subplots(1, 2)
    starts = {split: rows.moments[:, 0] for split, rows in parts.items()}
    _histogram(left, starts, 5.0, "start of the moment on the track (s)")
    left.set_yscale("log")
    left.yaxis.set_major_formatter("{x:g}")
    middles = {
        split: rows.moments.mean(axis=1) / np.maximum(rows.track_seconds, 1e-9)
        for split, rows in parts.items()
    }
    _histogram(right, middles, 0.05, "middle of the moment / length of the track")


def _track_use(figure: Figure, parts: dict[str, Annotations]) -> None:
    together = Counter(r.music_id for rows in parts.values() for r in rows)
    uses = np.array(sorted(together.values(), reverse=True))
    left, right = figure.subplots(1, 2)
    rank = np.arange(1, len(uses) + 1)
    left.step(rank, uses, color=COLOURS[0], where="mid")
    left.fill_between(rank, uses, step="mid", color=COLOURS[0], alpha=0.25, linewidth=0)
    if uses[0] > 10:
        left.set_yscale("log")
        left.yaxis.set_major_formatter("{x:g}")
        left.set_ylim(bottom=0.8)
    else:
        left.set_yticks(range(int(uses[0]) + 1))
        left.set_ylim(bottom=0)
    left.set_xlim(1, max(2, len(uses)))
    _axes(left, "tracks, most used first", "videos on the track")
    right.plot(100 * rank / len(uses), 100 * np.cumsum(uses) / uses.sum(), color=COLOURS[0])
    right.plot([0, 100], [0, 100], color=INK, linewidth=0.8, linestyle=":")
    right.set_xlim(0, 100)
    right.set_ylim(0, 101)
    _axes(right, "most used tracks (%)", "share of all videos (%)")


def _categories(figure: Figure, parts: dict[str, Annotations]) -> None:
    _bars(figure.subplots(), parts, lambda row: row.video_category or "(none)", LISTED)


def _resolutions(figure: Figure, parts: dict[str, Annotations]) -> None:
    left, right = figure.subplots(1, 2)
    _bars(left, parts, _size, 10)
    left.set_title("resolution", fontsize=10, color=INK)
    _bars(right, parts, lambda row: f"{row.video_frame_rate or 0:g} fps", 10)
    right.set_title("frame rate", fontsize=10, color=INK)


def _size(row: Row) -> str:
    return f"{row.video_width or '?'} × {row.video_height or '?'}"


def _histogram(
    axes: Axes, values: dict[str, Values], step: float, label: str, what: str = "videos"
) -> None:
    """Outlines, one per split, so that alike splits stay readable; in per cent of each split.

    Only the first is filled: overlapping fills mix to mud.
    """
    highest = max(float(v.max()) for v in values.values())
    edges = np.arange(0, highest + step, step).tolist()
    for colour, (split, v) in zip(_colours(values), values.items(), strict=True):
        weights = np.full(len(v), 100 / len(v))
        if colour == COLOURS[0]:
            axes.hist(v, edges, weights=weights, histtype="stepfilled", color=colour, alpha=0.2)
        axes.hist(
            v, edges, weights=weights, histtype="step", color=colour, label=split, linewidth=1.3
        )
    axes.set_xlim(0, edges[-1])
    _axes(axes, label, f"{what} (%)")
    axes.legend(fontsize=9)


def _bars(
    axes: Axes, parts: dict[str, Annotations], key: Callable[[Row], str], listed: int
) -> None:
    """Horizontal bars of the most frequent values, one colour per split, the rest as `other`."""
    counts = {split: Counter(map(key, rows)) for split, rows in parts.items()}
    names = [name for name, _ in sum(counts.values(), Counter()).most_common()]
    shown, rest = names[:listed], names[listed:]
    labels = [*shown, f"{len(rest)} others"] if rest else shown
    height = 0.8 / len(parts)
    for place, (colour, split) in enumerate(zip(_colours(parts), parts, strict=True)):
        total = len(parts[split])
        shares = [100 * counts[split][name] / total for name in shown]
        if rest:
            shares.append(100 * sum(counts[split][name] for name in rest) / total)
        places = np.arange(len(labels)) + (place - (len(parts) - 1) / 2) * height
        axes.barh(places, shares, height * 0.92, color=colour, label=split)
    axes.set_yticks(np.arange(len(labels)), labels, fontsize=9)
    axes.invert_yaxis()
    _axes(axes, "videos (%)", "")
    axes.grid(visible=False, axis="y")
    axes.legend(fontsize=9, loc="lower right")


def _colours(parts: dict[str, Any]) -> list[str]:
    return [COLOURS[place % len(COLOURS)] for place in range(len(parts))]


def _axes(axes: Axes, across: str, up: str) -> None:
    axes.set_xlabel(across, color=INK)
    axes.set_ylabel(up, color=INK)
