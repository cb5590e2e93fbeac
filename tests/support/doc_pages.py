"""Pages of the documentation, followed as a reader follows them: commands typed, Python run.

A block of commands has no language, one of Python says `python`; `sh` is for commands that only a
shell understands. All others (`text`, `json`, `csv` …) show something. An HTML comment before a
block marks what cannot be run here, or is to fail:

    <!-- not run: it downloads -->
    <!-- exit status: 1 -->
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from mgsv.cli import app
from subprocesses import mgsv_here

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))

_BLOCK = re.compile(r"(?:^<!-- (.*?) -->\n\n?)?^```([^\n]*)\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; not_run: why it is not run, empty where it is."""

    where: str
    language: str
    text: str
    not_run: str
    status: int

    @property
    def lines(self) -> list[str]:
        """Of commands: one a line, without comments and with what follows a backslash."""
        whole = self.text.replace("\\\n", " ").splitlines()
        return [line for line in whole if line.strip() and not line.lstrip().startswith("#")]


def blocks(page: Path) -> list[Block]:
    """The page's blocks, in order."""
    text, found = page.read_text(encoding="utf-8"), []
    for match in _BLOCK.finditer(text):
        mark, language, body = match.groups()
        where = f"{page.relative_to(ROOT)}:{text[: match.start(3)].count(chr(10))}"
        kind, _, value = (mark or "").partition(": ")
        found.append(
            Block(
                where,
                language.partition(" ")[0],
                body,
                value if kind == "not run" else "",
                int(value) if kind == "exit status" else 0,
            )
        )
    return found


def parsed(line: str) -> None:
    """Raises where a command line of mgsv names a command or an option that does not exist."""
    _, *words = shlex.split(re.sub(r" >.*", "", line), comments=True)
    command: click.Command = app
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    command.make_context(line, words)


@dataclass
class Reader:
    """Somebody who follows pages in the working folder, with the home folder `home`.

    more: what is added to commands that begin so, to make them small, or to let the alternatives
        of a page follow each other.
    """

    home: Path
    more: Mapping[str, str] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    """What commands and programs have printed."""
    _names: dict[str, Any] = field(default_factory=dict)

    def follow(self, page: Path) -> int:
        """Do all that the page says; returns how many blocks were run."""
        self._names = {"__name__": "__main__"}
        run = [one for one in blocks(page) if not one.not_run and one.language in ("", "python")]
        for block in run:
            if block.language == "python":
                self._run(block)
            else:
                for line in block.lines:
                    self._type(line, block)
        return len(run)

    def _run(self, block: Block) -> None:
        written = io.StringIO()
        with contextlib.redirect_stdout(written):
            exec(compile(block.text, block.where, "exec"), self._names)
        self.seen.append(written.getvalue())

    def _type(self, line: str, block: Block) -> None:
        line, _, target = line.partition(" > ")
        line = next((line + v for k, v in self.more.items() if line.startswith(k)), line)
        program, *words = shlex.split(line.replace("~", str(self.home)), comments=True)
        assert program == "mgsv", f"{block.where}: {line}: mark it as not run"
        done = mgsv_here(*words)
        assert done.returncode == block.status, f"{block.where}: {line}: {done.stderr}"
        self.seen.append(done.stdout + done.stderr)
        if target:
            Path(shlex.split(target, comments=True)[0]).write_text(done.stdout)
