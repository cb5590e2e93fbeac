"""Running commands: as processes of their own, or in this one where that is enough."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from mgsv.cli import main

SUPPORT = Path(__file__).parent

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    places = SUPPORT, SUPPORT.parent
    path = os.pathsep.join([*map(str, places), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=120
    )


def mgsv_here(*arguments: str | bytes | Path) -> subprocess.CompletedProcess[str]:
    """Runs `mgsv ARGUMENTS…` in this process, with its streams and status.

    Importing torch in a new process takes longer than most commands. The streams are those of a
    process whose locale is UTF-8; what a command writes to them is decoded as `mgsv_process` does.
    """
    words, threads = [os.fsdecode(argument) for argument in arguments], torch.get_num_threads()
    output, errors = (
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=how)
        for how in ("strict", "backslashreplace")
    )
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            status = main(words)
        except Exception:  # with --debug, which Python itself would show
            traceback.print_exc()
            status = 1
    torch.set_num_threads(threads)
    return subprocess.CompletedProcess(words, status, _written(output), _written(errors))


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode(errors="backslashreplace")


def mgsv_process(*arguments: str | bytes | Path) -> subprocess.CompletedProcess[str]:
    """Runs `mgsv ARGUMENTS…` as a process: for signals, limits, encodings, and what starts up."""
    return subprocess.run(
        [sys.executable, "-m", "mgsv", *arguments],
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=120,
    )
