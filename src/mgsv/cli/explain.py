"""`mgsv explain`: a picture of why a moment fits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from mgsv.cli import grounded, options, show
from mgsv.cli.grounded import How
from mgsv.errors import shown

if TYPE_CHECKING:
    from mgsv.drawing import Kind


@click.command()
@grounded.clip_and_music
@click.option("--top", default=1, show_default=True, help="How many moments to draw.")
@click.option(
    "--output",
    "-o",
    type=options.FILE,
    metavar="DIR|FILE",
    help="A folder, or a .png or .svg file.  [default: CLIP.explain.1.png ... beside the clip]",
)
@click.option(
    "--format",
    type=click.Choice(["png", "svg"]),
    help="Of pictures whose names are not given.  [default: png]",
)
@click.option("--overwrite", is_flag=True, help="Replace pictures of an earlier run.")
@options.as_json
@grounded.how_to_ground
def explain(
    video: Path,
    more: tuple[Path, ...],
    music: tuple[Path, ...],
    top: int,
    output: Path | None,
    format: Kind | None,
    overwrite: bool,
    as_json: bool,
    **how: Unpack[How],
) -> None:
    """Draw why the best moment of the music fits VIDEO: cuts, motion, beats, and words.

    VIDEO is grounded as by `mgsv ground`, with the same options and the same result.
    """
    grounded.prepare()
    from mgsv.explanation import explain as explaining

    places = grounded.checked(video, music, more)
    explaining.picture_paths(video, top, output, format=format, overwrite=overwrite)
    with grounded.grounded(video, places, top, how) as (found, session):
        pictures = explaining.explain(
            found, session.library, output, format=format, overwrite=overwrite
        )
    if as_json:
        show.document(explaining.as_dict(found, pictures))
    else:
        for picture in pictures:
            show.explained(picture)
    for line in found.notes:
        show.note(f"note: {line}")
    for picture in pictures:
        show.note(f"picture: {shown(picture.path)}")
