"""The picture of a moment: the clip above, its music below on the same seconds, then the track.

All panels are placed in inches, so that many words make the picture higher and never run into
anything.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

from mgsv.clock import clock
from mgsv.drawing import BLUE, GREY, INK, SOFT, Kind, encoded, styled
from mgsv.errors import shown
from mgsv.explanation import panels
from mgsv.explanation.facts import Facts
from mgsv.explanation.looks import draw_looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 100
WIDTH, LEFT, RIGHT = 12.0, 0.75, 11.6
"""Inches: 1,200 pixels, and the edges of all panels."""
HEAD, FILM, GAP, CLIP, BETWEEN, MUSIC, ZOOM, TRACK, FOOT, LOOKS = (
    *(1.5, 0.6, 0.06, 1.3, 0.28, 1.7, 0.7, 0.75, 0.58, 0.9),
)
"""Heights in inches from the top to the words, panels and what lies between them."""
LINE = 0.25
"""Height of a line of words."""
AROUND, AROUND_SECONDS = 0.06, 0.3
"""Of the track so much of the clip's length is shown on either side of the moment, but at least so
many seconds."""
NAME_LENGTHS = (46, 40, 34, 28, 22)
"""Columns for each file name in the title: the first that fits."""
WORDS_LENGTH = 132
FONTS = ("DejaVu Sans", "Noto Sans CJK JP", "WenQuanYi Micro Hei", "Noto Sans Symbols2", "Symbola")
"""For each character the first of them that is installed and has it is used."""


def picture(facts: Facts, kind: Kind) -> bytes:
    """The file: 1,200 pixels wide, as high as its words need. An SVG keeps words as text."""
    with styled(_settings()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # drawn as a box
        return encoded(draw(facts), kind, dpi=DPI)


def draw(facts: Facts) -> Figure:
    """The figure, with axes labelled "film" (where there are frames), "clip", "music", "cuts" (over
    those three), "track" and "looks" (where there are frames). Across are the track's seconds, in
    the last inches.
    """
    from matplotlib.figure import Figure

    lines = [line for reason in facts.reasons for line in _wrapped(reason)]
    film = FILM + GAP if facts.frames else 0.0
    clip = HEAD + film
    music = clip + CLIP + BETWEEN
    track = music + MUSIC + ZOOM
    looks = track + TRACK + FOOT
    words = looks + (LOOKS + FOOT if facts.frames else 0.0)
    height = words + LINE * (len(lines) + 1)
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    view, whole = _view(facts), (0.0, max(facts.seconds, 0.1))

    if film:
        panels.draw_film(_panel(figure, "film", HEAD, FILM, view), facts)
    panels.draw_clip(_panel(figure, "clip", clip, CLIP, view, "the clip"), facts, top=not film)
    panels.draw_music(_panel(figure, "music", music, MUSIC, view, "its music"), facts)
    tall = music + MUSIC - HEAD
    panels.draw_cuts(
        _panel(figure, "cuts", HEAD, tall, view),
        facts,
        between=(MUSIC / tall, (MUSIC + BETWEEN) / tall),
    )
    panels.draw_track(_panel(figure, "track", track, TRACK, whole, "whole track"), facts)

    if facts.frames:
        across = (0.0, RIGHT - LEFT)
        draw_looks(_panel(figure, "looks", looks, LOOKS, across), facts, RIGHT - LEFT, LOOKS)

    _draw_zoom(figure, facts, view, height - music - MUSIC, height - track)
    _draw_legend(figure, height - HEAD + 0.38)
    _write_head(figure, facts, height)
    for up, line in enumerate(reversed(["Why this moment", *lines])):
        weight = "bold" if up == len(lines) else "normal"
        _write(figure, LINE * up + 0.14, line, size=10.5, weight=weight)
    return figure


def _settings() -> Mapping[str, Any]:
    from matplotlib import font_manager

    installed = set(font_manager.fontManager.get_font_names())
    fonts = [name for name in FONTS if name in installed]
    return {"font.family": [*fonts, "sans-serif"], "svg.fonttype": "none", "text.color": INK}


def _view(facts: Facts) -> tuple[float, float]:
    """Seconds of the track in view: the clip, and a little around it."""
    around = max(AROUND_SECONDS, AROUND * facts.clip.duration)
    return facts.found.start - around, facts.found.start + facts.clip.duration + around


def _panel(
    figure: Figure,
    label: str,
    top: float,
    tall: float,
    across: tuple[float, float],
    name: str = "",
) -> Axes:
    """Axes from `top` inches below the picture's top, `name` written beside them."""
    height = float(figure.get_size_inches()[1])
    where = (LEFT / WIDTH, 1 - (top + tall) / height, (RIGHT - LEFT) / WIDTH, tall / height)
    axes = figure.add_axes(where, label=label)
    axes.set(xlim=across, yticks=[])
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.spines[["bottom", "top"]].set_color(GREY)
    axes.tick_params(length=3, color=GREY, labelcolor=SOFT, labelsize=9)
    place = (0.4 / WIDTH, where[1] + where[3] / 2)
    figure.text(*place, name, rotation=90, ha="center", va="center", size=10, color=SOFT)
    return axes


def _draw_zoom(
    figure: Figure, facts: Facts, view: tuple[float, float], above: float, below: float
) -> None:
    """From the moment in the music's panel, whose foot is `above` inches up, to the whole track."""
    from matplotlib.patches import Polygon

    tall, found = float(figure.get_size_inches()[1]), facts.found
    whole = (0.0, max(facts.seconds, 0.1))

    def corner(seconds: float, across: tuple[float, float], up: float) -> tuple[float, float]:
        share = (seconds - across[0]) / (across[1] - across[0])
        return (LEFT + (RIGHT - LEFT) * share) / WIDTH, up / tall

    corners = [
        *(corner(found.start, view, above), corner(found.end, view, above)),
        *(corner(found.end, whole, below), corner(found.start, whole, below)),
    ]
    figure.add_artist(
        Polygon(corners, transform=figure.transFigure, color=BLUE, alpha=0.09, linewidth=0)
    )


def _draw_legend(figure: Figure, up: float) -> None:
    """One line for all panels, its foot `up` inches from the bottom; only of what was drawn."""
    drawn = [axes.get_legend_handles_labels() for axes in figure.axes]
    handles = [handle for pair in drawn for handle in pair[0]]
    labels = [label for pair in drawn for label in pair[1]]
    figure.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(LEFT / WIDTH, up / float(figure.get_size_inches()[1])),
        ncols=max(1, len(labels)),
        fontsize=9.5,
        borderaxespad=0,
        borderpad=0,
        handlelength=1.5,
        columnspacing=1.5,
    )


def _write_head(figure: Figure, facts: Facts, height: float) -> None:
    found, track = facts.found, facts.track.track
    for length in NAME_LENGTHS:
        words = f"{_short(facts.clip_name, length)}  +  {_short(track.path.name, length)}"
        title = _write(figure, height - 0.42, words, size=15, weight="bold")
        if title.get_window_extent().x1 <= RIGHT * figure.dpi:
            break
        if length != NAME_LENGTHS[-1]:
            title.remove()
    about = [f"{found.moment} of {clock(track.duration)}", *track.tags[:3], f"rank {found.rank}"]
    if track.tempo:
        about.insert(1, f"{track.tempo:.0f} bpm")
    _write(figure, height - 0.72, "  ·  ".join(about), size=10.5, color=SOFT)


def _write(figure: Figure, up: float, words: str, **style: Any) -> Any:
    """`words` from the panels' left edge on, their baseline `up` inches from the bottom."""
    height = float(figure.get_size_inches()[1])
    return figure.text(LEFT / WIDTH, up / height, words, va="baseline", **style)


def _short(name: str, length: int) -> str:
    """`name` on one line, its middle left out where it is long: the ending tells most."""
    name = shown(name)
    if sum(map(_columns, name)) <= length:
        return name
    return f"{_fitting(name, length // 2)}…{_fitting(name[::-1], length // 2 - 1)[::-1]}"


def _fitting(name: str, length: int) -> str:
    kept = ""
    for character in name:
        length -= _columns(character)
        if length < 0:
            break
        kept += character
    return kept


def _columns(character: str) -> int:
    return 2 if east_asian_width(character) in "WF" else 1


def _wrapped(sentence: str) -> list[str]:
    return textwrap.wrap(sentence, WORDS_LENGTH, initial_indent="•  ", subsequent_indent="    ")
