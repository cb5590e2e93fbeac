"""What was found and chosen for the clips of a folder, so that a run that ends early can go on.

A line of JSON per event in `.mgsv-batch.jsonl`, in the folder of the results. That a clip is done
is said by its result alone, which appears whole or not at all. A line that a kill cut off is passed
over; a journal that is lost costs the work it would have saved, and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mgsv import portable
from mgsv.errors import ConfigError, shown
from mgsv.files import unwritable

NAME = ".mgsv-batch.jsonl"
FOUND, CHOSEN, FAILED = "found", "chosen", "unreadable"
"""Not "failed", under which earlier versions noted what was no fault of the clip's too."""
LISTED = "listed"
"""A report or a list of credits that a batch wrote, by its whole path."""


class Journal:
    """The journal of one folder, held by one process at a time. For several threads."""

    def __init__(self, folder: Path) -> None:
        """Raises `ConfigError` where another process works on the folder, `OutputError` where it
        cannot be written.
        """
        self.path = folder / NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b", buffering=0)
        except OSError as error:
            raise unwritable(self.path, error) from error
        if not portable.hold(self._file.fileno()):
            self._file.close()
            raise ConfigError(
                f"{shown(folder)}: another mgsv works on this folder",
                "wait until it is done, or end it",
            )
        self._file.seek(0)
        data = self._file.read()
        if data and not data.endswith(b"\n"):
            self._write(b"\n")  # after a line that was cut off
        self._events: dict[tuple[str, str], dict[str, Any]] = {}
        for event in _events(data):
            self._take(event)

    def get(self, clip: str, kind: str, state: tuple[int, int]) -> Any:
        """The last event of `kind` about `clip`, if the clip was in `state` then; else None."""
        event = self._events.get((clip, kind))
        return None if event is None or event["state"] != list(state) else event[kind]

    def knows(self, clip: str) -> bool:
        """Whether anything was chosen for `clip`, whatever it was then."""
        return (clip, CHOSEN) in self._events

    def chosen(self) -> dict[str, dict[str, Any]]:
        """Clip → what was chosen for it, the last choice at the end."""
        return {c: event[CHOSEN] for (c, kind), event in self._events.items() if kind == CHOSEN}

    def add(self, clip: str, kind: str, state: tuple[int, int], content: Any) -> None:
        """Note an event; it is on its way to the disk when this returns."""
        event = {"clip": clip, "state": list(state), kind: content}
        self._write(json.dumps(event).encode() + b"\n")
        self._take(event)

    def close(self) -> None:
        self._file.close()

    def _write(self, line: bytes) -> None:
        try:
            self._file.write(line)  # one call: lines of several threads do not mix
        except OSError as error:
            raise unwritable(self.path, error) from error

    def _take(self, event: dict[str, Any]) -> None:
        for kind in (FOUND, CHOSEN, FAILED, LISTED):
            if kind in event:
                key = (event["clip"], kind)
                self._events.pop(key, None)
                self._events[key] = event


def _events(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.splitlines():
        with contextlib.suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and {"clip", "state"} <= event.keys():
                yield event


@contextlib.contextmanager
def journals(folders: list[Path]) -> Iterator[dict[Path, Journal]]:
    """The journals of `folders`, held while the block runs."""
    with contextlib.ExitStack() as stack:
        held: dict[Path, Journal] = {}
        for folder in sorted(set(folders), key=os.fsencode):
            held[folder] = Journal(folder)
            stack.callback(held[folder].close)
        yield held
