"""`mgsv library learn`, `mgsv library uses` and `mgsv accept`: what earlier videos used."""

from __future__ import annotations

from pathlib import Path

import click

from mgsv.cli import options, show
from mgsv.clock import clock
from mgsv.errors import ConfigError, shown


@click.command()
@click.argument("uses", type=options.FILE, metavar="USES.CSV")
@options.library
@click.option(
    "--rejects", type=options.FILE, metavar="CSV", help="List every line left out in a new file."
)
@options.as_json
@options.progress
def learn(
    uses: Path, folder: Path | None, rejects: Path | None, as_json: bool, progress: str
) -> None:
    """Remember past uses of the library's tracks, from a CSV in MGSV-EC's columns.

    Tracks are recognised by id, path or file name. Each line that is left out is counted with its
    reason, and the first are shown.
    """
    from mgsv.library import Library
    from mgsv.library.uses import REASONS

    with (
        Library.open(folder=folder, encoder=None) as opened,
        show.progress(progress, "learn") as listen,
    ):
        report = opened.uses.learn(uses, rejects=rejects, progress=listen)
    if as_json:
        show.document(
            {
                "schema": "mgsv.learn/1",
                "rows": report.rows,
                "learned": report.learned,
                "left_out": dict(report.left_out),
                "first": [
                    {"line": out.line, "reason": out.reason, "text": out.text}
                    for out in report.shown
                ],
            }
        )
        return
    for out in report.shown:
        show.note(f"left out: line {out.line}: {out.reason}: {out.text}")
    if (more := sum(report.left_out.values()) - len(report.shown)) > 0:
        show.note(f"… and {more} more" + ("" if rejects else " (--rejects FILE lists them all)"))
    show.line(f"{report.learned} of {report.rows} uses learned")
    for reason, count in report.left_out.items():
        show.line(f"{count} left out, {reason}: {REASONS[reason]}")


@click.group()
def uses() -> None:
    """See, change, export and forget what is remembered of past uses."""


@uses.command(name="list")
@options.library
@options.as_json
def list_uses(folder: Path | None, as_json: bool) -> None:
    """List all uses by their numbers, track by track."""
    from mgsv.library import Library

    with Library.open(folder=folder, encoder=None) as opened:
        found = [(id, use, opened.uses.path(use.track)) for id, use in opened.uses.all()]
    if as_json:
        document = [
            {
                "use": id,
                "track": use.track,
                "path": None if path is None else str(path),
                "start": use.start,
                "end": use.end,
                "video": use.video,
                "video_start": use.video_start,
                "video_end": use.video_end,
                "category": use.category,
                "confidence": use.confidence,
                "features": bool(use.feats),
            }
            for id, use, path in found
        ]
        show.document({"schema": "mgsv.uses/1", "uses": document})
        return
    for id, use, path in found:
        name = use.track if path is None else shown(path)
        what = ", ".join(filter(None, [shown(use.video), shown(use.category)]))
        show.line(f"{id:6}  {clock(use.start)}–{clock(use.end)}  {name}  {what}")
    show.note(f"{len(found)} uses")


@uses.command()
@click.argument("number", type=int)
@click.option("--start", type=float, metavar="SECONDS", help="Where the moment starts.")
@click.option("--end", type=float, metavar="SECONDS", help="Where it ends.")
@click.option("--category", metavar="TEXT", help="What kind of video it was.")
@options.library
def edit(
    number: int,
    start: float | None,
    end: float | None,
    category: str | None,
    folder: Path | None,
) -> None:
    """Change the use NUMBER."""
    from mgsv.library import Library

    if start is None and end is None and category is None:
        raise ConfigError("nothing to change", "give --start, --end or --category")
    with Library.open(folder=folder, encoder=None) as opened:
        use = opened.uses.edit(number, start=start, end=end, category=category)
    show.line(f"use {number}: {clock(use.start)}–{clock(use.end)}  {shown(use.category)}".rstrip())


@uses.command()
@click.argument("output", type=options.FILE, metavar="USES.CSV")
@options.library
def export(output: Path, folder: Path | None) -> None:
    """Write all uses to a new CSV, which `mgsv library learn` reads."""
    from mgsv.library import Library

    with Library.open(folder=folder, encoder=None) as opened:
        count = opened.uses.export(output)
    show.line(f"{count} uses written to {shown(output)}")


@uses.command()
@click.argument("numbers", type=int, nargs=-1)
@click.option("--track", type=options.FILE, help="All uses of this track: its path or id.")
@click.option("--all", "everything", is_flag=True, help="All uses.")
@click.option("--compact", is_flag=True, help="Only clean the files again.")
@options.library
def forget(
    numbers: tuple[int, ...],
    track: Path | None,
    everything: bool,
    compact: bool,
    folder: Path | None,
) -> None:
    """Delete uses for good: by NUMBERS, by track, or all. The files are cleaned of them too."""
    from mgsv.library import Library

    if sum([bool(numbers), track is not None, everything, compact]) != 1:
        raise ConfigError(
            "say what to forget in one way", "give numbers, --track, --all or --compact"
        )
    with Library.open(folder=folder, encoder=None) as opened:
        if compact:
            opened.uses.compact()
            show.line("the library's files are clean")
            return
        ids = numbers if numbers else None
        count = opened.uses.forget(ids, track=track)
    show.line(f"{count} uses forgotten")


@click.command()
@click.argument("result", type=options.FILE, metavar="RESULT.JSON")
@click.option("--rank", default=1, show_default=True, help="Which of its moments was chosen.")
@click.option("--category", default="", metavar="TEXT", help="What kind of video it is.")
@options.library
def accept(result: Path, rank: int, category: str, folder: Path | None) -> None:
    """Remember that the moment of a `mgsv ground --json` result was used.

    Later runs of `mgsv ground` take it into account. A choice made earlier for the same video is
    replaced.
    """
    from mgsv.grounding.acceptance import accept_result
    from mgsv.library import Library

    with Library.open(folder=folder, encoder=None) as opened:
        use, is_new = accept_result(opened, result, rank=rank, category=category)
    show.accepted(use, is_new)
