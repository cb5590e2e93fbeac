"""`mgsv library`: what is known of a music folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mgsv.cli import show
from mgsv.errors import shown
from mgsv.moment import clock

if TYPE_CHECKING:
    from mgsv.library import Track

app = typer.Typer(help="Index music, and see what is indexed.", no_args_is_help=True)

Folder = Annotated[
    Path | None, typer.Option("--library", help="The library [default: the user's data folder].")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


@app.command()
def add(
    places: Annotated[list[Path], typer.Argument(metavar="DIR|TRACK...", help="Music to index.")],
    library: Folder = None,
    as_json: Json = False,
    progress: Annotated[
        show.ProgressStyle, typer.Option(help="How indexing reports on stderr.")
    ] = show.ProgressStyle.auto,
) -> int:
    """Index music; files seen before cost nothing. Bad files are listed and left out."""
    from mgsv.library import Library

    with Library.open(folder=library) as opened, show.progress(progress) as listen:
        report = opened.add(places, progress=listen)
    for path, reason in report.failed:
        show.note(f"left out: {shown(path)}: {reason}")
    counts = {"added": report.added, "unchanged": report.unchanged, "moved": report.moved}
    if as_json:
        failed = [{"path": str(path), "reason": reason} for path, reason in report.failed]
        show.document({"schema": "mgsv.index/1", **counts, "failed": failed})
    else:
        typer.echo(", ".join(f"{n} {what}" for what, n in counts.items()))
    return 1 if report.failed else 0


@app.command(name="list")
def list_tracks(
    places: Annotated[
        list[Path] | None, typer.Argument(metavar="[DIR...]", help="Only music in these folders.")
    ] = None,
    library: Folder = None,
    as_json: Json = False,
) -> None:
    """List the tracks with duration, tempo and tags."""
    from mgsv.library import Library

    with Library.open(folder=library, encoder=None) as opened:
        tracks = opened.tracks(under=places, missing=True)
    if as_json:
        show.document({"schema": "mgsv.library/1", "tracks": [_fields(t) for t in tracks]})
        return
    for track in tracks:
        state = "  (the file is gone)" if track.missing else ""
        words = ", ".join([*track.tags, f"{track.tempo:.0f} bpm"])
        typer.echo(f"{clock(track.duration)}  {shown(track.path)}  {words}{state}")
    show.note(f"{len(tracks)} tracks")


@app.command()
def remove(
    places: Annotated[list[Path], typer.Argument(metavar="DIR|TRACK...", help="Music to forget.")],
    library: Folder = None,
) -> None:
    """Forget tracks and their features; the music files themselves are never touched."""
    from mgsv.library import Library

    with Library.open(folder=library, encoder=None) as opened:
        removed = opened.remove(places)
    typer.echo(f"{removed} files forgotten")


@app.command()
def check(
    places: Annotated[
        list[Path] | None, typer.Argument(metavar="[DIR...]", help="Only music in these folders.")
    ] = None,
    library: Folder = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Drop what is damaged, so that `add` makes it anew.")
    ] = False,
    sources: Annotated[
        bool, typer.Option("--sources", help="Also compare the music files with what was indexed.")
    ] = False,
) -> int:
    """Verify every feature file and name what is damaged."""
    from mgsv.library import Library

    with Library.open(folder=library, encoder=None, repair=repair) as opened:
        report = opened.check(under=places, repair=repair, sources=sources)
    for path, reason in report.problems:
        show.note(f"{shown(path)}: {reason}")
    typer.echo(
        f"{report.tracks} tracks checked, {len(report.problems)} with problems"
        + (f", {report.dropped} dropped" if repair else "")
    )
    return 1 if len(report.problems) > report.dropped else 0


def _fields(track: Track) -> dict[str, Any]:
    return {
        "path": str(track.path),
        "id": track.id,
        "duration": round(track.duration, 4),
        "tempo": round(track.tempo, 2),
        "tags": list(track.tags),
        "missing": track.missing,
    }
