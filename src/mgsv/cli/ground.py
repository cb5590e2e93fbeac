"""`mgsv ground`: the main job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from mgsv.cli import batch, fields, fitting, grounded, options, show
from mgsv.cli.grounded import How
from mgsv.errors import ConfigError, shown

if TYPE_CHECKING:
    from mgsv.media.arrange import Ending
    from mgsv.media.colour import Alpha
    from mgsv.media.timeline.model import MarkerKind
    from mgsv.media.voices import Duck


@click.command(cls=grounded.ClipsCommand)
@click.argument("videos", type=options.FILE, nargs=-1, required=True, metavar="VIDEO...")
@grounded.music
@click.option("--top", default=5, show_default=True, help="How many moments to show.")
@click.option(
    "--output",
    "-o",
    type=options.FILE,
    metavar="FILE",
    help="The finished video: .mp4, .mov or .mkv; of several clips, the folder for them.  "
    "[default: CLIP.mgsv.mp4]",
)
@click.option("--overwrite", is_flag=True, help="Replace result files of an earlier run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, no table.")
@click.option("--accept", is_flag=True, help="Remember the best moment as used.")
@click.option(
    "--timeline",
    type=options.FILE,
    metavar="FILE",
    help="Also write an editor timeline: .otio, .edl, or .xml of Final Cut Pro 7.",
)
@click.option(
    "--credits",
    type=options.FILE,
    metavar="FILE",
    help="Also write whose music it is, and under which licence, as a text file: .txt.",
)
@click.option("--render/--no-render", default=True, help="Whether to write the finished video.")
@click.option(
    "--keep-audio/--replace-audio",
    default=False,
    help="Keep the clip's own sound on top of the music, or drop it (default).",
)
@click.option(
    "--alpha",
    type=click.Choice(["black", "white"]),
    default="black",
    show_default=True,
    help="What is seen through the clip's transparent pixels.",
)
@click.option(
    "--strip-metadata",
    is_flag=True,
    help="Leave out who took the clip, when, where and with what; chapters and subtitles too.",
)
@fitting.markers
@fitting.duck
@fitting.ending
@click.option("--repeat", is_flag=True, help="Let several clips have the same track.")
@click.option(
    "--report",
    type=options.FILE,
    metavar="FILE",
    help="Of several clips: also write what became of each, .csv or .json.",
)
@grounded.how_to_ground
def ground(
    videos: tuple[Path, ...],
    music: tuple[Path, ...],
    top: int,
    output: Path | None,
    overwrite: bool,
    as_json: bool,
    accept: bool,
    timeline: Path | None,
    credits: Path | None,
    render: bool,
    keep_audio: bool,
    alpha: Alpha,
    strip_metadata: bool,
    markers: tuple[MarkerKind, ...],
    duck: Duck | None,
    end: Ending,
    repeat: bool,
    report: Path | None,
    **how: Unpack[How],
) -> int:
    """Find the track and the moment of it that fit VIDEO, and write VIDEO with that music.

    The music is a folder, or one track whose best part is wanted. It is indexed once; later runs
    look only at files that changed. VIDEO may be several clips, or a folder of them: each gets its
    music, the music varies, and a bad clip does not stop the others.
    """
    clips, more = grounded.clips_and_more(videos)
    grounded.prepare()
    from mgsv.grounding.batch import BatchOptions

    if len(clips) > 1 or clips[0].is_dir():
        batch.refuse_for_several(timeline=timeline, accept=accept)
        what = BatchOptions(repeat, render, keep_audio, duck, end, alpha, strip_metadata, overwrite)
        return batch.ground_many(
            clips, [*music, *more], what, batch.BatchFiles(output, report, credits, as_json), how
        )
    if report or repeat:
        name = "report" if report else "repeat"
        raise ConfigError(f"`{name}` with one clip", "leave it out, or name several clips")
    (video,) = clips
    from mgsv import grounding
    from mgsv.files import check_output
    from mgsv.grounding.output import CREDITS_FORMATS
    from mgsv.media import timeline as timelines
    from mgsv.media.copying import CONTAINERS
    from mgsv.media.soundtrack import SoundOptions

    # What would stop the run is checked first, before any indexing.
    SoundOptions(keep_audio=keep_audio, duck=duck)
    places = grounded.checked(video, music, more)
    if render:
        output = output or grounding.default_output(video)
        check_output(output, CONTAINERS, overwrite=overwrite, inputs=[video, *places])
    if timeline:
        check_output(timeline, timelines.ENDINGS, overwrite=overwrite, inputs=[video, *places])
    if credits:
        check_output(credits, CREDITS_FORMATS, overwrite=overwrite, inputs=[video, *places])
    with grounded.grounded(video, places, top, how) as (result, session):
        accepted = session.accept(result) if accept else None
    best = result[0]
    arranging: tuple[str, ...] = ()
    if timeline or render or as_json:
        seconds = result.video.duration - result.music_at
        best = grounding.arrange(best, seconds, fit=how["fit"], end=end)
        arranging = best.arrangement.notes if best.arrangement else ()
    if as_json:
        show.document(replace(result, moments=(best, *result[1:])).as_dict())
    else:
        show.moments(result)
        show.line(f"credits: {shown(result[0].credits)}")
    for line in (*result.notes, *arranging):
        show.note(f"note: {fields.here(line)}")
    if accepted is not None:
        show.accepted(*accepted)
    if timeline:
        written = grounding.write_timeline(
            video,
            best,
            timeline,
            keep_audio=keep_audio,
            duck=duck,
            music_at=result.music_at,
            markers=markers,
            overwrite=overwrite,
            video_info=result.video,
        )
        for line in written.notes:
            show.note(f"note: {line}")
        show.note(f"timeline: {shown(written.path)}")
    if credits:
        grounding.write_credits([result[0].credits], credits, overwrite=overwrite)
        show.note(f"credits: {shown(credits)}")
    if render:
        made = grounding.render(
            video,
            best,
            output,
            keep_audio=keep_audio,
            duck=duck,
            music_at=result.music_at,
            alpha=alpha,
            strip_metadata=strip_metadata,
            overwrite=overwrite,
        )
        for line in made.notes:
            show.note(f"note: {fields.here(line)}")
        show.note(f"video: {shown(made.path)}")
    return 0
