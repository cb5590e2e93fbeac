"""`mgsv ground`: the main job."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mgsv.cli import show
from mgsv.errors import ConfigError, shown

if TYPE_CHECKING:
    from mgsv.grounding import Grounding


class Fit(StrEnum):
    video = "video"
    free = "free"


class StartOn(StrEnum):
    beat = "beat"
    any = "any"


def command(
    video: Annotated[Path, typer.Argument(help="The clip.", metavar="VIDEO")],
    more: Annotated[list[Path] | None, typer.Argument(metavar="[MORE MUSIC]", hidden=True)] = None,
    music: Annotated[
        list[Path] | None,
        typer.Option("--music", "-m", help="A music folder or a track; several may follow."),
    ] = None,
    top: Annotated[int, typer.Option(help="How many moments to show.")] = 5,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The finished video [default: CLIP.mgsv.mp4]."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace result files.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document and nothing else on stdout.")
    ] = False,
    fit: Annotated[
        Fit, typer.Option(help="Moment as long as the clip, or as the method likes.")
    ] = Fit.video,
    start_on: Annotated[StartOn, typer.Option(help="Where a moment may start.")] = StartOn.any,
    method: Annotated[str, typer.Option(help="How to ground: sync.")] = "sync",
    timeline: Annotated[
        Path | None,
        typer.Option(help="Also write an editor timeline: .otio (.edl, .xml with plug-ins)."),
    ] = None,
    render: Annotated[
        bool, typer.Option("--render/--no-render", help="Write the finished video.")
    ] = True,
    keep_audio: Annotated[
        bool,
        typer.Option(
            "--keep-audio/--replace-audio",
            help="Keep the clip's own sound on top of the music, or drop it.",
        ),
    ] = False,
    library: Annotated[
        Path | None,
        typer.Option(help="Where features are kept [default: the user's data folder]."),
    ] = None,
    progress: Annotated[
        show.ProgressStyle, typer.Option(help="How indexing reports on stderr.")
    ] = show.ProgressStyle.auto,
) -> int:
    """Find the track and the moment of it that fit VIDEO, and write VIDEO with that music.

    Give the music as a folder, or as one track whose best part is wanted. The folder is indexed
    once; later runs look only at files that changed.
    """
    from mgsv import grounding
    from mgsv.library import Library
    from mgsv.media import render as renderer
    from mgsv.media import timeline as timelines
    from mgsv.media.output import check_output

    places = [*(music or []), *(more or [])]
    if not music:
        raise ConfigError("--music is missing", "name a music folder or a track")
    # What would stop the run at its end is asked at its beginning, before any indexing.
    inputs = [video, *places]
    if render:
        output = output or grounding.default_output(video)
        check_output(output, renderer.CONTAINERS, overwrite=overwrite, inputs=inputs)
    if timeline:
        check_output(timeline, timelines.FORMATS, overwrite=overwrite, inputs=inputs)

    with (
        show.progress(progress) as listen,
        Library.open(places, folder=library, progress=listen) as opened,
    ):
        show.index_report(opened.report)
        result = grounding.ground(
            video, opened, method=method, top=top, fit=fit.value, start_on=start_on.value
        )
    if as_json:
        show.document(result.as_dict())
    else:
        _print_table(result)
    for line in result.notes:
        show.note(f"note: {line}")
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
    return 0


def _print_table(result: Grounding) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("rank", "track", "moment", "score", "music"):
        table.add_column(name, justify="right" if name in ("rank", "score") else "left")
    for found in result:
        words = [
            *found.track.tags,
            *([f"{found.track.tempo:.0f} bpm"] if found.track.tempo else []),
        ]
        table.add_row(
            str(found.rank),
            Text(shown(found.track.path.name), overflow="fold"),
            str(found.moment),
            f"{found.score:.2f}",
            ", ".join(words),
        )
    Console(soft_wrap=False).print(table)
