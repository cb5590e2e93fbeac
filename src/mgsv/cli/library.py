"""`mgsv library`: what is known of the music."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mgsv.cli import options, show
from mgsv.cli.habits import habits
from mgsv.cli.uses import learn, uses
from mgsv.clock import clock
from mgsv.errors import shown

if TYPE_CHECKING:
    from mgsv.library import Track
    from mgsv.library.words import Narrowed


@click.group()
def library() -> None:
    """Index music, see what is indexed, and remember what videos used."""


_music = click.argument("music", type=options.FILE, nargs=-1, required=True)
_some_music = click.argument("music", type=options.FILE, nargs=-1)


@library.command()
@_music
@options.library
@options.encoders
@options.encoders_dir
@options.device
@options.on
@options.as_json
@options.progress
def add(
    music: tuple[Path, ...],
    folder: Path | None,
    encoders: str,
    encoders_dir: Path | None,
    on: str | None,
    as_json: bool,
    progress: str,
) -> int:
    """Index MUSIC, folders or tracks; files seen before cost nothing.

    Tracks that an earlier version analysed get their beats and bars anew, and keep the rest.
    Files that cannot be used are listed with the reason and left out; the exit status is then 1.
    Those that are no music by their name, and videos, are counted.
    """
    from mgsv.encoders.registry import encoder_pair
    from mgsv.library import Library

    encoder = encoder_pair(encoders, folder=encoders_dir).music
    with (
        options.workers(on) as executor,
        Library.open(folder=folder, encoder=encoder, executor=executor) as opened,
        show.indexing(progress) as listen,
    ):
        report = opened.add(music, progress=listen)
    show.note_left_out(report, "music")
    counts = {
        "added": report.added,
        "updated": report.updated,
        "unchanged": report.unchanged,
        "moved": report.moved,
    }
    if as_json:
        failed = [{"path": str(path), "reason": reason} for path, reason in report.failed]
        ignored = dict(report.ignored)
        show.document({"schema": "mgsv.index/1", **counts, "failed": failed, "ignored": ignored})
    else:
        said = [f"{n} {what}" for what, n in counts.items() if n or what != "updated"]
        show.line(", ".join(said))
    return 1 if report.failed else 0


@library.command(name="list")
@_some_music
@options.words
@options.library
@options.as_json
def list_tracks(
    music: tuple[Path, ...],
    like: str,
    without: str,
    tempo: str,
    instrumental: bool,
    licence: str,
    genre: str,
    folder: Path | None,
    as_json: bool,
) -> None:
    """List the tracks in MUSIC, or all, with duration, tags, tempo and credits.

    With words, those that fit them, the best first.
    """
    from mgsv.library import Library
    from mgsv.library.words import Wanted, narrow

    wanted = Wanted(like, without, tempo, instrumental, licence, genre)

    with Library.open(folder=folder, encoder=None) as opened:
        if as_json:
            listed = opened.tracks(under=music, missing=True)
            if wanted:
                listed = _best_first(narrow(opened, listed, wanted))
            show.document({"schema": "mgsv.library/1", "tracks": [_fields(t) for t in listed]})
            return
        count = 0
        notes: tuple[str, ...] = ()
        tracks = opened.each(under=music or None)
        if wanted:
            narrowed = narrow(opened, opened.tracks(under=music), wanted)
            tracks, notes = iter(_best_first(narrowed)), narrowed.notes
        for track in tracks:
            count += 1
            state = "  (the file is gone)" if track.missing else ""
            words = ", ".join([*track.tags, f"{track.tempo:.0f} bpm"])
            credits = shown(track.credits.line(track.path.name))
            show.line(f"{clock(track.duration)}  {shown(track.path)}  {words}  {credits}{state}")
        problems = opened.list_problems
    for problem in (*problems, *notes):
        show.note(f"note: {problem}")
    show.note(f"{count} tracks")


@library.command()
@_music
@options.library
def remove(music: tuple[Path, ...], folder: Path | None) -> None:
    """Forget MUSIC and its features; the music files themselves are never touched."""
    from mgsv.library import Library

    with Library.open(folder=folder, encoder=None) as opened:
        removed = opened.remove(music)
    show.line(f"{removed} files forgotten")


@library.command()
@_some_music
@options.library
@click.option("--repair", is_flag=True, help="Drop what is damaged, so that `add` makes it anew.")
@click.option("--sources", is_flag=True, help="Also compare the music files with what was indexed.")
@click.option(
    "--recall",
    multiple=True,
    type=options.FILE,
    metavar="CLIP",
    help="Also rank the whole library for CLIP, and tell how much of that the shortlist holds.",
)
def check(
    music: tuple[Path, ...],
    folder: Path | None,
    repair: bool,
    sources: bool,
    recall: tuple[Path, ...],
) -> int:
    """Verify the features of MUSIC, or all, and name what is damaged."""
    from mgsv.library import Library
    from mgsv.library.index import outdated_note

    with Library.open(folder=folder, encoder=None, repair=repair) as opened:
        report = opened.check(under=music, repair=repair, sources=sources)
    for path, reason in report.problems:
        show.note(f"{shown(path)}: {reason}")
    if report.outdated:
        show.note(f"note: {outdated_note(report.outdated, report.tracks)}")
    for path, reason in report.derived:
        remedy = "removed" if repair else "remove it with `--repair`"
        show.note(f"{shown(path)}: {reason}; {remedy}, and it is made again")
    if recall:
        _show_recall(recall, folder)
    dropped = f", {report.dropped} dropped" if repair else ""
    show.line(f"{report.tracks} tracks checked, {len(report.problems)} with problems{dropped}")
    damaged = len(report.problems) > report.dropped or (report.derived and not repair)
    return 1 if damaged else 0


library.add_command(learn)
library.add_command(uses)
library.add_command(habits)


def _show_recall(clips: Sequence[Path], folder: Path | None) -> None:
    from mgsv.grounding import Session
    from mgsv.library import Library

    with Library.open(folder=folder, encoder=None) as opened:
        session = Session(opened)
        for clip in clips:
            found = session.shortlist_recall(clip)
            show.line(
                f"{shown(clip)}: the best of {found.tracks} tracks is "
                f"{'' if found.best else 'not '}among the {found.candidates} of the shortlist, "
                f"and of the ten best {found.ten:.0%}; "
                f"{found.seconds:.1f} s, all tracks {found.seconds_all:.1f} s"
            )


def _best_first(narrowed: Narrowed) -> list[Track]:
    return sorted(narrowed.tracks, key=lambda track: -narrowed.fit.get(track.id, 0.0))


def _fields(track: Track) -> dict[str, Any]:
    return {
        "path": str(track.path),
        "id": track.id,
        "duration": round(track.duration, 4),
        "tempo": round(track.tempo, 2),
        "tags": list(track.tags),
        "credits": track.credits.as_dict(),
        "missing": track.missing,
    }
