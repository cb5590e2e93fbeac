"""Kills at a chosen step, in a child process."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable

STEPS = {
    *("open", "fcntl.flock", "os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir"),
    "sqlite3.connect",
}
"""Audit events of the interpreter that stand for acts on files."""


def killed_before(step: int, job: Callable[[], object]) -> bool:
    """Run `job` in a child that is killed before its `step`th act on files; whether it was."""
    child = os.fork()
    if child == 0:
        left = [step]

        def act(event: str, _: tuple[object, ...]) -> None:
            if event in STEPS:
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(act)
        try:
            job()
            os._exit(0)
        except BaseException:
            left[0] = 1_000_000
            traceback.print_exc()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert status == 0, "the job failed"
    return False
