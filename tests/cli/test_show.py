"""How a job's steps are shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mgsv.cli import show
from mgsv.jobs import Progress


def test_the_lines_for_a_machine(capsys: pytest.CaptureFixture[str]) -> None:
    with show.progress("machine", "extract") as listen:
        assert listen is not None
        listen(Progress("files", 1, 2, Path("a/b\n.mp4")))
        listen(Progress("lines", 1000))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        {"event": "extract", "what": "b\\n.mp4", "done": 1, "total": 2},
        {"event": "extract", "what": "lines", "done": 1000, "total": None},
    ]


def test_the_lines_of_indexing(capsys: pytest.CaptureFixture[str]) -> None:
    with show.indexing("machine") as listen:
        assert listen is not None
        listen(Progress("indexing", 0, 0, note="waiting"))
        listen(Progress("indexing", 1, 2, Path("a/b.mp3"), seconds=1.23456))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    empty = {"event": "index", "done": 0, "total": 0, "seconds": 0.0, "path": None}
    assert lines == [
        empty | {"note": "waiting"},
        empty | {"done": 1, "total": 2, "seconds": 1.235, "path": "a/b.mp3", "note": ""},
    ]


@pytest.mark.parametrize("style", ["auto", "none"])
def test_no_progress_is_shown_without_a_terminal(style: str) -> None:
    with show.progress(style, "pack") as listen:
        assert listen is None
