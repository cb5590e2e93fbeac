"""`mgsv ground` for many clips, and `mgsv watch` for those to come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from mgsv.cli import fields, fitting, grounded, options, show
from mgsv.cli.grounded import How
from mgsv.errors import ConfigError, shown

if TYPE_CHECKING:
    from mgsv.grounding.batch import BatchItem, BatchOptions
    from mgsv.media.arrange import Ending
    from mgsv.media.colour import Alpha
    from mgsv.media.voices import Duck

GO_ON = "what is done stays; run the same command again to go on"


@dataclass(frozen=True)
class BatchFiles:
    """Where a batch's results go, as the command line has it."""

    output: Path | None
    report: Path | None
    credits: Path | None
    as_json: bool


def refuse_for_several(*, timeline: Path | None, accept: bool) -> None:
    """ConfigError for what is done with one clip alone."""
    if timeline is not None:
        raise ConfigError("`timeline` with several clips", "write one clip's at a time")
    if accept:
        raise ConfigError("`accept` with several clips", "accept one clip's at a time")


def ground_many(
    clips: Sequence[Path],
    places: Sequence[Path],
    what: BatchOptions,
    written: BatchFiles,
    how: How,
) -> int:
    """Ground `clips`, files and folders, and show what became of each; 1 where any failed."""
    from mgsv.files import check_output
    from mgsv.grounding.batch import find_clips, ground_clips, lists
    from mgsv.grounding.batch.report import check_report
    from mgsv.grounding.output import CREDITS_FORMATS

    grounded.require_music(places)
    if written.output is not None and written.output.suffix and not written.output.is_dir():
        raise ConfigError(
            f"`output` {shown(written.output)}: one file for several clips", "name a folder"
        )
    found = find_clips(clips, written.output)
    homes = {clip.home for clip in found} if what.render else set()
    anew = {
        path: what.overwrite or lists.wrote_list(path, homes)
        for path in (written.report, written.credits)
        if path
    }
    if written.report:
        check_report(written.report, overwrite=anew[written.report])
    if written.credits:
        check_output(written.credits, CREDITS_FORMATS, overwrite=anew[written.credits], inputs=())
    with (
        show.resumable(GO_ON),
        grounded.open_session(places, 1, how) as (session, options, listen),
    ):
        report = ground_clips(session, found, options, what, progress=listen)
    if written.as_json:
        show.document(report.as_dict())
    else:
        _table(report.items)
    for note in report.notes:
        show.note(f"note: {note}")
    for item in report.items:
        _notes(item)
    if written.report:
        report.write(written.report, overwrite=anew[written.report])
        show.note(f"report: {shown(written.report)}")
    if written.credits:
        report.write_credits(written.credits, overwrite=anew[written.credits])
        show.note(f"credits: {shown(written.credits)}")
    for path in anew:
        lists.note_list(path, homes)
    show.note(fields.here(report.summary))
    return 1 if report.failed else 0


def _table(items: Sequence[BatchItem]) -> None:
    rows = [
        [item.clip.name, item.state, *_choice(item), fields.here(item.problem)] for item in items
    ]
    head = ["clip", "", "track", "from", "score", "confidence", "problem"]
    if not any(row[-1] for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    show.table(head, rows, ("", "track", "confidence", "problem"))


def _notes(item: BatchItem) -> None:
    for note in item.notes:
        show.note(f"note: {shown(item.clip.name)}: {fields.here(note)}")


def _choice(item: BatchItem) -> list[str]:
    if (choice := item.choice) is None:
        return ["", "", "", ""]
    from mgsv.clock import clock

    name = Path(choice["track"]).name
    return [name, clock(choice["start"]), f"{choice['score']:.2f}", item.confidence]


@click.command()
@click.argument("watched", type=options.FILE, metavar="DIR")
@grounded.music
@click.option(
    "--output",
    "-o",
    type=options.FILE,
    metavar="DIR",
    help="The folder for the finished videos.  [default: beside the clips]",
)
@click.option(
    "--interval",
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How often to look for new clips.",
)
@click.option(
    "--settle",
    default=3.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a file must stay as it is before it is taken for whole.",
)
@click.option("--once", is_flag=True, help="End when nothing is left to do.")
@click.option("--repeat", is_flag=True, help="Let several clips have the same track.")
@click.option("--keep-audio/--replace-audio", default=False, help="Keep the clips' own sound.")
@fitting.duck
@fitting.ending
@click.option("--alpha", type=click.Choice(["black", "white"]), default="black", show_default=True)
@click.option("--strip-metadata", is_flag=True, help="Leave out who took a clip, when and where.")
@grounded.how_to_ground
def watch(
    watched: Path,
    music: tuple[Path, ...],
    output: Path | None,
    interval: float,
    settle: float,
    once: bool,
    repeat: bool,
    keep_audio: bool,
    duck: Duck | None,
    end: Ending,
    alpha: Alpha,
    strip_metadata: bool,
    **how: Unpack[How],
) -> int:
    """Give each clip that comes into DIR its music, as `mgsv ground` does for a folder.

    A clip is taken when it is whole. What is done stays done over restarts; one process may watch a
    folder. Ctrl-C ends it.
    """
    grounded.require_music(music)
    from mgsv.grounding.batch import BatchOptions, watch_folder
    from mgsv.grounding.batch.watch import WatchOptions

    waiting = WatchOptions(interval, settle, once)
    what = BatchOptions(repeat, True, keep_audio, duck, end, alpha, strip_metadata)
    done = failed = before = 0
    with show.resumable(GO_ON), grounded.open_session(music, 1, how) as (session, options, _):
        items = watch_folder(session, watched, options, what, output=output, watch=waiting)
        if not once:
            show.note(f"watching {shown(watched)}: Ctrl-C ends it")
        for item in items:
            done += 1
            failed += item.state == "failed"
            before += item.state == "failed before"
            _say(item)
    if not done:
        show.note(f"{shown(watched)}: no clip is left to do")
    if before:
        which = "1 clip" if before == 1 else f"{before} clips"
        until = "it changes" if before == 1 else "they change"
        show.note(f"{shown(watched)}: {which} failed before, left out until {until}")
    return 1 if failed or before else 0


def _say(item: BatchItem) -> None:
    name = shown(item.clip.name)
    if item.choice is None or item.state == "failed":
        when = "it failed before: " if item.state == "failed before" else ""
        show.note(f"left out: {name}: {when}{fields.here(item.problem)}")
        return
    track, start, score, confidence = _choice(item)
    show.line(f"{name}: {shown(track)} from {start}, {score}, {confidence}")
    _notes(item)
