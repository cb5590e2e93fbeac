"""`mgsv ground`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mgsv.cli import options, show
from mgsv.errors import ConfigError, shown

if TYPE_CHECKING:
    from mgsv.grounding import Grounding
    from mgsv.methods.base import Fit, Rerank, StartOn
    from mgsv.methods.remembering import MemoryUse


def _count_or_all(text: str | int) -> Rerank:
    return "all" if text == "all" else int(text)


@click.command()
@click.argument("video", type=options.FILE)
@click.argument("more", type=options.FILE, nargs=-1, metavar="")
@click.option(
    "--music",
    "-m",
    type=options.FILE,
    multiple=True,
    metavar="DIR|TRACK...",
    help="A music folder, or a track whose best part is wanted; several may follow.",
)
@click.option("--top", default=5, show_default=True, help="How many moments to show.")
@click.option(
    "--output",
    "-o",
    type=options.FILE,
    metavar="FILE",
    help="The finished video: .mp4, .mov or .mkv.  [default: CLIP.mgsv.mp4]",
)
@click.option("--overwrite", is_flag=True, help="Replace result files of an earlier run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, no table.")
@click.option(
    "--fit",
    type=click.Choice(["video", "free"]),
    default="video",
    show_default=True,
    help="A moment as long as the clip, or as long as the method likes.",
)
@click.option(
    "--start-on",
    type=click.Choice(["beat", "any"]),
    default="any",
    show_default=True,
    help="Where a moment may start.",
)
@click.option("--method", default="sync", show_default=True, help="How to ground.")
@click.option("--model", type=options.FILE, metavar="FILE", help="A learned method's checkpoint.")
@options.matcher
@options.detector
@options.first_stage
@click.option(
    "--rerank",
    type=_count_or_all,
    metavar="N|all",
    default=100,
    show_default=True,
    help="How many candidates a learned method scores with all it knows, or all.",
)
@click.option(
    "--memory",
    type=click.Choice(["on", "off", "only"]),
    default="on",
    show_default=True,
    help="Let past uses of a track help to place the moment, not at all, or alone.",
)
@click.option("--popularity", is_flag=True, help="Let often used tracks rank higher.")
@click.option(
    "--fusion",
    type=options.FILE,
    metavar="FILE",
    help="How far to trust the method beside past uses: what `mgsv evaluate --fusion` wrote.",
)
@click.option("--accept", is_flag=True, help="Remember the best moment as used.")
@click.option(
    "--timeline",
    type=options.FILE,
    metavar="FILE",
    help="Also write an editor timeline: .otio, or .edl and .xml with their plug-ins.",
)
@click.option("--render/--no-render", default=True, help="Whether to write the finished video.")
@click.option(
    "--keep-audio/--replace-audio",
    default=False,
    help="Keep the clip's own sound on top of the music, or drop it (default).",
)
@options.library
@options.encoders
@options.encoders_dir
@options.progress
def ground(
    video: Path,
    more: tuple[Path, ...],
    music: tuple[Path, ...],
    top: int,
    output: Path | None,
    overwrite: bool,
    as_json: bool,
    fit: Fit,
    start_on: StartOn,
    method: str,
    model: Path | None,
    matcher: Path | None,
    detector: Path | None,
    first_stage: Path | None,
    rerank: Rerank,
    memory: MemoryUse,
    popularity: bool,
    fusion: Path | None,
    accept: bool,
    timeline: Path | None,
    render: bool,
    keep_audio: bool,
    folder: Path | None,
    encoders: str,
    encoders_dir: Path | None,
    progress: str,
) -> None:
    """Find the track and the moment of it that fit VIDEO, and write VIDEO with that music.

    The music is a folder, or one track whose best part is wanted. It is indexed once; later runs
    look only at files that changed.
    """
    from mgsv import grounding
    from mgsv.encoders.registry import encoder_pair
    from mgsv.library import Library
    from mgsv.media import render as renderer
    from mgsv.media import timeline as timelines
    from mgsv.media.output import check_output
    from mgsv.media.video import probe_video
    from mgsv.methods.registry import method as method_named

    if not music:
        raise ConfigError("--music is missing", "name a music folder or a track")
    # What would stop the run is asked at its beginning, before any indexing.
    probe_video(video)
    places = [*music, *more]
    if render:
        output = output or grounding.default_output(video)
        check_output(output, renderer.CONTAINERS, overwrite=overwrite, inputs=[video, *places])
    if timeline:
        check_output(timeline, timelines.FORMATS, overwrite=overwrite, inputs=[video, *places])

    chosen = method_named(
        method,
        model=model,
        matcher=matcher,
        detector=detector,
        first_stage=first_stage,
        rerank=rerank,
    )
    pair = encoder_pair(encoders, folder=encoders_dir)
    chosen.require(pair.video, pair.music)
    with (
        show.progress(progress) as listen,
        Library.open(places, folder=folder, encoder=pair.music, progress=listen) as library,
    ):
        show.index_report(library.report)
        result = grounding.ground(
            video,
            library,
            method=chosen,
            encoders=pair,
            top=top,
            fit=fit,
            start_on=start_on,
            memory=memory,
            popularity=popularity,
            fusion=fusion,
        )
        accepted = grounding.accept(result, library) if accept else None
    if as_json:
        show.document(result.as_dict())
    else:
        _print_table(result)
    for line in result.notes:
        show.note(f"note: {line}")
    if accepted is not None:
        show.accepted(*accepted)
    if timeline:
        grounding.write_timeline(video, result[0], timeline, overwrite=overwrite)
        show.note(f"timeline: {shown(timeline)}")
    if render:
        report = grounding.render(
            video, result[0], output, keep_audio=keep_audio, overwrite=overwrite
        )
        for line in report.notes:
            show.note(f"note: {line}")
        show.note(f"video: {shown(report.path)}")


def _print_table(result: Grounding) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("rank", "track", "moment", "score", "music"):
        table.add_column(name, justify="right" if name in ("rank", "score") else "left")
    for found in result:
        tempo = [f"{found.track.tempo:.0f} bpm"] if found.track.tempo else []
        table.add_row(
            str(found.rank),
            Text(shown(found.track.path.name), overflow="fold"),
            str(found.moment),
            f"{found.score:.2f}",
            ", ".join([*found.track.tags[:2], *tempo]),
        )
    show.wide_console().print(table)
