"""How music is fitted to a clip, its length, its end and the room that it makes for the clip's own
sound: what `mgsv ground` and `mgsv render` share.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mgsv.cli import show
from mgsv.errors import ConfigError

if TYPE_CHECKING:
    from mgsv.media.arrange import Ending, Length
    from mgsv.media.pieces import Arrangement
    from mgsv.moment import Moment

ending = click.option(
    "--end",
    type=click.Choice(["fade", "natural"]),
    default="fade",
    show_default=True,
    help="Fade out with the clip, or end with a phrase or the track where one ends nearby.",
)
duck = click.option(
    "--duck",
    type=click.Choice(["sound", "clear", "light", "medium", "deep"]),
    help="With --keep-audio: step back for any sound of the clip, or for speech alone: until it is"
    " 12 dB above, or by 4, 8 or 14 dB.  [default: clear with mgsv[voices], else sound]",
)
fit = click.option(
    "--fit",
    type=click.Choice(["exact", "natural", "loop"]),
    default="exact",
    show_default=True,
    help="Cut the music with the clip, join it to end well there, or join it where it is short.",
)


def _kinds(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (one.strip() for one in text.split(","))))


markers = click.option(
    "--markers",
    type=_kinds,
    default="",
    metavar="cuts,bars,beats",
    help="What to mark in the timeline.",
)


def _seconds_or_natural(text: str) -> float | str:
    try:
        return text if text == "natural" else float(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither seconds nor natural") from None


end_or_natural = click.option(
    "--end",
    type=_seconds_or_natural,
    metavar="SECONDS|natural",
    help="On TRACK, or with a phrase or the track near VIDEO's end.  [default: with VIDEO]",
)


def arranged_track(
    track: Path, moment: Moment, seconds: float, *, fit: Length, end: float | str | None
) -> Arrangement | Moment:
    """The music of a moment that a person has chosen, as long as the clip where it should be."""
    from mgsv.media import isolated

    if isinstance(end, float) and fit != "exact":
        raise ConfigError(f"`end` {end:g} with `fit` {fit}", "leave one of them out")
    if seconds <= 0 or (fit == "exact" and end != "natural"):
        return moment
    ending: Ending = "natural" if end == "natural" else "fade"
    made = isolated.arrange(track, moment, seconds, fit=fit, end=ending)
    for line in made.notes:
        show.note(f"note: {line}")
    return made
