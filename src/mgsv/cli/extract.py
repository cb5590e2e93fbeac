"""`mgsv extract`: features of one's own videos and tracks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from mgsv.cli import options, show


@click.command()
@click.argument("paths", type=options.FILE, nargs=-1, required=True, metavar="VIDEOS|MUSIC...")
@options.output_folder("The data folder the features go to, in the published layout.")
@click.option("--encoders", default="paper", show_default=True, help="The pair of encoders.")
@click.option(
    "--encoders-dir",
    type=options.FILE,
    metavar="DIR",
    help="Where their weights lie.  [default: the hub's cache, filled over the network]",
)
@click.option(
    "--kind",
    type=click.Choice(["auto", "video", "music"]),
    default="auto",
    show_default=True,
    help="What the files are; auto takes what has a moving picture for a video.",
)
@options.stride
@click.option("--overwrite", is_flag=True, help="Make features anew that are there already.")
@options.on
@options.as_json
@options.progress
def extract(
    paths: tuple[Path, ...],
    output: Path,
    encoders: str,
    encoders_dir: Path | None,
    kind: Literal["auto", "video", "music"],
    stride: float,
    overwrite: bool,
    on: str | None,
    as_json: bool,
    progress: str,
) -> int:
    """Write the features of videos and tracks.

    They go below --output in the layout of MGSV-EC; folders are searched. A file's name without its
    ending is its id. Files that cannot be used are listed with the reason and left out; the exit
    status is then 1.
    """
    from mgsv.extract import ExtractOptions, extract

    with (
        options.workers(on) as executor,
        show.resumable("run the same command again to go on"),
        show.progress(progress, "extract") as listen,
    ):
        report = extract(
            paths,
            output,
            encoders=encoders,
            encoders_dir=encoders_dir,
            options=ExtractOptions(kind, stride, overwrite),
            executor=executor,
            progress=listen,
        )
    show.note_left_out(report, "videos or music")
    counts = {"written": report.written, "present": report.present}
    if as_json:
        failed = [{"path": str(path), "reason": reason} for path, reason in report.failed]
        ignored = dict(report.ignored)
        show.document({"schema": "mgsv.extract/1", **counts, "failed": failed, "ignored": ignored})
    else:
        show.line(f"{report.written} written, {report.present} there already")
    return 1 if report.failed else 0
