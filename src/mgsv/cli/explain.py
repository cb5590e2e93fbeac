"""`mgsv explain`: a picture of why a moment fits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from mgsv.cli import fields, grounded, options, show
from mgsv.cli.grounded import How
from mgsv.errors import ConfigError, shown

if TYPE_CHECKING:
    from mgsv.drawing import Kind


@click.command(cls=grounded.ClipsCommand)
@grounded.clips_and_music
@click.option("--top", default=1, show_default=True, help="How many moments to draw.")
@click.option(
    "--output",
    "-o",
    type=options.FILE,
    metavar="DIR|FILE",
    help="A folder, or a .png or .svg file; of several clips an .html page.  [default:"
    " CLIP.explain.1.png ... beside the clip]",
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
    videos: tuple[Path, ...],
    music: tuple[Path, ...],
    top: int,
    output: Path | None,
    format: Kind | None,
    overwrite: bool,
    as_json: bool,
    **how: Unpack[How],
) -> int:
    """Draw why the best moment of the music fits VIDEO: cuts, motion, beats, and words.

    VIDEO is grounded as by `mgsv ground`, with the same options and the same result. Of several
    clips, or a folder of them, each with its best moment goes on one page.
    """
    clips, more = grounded.clips_and_more(videos)
    grounded.prepare()
    video = clips[0]
    if len(clips) > 1 or video.is_dir():
        folder = video if video.is_dir() else video.parent
        for flag, given in (("--json", as_json), ("--top", top != 1), ("--format", format)):
            if given:
                raise ConfigError(
                    f"{flag}: several clips make one page, each with its best moment",
                    f"leave {flag} out, or give one clip",
                )
        return _page(clips, [*music, *more], output or folder / "explain.html", overwrite, how)
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
        show.note(f"note: {fields.here(line)}")
    for picture in pictures:
        show.note(f"picture: {shown(picture.path)}")
    return 0


def _page(places: list[Path], music: list[Path], output: Path, overwrite: bool, how: How) -> int:
    """A page of all clips at `places`; exit status 1 where one of them cannot be used."""
    from mgsv.explanation import page
    from mgsv.files import check_output
    from mgsv.grounding.batch import find_clips

    check_output(output, page.ENDINGS, overwrite=overwrite, inputs=[])
    videos = [clip.path for clip in find_clips(places)]
    grounded.require_music(music)
    with grounded.open_session(music, 1, how) as (session, options, _):
        clips = []
        for clip in page.explain_clips(videos, session, options):
            clips.append(clip)
            if clip.problem:
                show.note(f"left out: {shown(clip.video)}: {clip.problem}")
    page.write_clips_page(clips, output, overwrite=overwrite)
    show.note(f"page: {shown(output)}")
    return 1 if any(clip.problem for clip in clips) else 0
