"""A shell completes the command line."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from subprocesses import Run


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with a program `mgsv`, as an installation has it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "mgsv"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m mgsv "$@"\n')
    script.chmod(0o755)
    return folder


@pytest.mark.sampled
@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [("gro", "ground"), ("library che", "check"), ("ground --timel", "--timeline")],
)
def test_bash_completes(mgsv: Run, program: Path, typed: str, completed: str) -> None:
    script = mgsv("completion", "bash").stdout
    words = ["mgsv", *typed.split()]
    typing = f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; _mgsv_completion mgsv"
    done = subprocess.run(
        ["bash", "-c", f'{script}\n{typing}\necho "${{COMPREPLY[@]}}"'],
        env={**os.environ, "PATH": f"{program}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [completed], done.stderr


@pytest.mark.parametrize(
    ("shell", "line"), [("zsh", "#compdef mgsv"), ("fish", "complete --no-fil")]
)
def test_other_shells_get_their_script(mgsv: Run, shell: str, line: str) -> None:
    done = mgsv("completion", shell)
    assert done.returncode == 0 and line in done.stdout and f"{shell}_complete" in done.stdout


def test_another_shell_is_refused_with_the_choices(mgsv: Run) -> None:
    done = mgsv("completion", "tcsh")
    assert done.returncode == 2 and "'bash', 'zsh', 'fish'" in done.stderr
