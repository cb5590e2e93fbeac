"""Running commands: as processes of their own, or in this one where that is enough."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import torch

from mgsv.cli import main

TESTS = Path(__file__).parent


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=120
    )


def mgsv_here(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs `mgsv ARGUMENTS…` in this process, with its streams and status.

    Importing torch in a new process takes longer than most commands on tiny data.
    """
    words, threads = [str(argument) for argument in arguments], torch.get_num_threads()
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        status = main(words)
    torch.set_num_threads(threads)
    return subprocess.CompletedProcess(words, status, output.getvalue(), errors.getvalue())
