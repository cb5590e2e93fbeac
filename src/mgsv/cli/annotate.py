"""`mgsv annotate`: which music one's own videos use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mgsv.cli import fields, options, show
from mgsv.errors import ConfigError, shown

if TYPE_CHECKING:
    from mgsv.annotate import Annotated


@click.command()
@click.argument("videos", type=options.FILE, nargs=-1, required=True)
@click.option(
    "--music",
    "-m",
    type=options.FILE,
    multiple=True,
    metavar="DIR|TRACK",
    help="The music they may use; may be repeated.",
)
@click.option(
    "--output", "-o", type=options.FILE, required=True, metavar="FILE", help="The .csv to write."
)
@click.option("--overwrite", is_flag=True, help="Replace --output if it exists.")
@click.option("--min-video", default=3.0, show_default=True, help="Seconds; shorter are left out.")
@click.option("--max-video", default=600.0, show_default=True, help="Seconds; longer are left out.")
@click.option("--min-moment", default=5.0, show_default=True, help="Seconds of music in a row.")
@click.option(
    "--min-confidence",
    default=0.5,
    show_default=True,
    help="Probability of being right below which matches are left out.",
)
@click.option("--category", default="", metavar="TEXT", help="What to call the videos' category.")
@options.library
@options.on
@options.as_json
@options.progress
def annotate(
    videos: tuple[Path, ...],
    music: tuple[Path, ...],
    output: Path,
    overwrite: bool,
    min_video: float,
    max_video: float,
    min_moment: float,
    min_confidence: float,
    category: str,
    folder: Path | None,
    on: str | None,
    as_json: bool,
    progress: str,
) -> int:
    """Find which track VIDEOS use, and which part of it.

    Writes a row per moment in MGSV-EC's columns, and its confidence. Folders are searched. What
    is left out is listed with the reason; the exit status is 1 where a file cannot be read or no
    row is left.
    """
    from mgsv.annotate import AnnotateOptions, annotate

    if not music:
        raise ConfigError("--music is missing", "name the folder of the music the videos may use")
    with options.workers(on) as executor, show.progress(progress, "annotate") as listen:
        report = annotate(
            videos,
            music,
            output,
            folder=folder,
            options=AnnotateOptions(
                min_video=min_video,
                max_video=max_video,
                min_moment=min_moment,
                min_confidence=min_confidence,
                category=category,
            ),
            overwrite=overwrite,
            executor=executor,
            progress=listen,
        )
    for path, reason in report.failed:
        show.note(f"left out: {shown(path)}: {reason}")
    for note in report.notes:
        show.note(note)
    if as_json:
        show.document(_document(report, output))
    else:
        _print(report, output)
    return 1 if report.failed or not report.found else 0


def _print(report: Annotated, output: Path) -> None:
    from mgsv.annotate.options import REASONS

    for one in report.found:
        places = f", the same at {len(one.match.also_at)} more" if one.match.also_at else ""
        speed = f", at {one.match.speed:.4f} of its speed" if one.match.speed != 1 else ""
        sound = f", sound track {one.sound} of {one.sounds}" if one.sounds > 1 else ""
        show.line(
            f"{shown(one.path)}  {one.match.video}  {shown(one.match.track.path)}"
            f"  {one.match.music}  {one.match.confidence:.3f}{sound}{places}{speed}"
        )
    for drop in report.dropped:
        detail = f" ({drop.detail})" if drop.detail else ""
        show.note(f"left out: {shown(drop.path)}: {fields.here(REASONS[drop.reason])}{detail}")
    counts = "".join(f", {count} {reason}" for reason, count in report.counts().items())
    unread = f", {len(report.failed)} unreadable" if report.failed else ""
    show.line(f"{len(report.found)} moments in {report.videos} videos{counts}{unread}")
    if not report.found:
        show.note(f"{shown(output)} was not written: there is nothing to write")


def _document(report: Annotated, output: Path) -> dict[str, Any]:
    from mgsv.annotate.options import REASONS

    return {
        "schema": "mgsv.annotate/1",
        "output": str(output) if report.found else None,
        "tracks": report.tracks,
        "videos": report.videos,
        "moments": [
            {
                "video": str(one.path),
                "video_id": one.row.video_id,
                "video_start": one.row.video_start,
                "video_end": one.row.video_end,
                "track": str(one.match.track.path),
                "music_id": one.row.music_id,
                "music_start": one.row.music_start,
                "music_end": one.row.music_end,
                "speed": round(one.match.speed, 6),
                "confidence": round(one.match.confidence, 6),
                "correlation": round(one.match.correlation, 6),
                "sound_track": one.sound,
                "sound_tracks": one.sounds,
                "also_at": [round(place, 3) for place in one.match.also_at],
            }
            for one in report.found
        ],
        "left_out": {
            reason: {"count": count, "meaning": fields.here(REASONS[reason])}
            for reason, count in report.counts().items()
        },
        "dropped": [
            {"video": str(drop.path), "reason": drop.reason, "detail": drop.detail}
            for drop in report.dropped
        ],
        "failed": [{"path": str(path), "reason": reason} for path, reason in report.failed],
        "notes": list(report.notes),
    }
