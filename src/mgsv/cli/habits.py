"""`mgsv library habits`: what the remembered uses say of the person who made them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mgsv.cli import options, show

if TYPE_CHECKING:
    from mgsv.memory.habits import Habits

SHOWN_TAGS = 5

STARTS = {
    "start": "starts with the music's own start",
    "intro": "starts where the intro is over",
    "chorus": "starts with what sounds like the chorus",
    "elsewhere": "starts elsewhere",
}


@click.command()
@options.library
@click.option(
    "--reset",
    is_flag=True,
    help="Go back to the shipped values until new uses come. The uses themselves stay, and still "
    "say where on their own tracks moments start; they teach no habit any more, and this "
    "cannot be undone.",
)
@options.as_json
def habits(folder: Path | None, reset: bool, as_json: bool) -> None:
    """Show what your past uses say of your habits, and the values that follow.

    They are counted from what `learn`, `accept` and `ground --accept` remembered, and `ground` goes
    by them at once: the more uses there are, the less the shipped values count.
    """
    from mgsv.grounding.habits import learned_habits
    from mgsv.library import Library

    with Library.open(folder=folder, encoder=None) as opened:
        if reset:
            count = opened.uses.reset_habits()
            if as_json:
                show.document({"schema": "mgsv.habits-reset/1", "uses_left_out": count})
            else:
                show.line(f"habits reset: {count} uses stay, but teach no habit any more")
            return
        known = learned_habits(opened)
    if as_json:
        show.document(_document(known))
        return
    if not known:
        show.line("no habits are known: mgsv goes by its own values")
        show.note("bring uses with `mgsv library learn` or `mgsv accept`")
        return
    show.line(
        f"{'from ' + _count(known.uses) + ' uses':44} {'counted':>12} {'taken as':>9} {'usual':>7}"
    )
    for habit in _rows(known):
        counted = f"{_count(habit['counted'])} of {_count(habit['uses'])}"
        usual = "" if habit["usual"] is None else f"{habit['usual']:.0%}"
        row = f"{habit['habit']:44} {counted:>12} {habit['taken_as']:>9.0%} {usual:>7}"
        show.line(row.rstrip())
    if place := _usual_place(known):
        show.line(f"elsewhere is mostly at {place[0]:.0%} to {place[1]:.0%} of the track")
    for tag in _tags(known)[:SHOWN_TAGS]:
        show.line(
            f"{'music: ' + tag['tag']:44} "
            f"{_count(tag['counted']) + ' of ' + _count(known.tagged):>12} "
            f"{tag['taken_as']:>9.0%} {tag['usual']:>7.0%}"
        )


def _rows(known: Habits) -> list[dict[str, Any]]:
    """Of each habit that is a share: how many uses show it, and what mgsv goes by."""
    from mgsv.memory.habits import START_KINDS
    from mgsv.methods.habits import USUAL, USUAL_BEATS

    rows = []
    for kind in START_KINDS:
        rows.append(
            {
                "habit": STARTS[kind],
                "counted": known.starts.get(kind, 0.0),
                "uses": known.uses,
                "taken_as": known.start_share(kind, USUAL[kind]),
                "usual": USUAL[kind],
            }
        )
    rows.append(
        {
            "habit": "cuts keep to the beat",
            "counted": known.cut_to_beats,
            "uses": known.cut_uses,
            "taken_as": known.beat_share(USUAL_BEATS),
            "usual": USUAL_BEATS,
        }
    )
    rows.append(
        {
            "habit": "takes a track again",
            "counted": known.again,
            "uses": known.uses,
            "taken_as": known.again_share(),
            "usual": None,
        }
    )
    return rows


def _tags(known: Habits) -> list[dict[str, Any]]:
    """The tags of used tracks, those that most set them apart first."""
    from math import exp

    found = [
        {
            "tag": tag,
            "counted": counted,
            "taken_as": exp(known.tag_log_odds(tag)) * known.library_tags[tag],
            "usual": known.library_tags[tag],
            "log_odds": known.tag_log_odds(tag),
        }
        for tag, counted in known.tags.items()
        if tag in known.library_tags
    ]
    return sorted(found, key=lambda tag: -float(tag["log_odds"]))


def _usual_place(known: Habits) -> tuple[float, float] | None:
    """The tenth of the track that has most of the other starts: its bounds as shares, None where it
    has less than half of them."""
    import numpy as np

    counts = np.array(known.places)
    width = len(counts) // 10
    sums = np.convolve(counts, np.ones(width), "valid")
    best = int(np.flatnonzero(sums == sums.max()).mean())
    if sums[best] < max(2.0, 0.5 * counts.sum()):
        return None
    return best / len(counts), (best + width) / len(counts)


def _count(uses: float) -> str:
    """Uses, which are whole where all are sure."""
    return f"{uses:.1f}".removesuffix(".0")


def _document(known: Habits) -> dict[str, Any]:
    place = _usual_place(known)
    return {
        "schema": "mgsv.habits/1",
        "uses": known.uses,
        "habits": _rows(known),
        "places": list(known.places),
        "usual_place": None if place is None else list(place),
        "tags": _tags(known),
        "tracks": dict(known.tracks),
    }
