"""What people see: tables, progress and byte counts, on top of rich."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mgsv.errors import shown
from mgsv.library import IndexReport, Progress


def note(text: str) -> None:
    """A line for a person, on stderr, whatever its characters."""
    encoding = sys.stderr.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr)


def document(content: Mapping[str, Any]) -> None:
    """One JSON document on stdout: plain ASCII, so that any file name survives any locale."""
    print(json.dumps(content, indent=2, allow_nan=False))


@contextmanager
def progress(style: str) -> Iterator[Callable[[Progress], None] | None]:
    """A listener for indexing.

    `auto` draws a bar with the time left where stderr is a terminal, `machine` prints a JSON line
    per step on stderr, `none` stays silent.
    """
    if style == "machine":
        yield _machine_line
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
            bar = display.add_task("looking for music", total=None)

            def listen(event: Progress) -> None:
                words = shown(event.path.name) if event.path else event.note or "indexing"
                display.update(
                    bar, total=event.total, completed=event.done, description=escape(words[:40])
                )

            yield listen


def _machine_line(event: Progress) -> None:
    line = {
        "event": "index",
        "done": event.done,
        "total": event.total,
        "seconds": round(event.seconds, 3),
        "path": None if event.path is None else str(event.path),
        "note": event.note,
    }
    print(json.dumps(line), file=sys.stderr, flush=True)


def left_out(report: IndexReport) -> None:
    """Each bad file with its reason, on stderr."""
    for path, reason in report.failed:
        note(f"left out: {shown(path)}: {reason}")


def index_report(report: IndexReport) -> None:
    """What indexing did, if it did anything, on stderr."""
    left_out(report)
    if report.added or report.moved:
        note(f"indexed: {report.added} tracks added, {report.moved} moved or copied")
