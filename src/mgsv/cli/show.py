"""What people see: tables, progress and byte counts, on top of rich."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mgsv.cli.streams import printable
from mgsv.clock import clock
from mgsv.errors import shown

if TYPE_CHECKING:
    from rich.console import Console

    from mgsv.explanation.explain import Explained
    from mgsv.extract import ExtractReport
    from mgsv.grounding import Grounding, RankedMoment
    from mgsv.jobs import Listener, Progress
    from mgsv.library import IndexReport
    from mgsv.memory.use import Use

OTHERS_NAMED = 4
"""Files of the same recording that a row of the table names."""


def line(text: str) -> None:
    """A line on stdout. Not `click.echo`, which writes UTF-8 where the locale says ASCII."""
    print(text)


def note(text: str) -> None:
    """A line for a person, on stderr."""
    print(text, file=sys.stderr)


def document(content: Mapping[str, Any]) -> None:
    """One JSON document on stdout: plain ASCII, so that any file name survives any locale."""
    print(json.dumps(content, indent=2, allow_nan=False))


@contextmanager
def indexing(style: str) -> Iterator[Listener | None]:
    """A listener for indexing, as `progress`; a machine's lines also hold paths and seconds."""
    if style == "machine":
        yield _machine_line
    else:
        with progress(style, "looking for music") as listen:
            yield listen


@contextmanager
def progress(style: str, job: str) -> Iterator[Listener | None]:
    """A listener for the steps of `job`, or None where no progress is shown.

    `auto` draws a bar with the time left where stderr is a terminal, `machine` prints a JSON line
    per step on stderr, `none` stays silent.
    """
    if style == "machine":
        yield lambda step: _event(
            {"event": job, "what": _label(step), "done": step.done, "total": step.total}
        )
    elif style == "none" or not sys.stderr.isatty():
        yield None
    else:
        from rich import progress as bars
        from rich.console import Console
        from rich.markup import escape

        columns = (
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TimeRemainingColumn(),
        )
        with bars.Progress(*columns, console=Console(stderr=True), transient=True) as display:
            bar = display.add_task(job, total=None)
            yield lambda step: display.update(
                bar, total=step.total, completed=step.done, description=escape(_label(step)[:40])
            )


def _label(step: Progress) -> str:
    return shown(step.path.name) if step.path else step.note or step.what


def _machine_line(step: Progress) -> None:
    _event(
        {
            "event": "prepare" if step.what == "preparing" else "index",
            "done": step.done,
            "total": step.total,
            "seconds": round(step.seconds, 3),
            "path": None if step.path is None else str(step.path),
            "note": step.note,
        }
    )


def _event(content: Mapping[str, Any]) -> None:
    print(json.dumps(content), file=sys.stderr, flush=True)


@contextmanager
def resumable(remedy: str) -> Iterator[None]:
    """Ctrl-C inside says `remedy`: how to go on with what is done so far."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(remedy) from None


def measure(name: str, value: float) -> str:
    """A figure as people write it: fractions with three places, per cent and ranks with one."""
    if isinstance(value, int):
        return str(value)
    return f"{value:.3f}" if "mIoU" in name or name == "MRR" else f"{value:.1f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[str] = ()) -> None:
    """A table on stdout: the first column and those of `words` on the left, figures right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = wide_console()

    def cell(text: str) -> Text:
        # Before the widths are measured; the stream would replace the same characters too late.
        return Text(printable(shown(text), console.encoding))

    # Where the lines cannot be printed, rich puts a grid of `|` and `+` in the place of one rule.
    plain = box.Box(str(box.SIMPLE_HEAD).replace("\u2500", "-"), ascii=True)
    style = box.SIMPLE_HEAD if console.encoding.startswith("utf") else plain
    drawn = Table(box=style, pad_edge=False)
    for place, name in enumerate(head):
        left = place == 0 or name in words
        drawn.add_column(cell(name), justify="left" if left else "right", overflow="fold")
    for row in rows:
        drawn.add_row(*map(cell, row))
    console.print(drawn)


def moments(found: Grounding) -> None:
    """The ranked moments of a clip as a table."""
    rows = []
    for one in found:
        tempo = [f"{one.track.tempo:.0f} bpm"] if one.track.tempo else []
        music = ", ".join([*one.track.tags[:2], *tempo])
        name = one.track.path.name
        if one.also_as:
            name += f" (also as: {_others(one)})"
        row = [str(one.rank), name, str(one.moment), f"{one.score:.2f}", music, one.why]
        rows.append([*row, _runner_up(one)])
    head = ["rank", "track", "moment", "score", "music", "why", "or"]
    if not any(row[-1] for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    table(head, rows, ("track", "moment", "music", "why", "or"))


def _runner_up(found: RankedMoment) -> str:
    """Where else on the track, and why."""
    return f"{clock(found.runner_up[0])}, {found.runner_up[1]}" if found.runner_up else ""


def _others(found: RankedMoment) -> str:
    """The names of a recording's other files, with their folders where those alone differ."""
    here = found.track.path.name
    names = [
        path.name if path.name != here else f"{path.parent.name}/{path.name}"
        for path in found.also_as[:OTHERS_NAMED]
    ]
    if more := len(found.also_as) - len(names):
        names.append(f"{more} more")
    return ", ".join(names)


def wide_console() -> Console:
    """stdout; a file or a pipe has no width of its own, and names should not be folded there."""
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=max(120, console.width))


def note_left_out(report: IndexReport | ExtractReport, kind: str) -> None:
    """Each bad file with its reason, and what else lies there besides the `kind` of file that was
    looked for, on stderr.
    """
    from mgsv.library import walk

    for path, reason in report.failed:
        note(f"left out: {shown(path)}: {reason}")
    if report.ignored:
        note(walk.left_out(report.ignored, kind))


def accepted(use: Use, is_new: bool) -> None:
    """A use that was accepted, on stderr."""
    known = "remembered" if is_new else "known already"
    note(f"{known}: {clock(use.start)}–{clock(use.end)} for {shown(use.video)}")


def explained(picture: Explained) -> None:
    """Why a moment fits, on stdout: the moment, and a sentence a line."""
    found = picture.moment
    console = wide_console()
    head = f"{found.rank}. {shown(found.track.path.name)}, {found.moment}"
    console.print(head, markup=False, highlight=False)
    for reason in picture.reasons:
        console.print(f"   {reason}", markup=False, highlight=False)


def index_report(report: IndexReport) -> None:
    """What indexing did, if it did anything, on stderr."""
    note_left_out(report, "music")
    if report.added or report.moved:
        note(f"indexed: {report.added} tracks added, {report.moved} moved or copied")
