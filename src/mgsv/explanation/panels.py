"""What each panel of the picture shows. Across are seconds of the track, in all of them.

A cut is a line through clip and music, so one sees whether it meets a beat: there the line is solid
and its dot filled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mgsv.drawing import BLUE, GREY, INK, ORANGE, SOFT
from mgsv.explanation.facts import Facts
from mgsv.media.video import CURVE_RATE
from mgsv.methods.placement import ON_BEAT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = npt.NDArray[np.float64]

PLACES = 720
"""Points of a waveform: a pixel and a half apart."""
PALE, OUTSIDE = "#b9cfe9", "#d3d8de"
"""Waveforms inside and outside the moment."""
STILL = 0.15
"""Motion that fills the panel where the clip never moves more, of black to white per second: noise
should not look like action."""
CALM = 0.15
"""Likewise the range of loudness, 9 dB."""
MOST_BEATS, MOST_TRACK_BEATS, MOST_CUTS = 90, 300, 60
"""More beats in view get ticks and no lines; on the whole track none; more cuts get thin lines."""
NOTE_ROOM = 0.85
"""Inches beside a cut that a note on it needs."""
BEATS_FOOT, BEATS_HEAD = -1.3, -1.12
"""Where the beats' ticks stand below a waveform, which reaches from -1 to 1."""
STEPS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600)
"""Seconds between ticks that people like to read."""
MOST_TICKS = 13


def draw_film(axes: Axes, facts: Facts) -> None:
    """Pictures of the clip, each from the second on that it shows, its middle where room is short.

    They share the panel's time axis with the curves, as in an editor.
    """
    start, (low, high) = facts.found.start, axes.get_xlim()
    box = axes.get_window_extent()
    tall = (high - low) * box.height / box.width  # the panel's height in seconds across
    axes.set_ylim(0, tall)
    times = [frame.time for frame in facts.frames]
    for frame, end in zip(facts.frames, [*times[1:], facts.clip.duration], strict=True):
        height, width = frame.image.shape[:2]
        wide = min(end - frame.time, tall * width / height)
        kept = max(1, min(width, round(height * wide / tall)))
        left = (width - kept) // 2
        edges = (start + frame.time, start + frame.time + wide, 0.0, tall)
        image = frame.image[:, left : left + kept]
        axes.imshow(image, extent=edges, aspect="auto", interpolation="antialiased")
        axes.axvline(edges[1], color="white", linewidth=1.5)
    axes.set(xlim=(low, high), ylim=(0, tall))
    _clip_times(axes, facts)
    axes.spines[["bottom", "top"]].set_visible(False)


def draw_clip(axes: Axes, facts: Facts, *, top: bool) -> None:
    """Motion and light of the clip, and the music's loudness beside them; each on its own scale.

    top: whether the clip's times stand above.
    """
    start, clip = facts.found.start, facts.clip
    end = start + clip.duration
    times = np.minimum(start + (np.arange(len(clip.motion)) + 0.5) / CURVE_RATE, end)
    usual = float(np.quantile(clip.motion, 0.98))
    level = np.minimum(clip.motion / max(usual, STILL), 1.0).astype(np.float64)
    axes.set_ylim(0, 1.08)
    axes.fill_between(
        np.concatenate([[start], times, [end]]),
        np.concatenate([level[:1], level, level[-1:]]),
        color=ORANGE,
        alpha=0.55,
        linewidth=0,
        label="motion of the picture",
    )
    axes.plot(times, clip.light, color=GREY, linewidth=1.2, label="light")
    heard, loudness = facts.smooth_energy()
    if len(loudness):
        middle = (loudness.max() + loudness.min()) / 2
        shape = 0.5 + 0.8 * (loudness - middle) / max(np.ptp(loudness), CALM)
        axes.plot(heard, shape, color=BLUE, linewidth=2, label="loudness of the music")
    if usual < STILL / 5:
        axes.text(end, 0.04, "the picture hardly moves", color=SOFT, fontsize=9, ha="right")
    axes.spines["bottom"].set_visible(False)
    if top:
        _clip_times(axes, facts)
    else:
        axes.set_xticks([])


def draw_music(axes: Axes, facts: Facts) -> None:
    """The moment's waveform with some of the track around it, its beats and section borders."""
    found, (first, last) = facts.found, axes.get_xlim()
    _wave(axes, facts, first, last)
    beats = _within(facts.beats, first, last)
    bars = _within(facts.downbeats, first, last)
    lines = len(beats) <= MOST_BEATS
    axes.vlines(
        *(beats, BEATS_FOOT, 1.0 if lines else BEATS_HEAD),
        color=BLUE,
        linewidth=0.8,
        alpha=0.75,
        label="beat",
    )
    if len(bars):
        axes.vlines(bars, BEATS_FOOT, BEATS_HEAD, color=BLUE, linewidth=3.5, label="bar")
    borders = _within(facts.borders, first, last)
    axes.vlines(borders, BEATS_FOOT, 1.12, color=ORANGE, linewidth=2.5)
    _ticks_below(axes, max(0.0, first), min(last, facts.seconds))
    if facts.seconds < last:
        axes.axvline(facts.seconds, color=SOFT, linewidth=1)
        words = " end of the track" if found.start + facts.clip.duration > facts.seconds else ""
        axes.text(facts.seconds, 0.95, words, color=SOFT, fontsize=9, va="top", clip_on=True)


def draw_cuts(axes: Axes, facts: Facts, *, between: tuple[float, float]) -> None:
    """Lines over all of clip and music; y from 0 at the bottom to 1 at the top.

    between: y of the gap between music and clip, where dots and notes go.
    """
    axes.set_ylim(0, 1)
    axes.set_axis_off()
    axes.patch.set_visible(False)
    many, level = len(facts.cuts) > MOST_CUTS, sum(between) / 2
    for hit, style, fill in ((True, "-", INK), (False, (0, (4, 3)), "white")):
        cuts = facts.cuts[facts.on_beat == hit]
        if not len(cuts):
            continue
        thick = 0.7 if many else 1.4
        axes.vlines(cuts, between[1], 1, color="white", linewidth=2.5 * thick, alpha=0.8)
        axes.vlines(cuts, 0, 1, color=INK, linewidth=thick, linestyle=style)
        axes.plot(
            *(cuts, np.full(len(cuts), level)),
            marker="o",
            markersize=3.5 if many else 7,
            color=INK,
            markerfacecolor=fill,
            linestyle="none",
            label="cut on a beat" if hit else "cut beside a beat",
        )
    axes.vlines(facts.silent_cuts, between[0], 1, color=GREY, linewidth=1)
    (low, high), inches = axes.get_xlim(), axes.get_window_extent().width / axes.figure.dpi
    room = np.diff([*facts.cuts, high]) * inches / (high - low)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85}
    for cut, beside, space in zip(facts.cuts, facts.beside, room, strict=True):
        if ON_BEAT < abs(beside) < np.inf and space > NOTE_ROOM:
            right = cut + 0.1 * (high - low) / inches
            words = f"{abs(beside):.2f} s off"
            axes.text(right, level, words, fontsize=8.5, va="center", bbox=box)


def draw_track(axes: Axes, facts: Facts) -> None:
    """The waveform of the whole track, with the moment in it."""
    _wave(axes, facts, 0.0, facts.seconds)
    if len(facts.beats) <= MOST_TRACK_BEATS:  # else a bar, which says nothing
        axes.vlines(facts.beats, BEATS_FOOT, BEATS_HEAD, color=BLUE, linewidth=0.7)
    elif len(facts.downbeats) <= MOST_TRACK_BEATS:
        axes.vlines(facts.downbeats, BEATS_FOOT, BEATS_HEAD, color=BLUE, linewidth=0.7)
    if len(facts.borders):
        axes.vlines(
            facts.borders, BEATS_FOOT, 1.12, color=ORANGE, linewidth=1.5, label="new section"
        )
    _ticks_below(axes, 0.0, facts.seconds)


def _wave(axes: Axes, facts: Facts, first: float, last: float) -> None:
    """A mirrored waveform, the moment in blue."""
    start, end = facts.found.start, facts.found.end
    times, amplitude = facts.loudness(first, last, PLACES)
    amplitude = amplitude / max(float(amplitude.max(initial=0.0)), 1e-3)
    axes.set_ylim(BEATS_FOOT, 1.12)
    axes.axvspan(start, end, color=BLUE, alpha=0.08, linewidth=0)
    inside = (times >= start) & (times <= end)
    axes.fill_between(times, -amplitude, amplitude, color=OUTSIDE, linewidth=0)
    if inside.any():
        part = amplitude[inside]
        axes.fill_between(times[inside], -part, part, color=PALE, linewidth=0)


def _within(times: Array, first: float, last: float) -> Array:
    return times[(times >= first) & (times <= last)]


def _clip_times(axes: Axes, facts: Facts) -> None:
    steps = _ticks(0.0, facts.clip.duration, facts.clip.duration)
    axes.xaxis.tick_top()
    axes.set_xticks(facts.found.start + steps, [_time(t, steps) for t in steps])


def _ticks_below(axes: Axes, first: float, last: float) -> None:
    low, high = axes.get_xlim()
    steps = _ticks(first, last, high - low)
    axes.set_xticks(steps, [_time(t, steps) for t in steps])


def _ticks(first: float, last: float, span: float) -> Array:
    """Round times in [first, last], of a panel that shows `span` seconds."""
    span = max(span, 1e-3)
    step = next((s for s in STEPS if span / s <= MOST_TICKS), span / MOST_TICKS)
    return np.arange(np.ceil(first / step - 1e-6), np.floor(last / step + 1e-6) + 1) * step


def _time(seconds: float, among: Array) -> str:
    """`m:ss`, with as many places as the ticks need."""
    step = float(among[1] - among[0]) if len(among) > 1 else 1.0
    places = 0 if step > 0.95 else 1 if step > 0.095 else 2
    unit = 10**places
    minutes, rest = divmod(round(seconds * unit), 60 * unit)
    return f"{minutes}:{rest / unit:0{2 + places + (places > 0)}.{places}f}"
