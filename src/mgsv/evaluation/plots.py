"""The report's figures, each drawn from a table of answers and returned as SVG or PNG text."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mgsv.drawing import BLUE, GREY, INK, ORANGE, encoded, styled
from mgsv.evaluation.results import Results

Drawing = Callable[[Any], None]


def figure(draw: Drawing, *, width: float = 5.4, height: float = 3.6, dots: bool = False) -> str:
    """An `<img>` of what `draw` puts on a matplotlib axes.

    Lines and bars become SVG; a cloud of `dots` becomes PNG, which thousands of points suit better.
    """
    from matplotlib.figure import Figure

    with styled():
        canvas = Figure(figsize=(width, height), layout="constrained")
        draw(canvas.subplots())
        data = encoded(canvas, "png" if dots else "svg")
    mime = "image/png" if dots else "image/svg+xml"
    text = base64.b64encode(data).decode()
    return f'<img src="data:{mime};base64,{text}" width="{width * 96:.0f}" alt="">'


def iou_histogram(results: Results, shuffled: float) -> str:
    """How many queries reach which IoU."""

    def draw(axes: Any) -> None:
        axes.hist(results.iou, bins=np.linspace(0, 1, 41), color=BLUE)
        axes.axvline(results.iou.mean(), color=ORANGE, label=f"mean {results.iou.mean():.3f}")
        axes.axvline(shuffled, color=GREY, linestyle="--", label=f"videos shuffled {shuffled:.3f}")
        axes.set(xlabel="IoU", ylabel="queries", xlim=(0, 1))
        axes.legend()

    return figure(draw)


def positions(
    across: npt.NDArray[np.float64], up: npt.NDArray[np.float64], labels: tuple[str, str]
) -> str:
    """Starts of moments against each other, in seconds."""

    def draw(axes: Any) -> None:
        top = float(np.nanmax([across, up], initial=1.0))
        axes.plot([0, top], [0, top], color=GREY, linewidth=0.8)
        size = float(np.clip(4000 / len(across), 5, 20))
        axes.scatter(across, up, s=size, alpha=0.4, color=BLUE, edgecolors="none")
        axes.set(xlabel=labels[0], ylabel=labels[1], xlim=(0, top), ylim=(0, top), aspect="equal")

    return figure(draw, width=4.4, height=4.2, dots=True)


def recall_curves(results: Results, tracks: int) -> str:
    """R@k and MoR@k over all depths, `tracks` being how many there are to choose from."""
    rank, iou = results.rank, results.iou
    assert rank is not None
    depths = np.arange(1, tracks + 1)

    def share(hits: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        counts = np.bincount(rank[hits], minlength=tracks + 1)[1:]
        return 100 * np.cumsum(counts) / len(rank)

    def draw(axes: Any) -> None:
        axes.plot(depths, share(rank > 0), color=BLUE, label="R@k")
        for theta, style in ((0.5, "-"), (0.7, "--")) if results.places else ():
            label = f"MoR@k, IoU > {theta}"
            axes.plot(depths, share(iou > theta), color=ORANGE, linestyle=style, label=label)
        axes.plot(depths, 100 * depths / tracks, color=GREY, linewidth=0.8, label="chance, R@k")
        axes.set(xscale="log", xlabel="k", ylabel="%", ylim=(0, 100), xlim=(1, max(2, tracks)))
        axes.legend()

    return figure(draw)


def iou_by_length(results: Results) -> str:
    """Mean IoU of queries of similar video length, in ten equal parts."""

    def draw(axes: Any) -> None:
        parts = np.array_split(np.argsort(results.video_seconds), min(10, len(results)))
        seconds = [results.video_seconds[part].mean() for part in parts]
        axes.plot(seconds, [results.iou[part].mean() for part in parts], "o-", color=BLUE)
        axes.set(xlabel="length of the video in seconds", ylabel="mIoU", ylim=(0, 1))

    return figure(draw)


def curve(
    across: list[float], up: dict[str, list[float]], labels: tuple[str, str], *, log: bool = False
) -> str:
    """Lines over common places, such as a measure against the size of the training set."""

    def draw(axes: Any) -> None:
        for (name, values), colour in zip(up.items(), (BLUE, ORANGE, GREY), strict=False):
            axes.plot(across, values, "o-", color=colour, label=name)
        axes.set(xlabel=labels[0], ylabel=labels[1], xscale="log" if log else "linear")
        axes.legend()

    return figure(draw)


def bars(
    names: Sequence[str],
    values: Mapping[str, Sequence[float | None]],
    label: str,
    levels: Mapping[str, float],
) -> str:
    """Groups of bars, one group per name, with `levels` as lines; None leaves a gap."""

    def draw(axes: Any) -> None:
        thick, places = 0.8 / len(values), np.arange(len(names))
        for n, ((kind, row), colour) in enumerate(
            zip(values.items(), (BLUE, GREY, ORANGE), strict=False)
        ):
            lengths = [np.nan if value is None else value for value in row]
            middle = places + (n - (len(values) - 1) / 2) * thick
            axes.barh(middle, lengths, thick, color=colour, label=kind)
        for (name, level), style in zip(levels.items(), ("--", ":"), strict=False):
            axes.axvline(level, color=INK, linewidth=0.9, linestyle=style, label=name)
        axes.set_yticks(places, names)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set(xlabel=label, xlim=(0, None))
        axes.legend(loc="upper left", bbox_to_anchor=(1, 1))

    return figure(draw, width=8, height=1.2 + 0.45 * len(names))
