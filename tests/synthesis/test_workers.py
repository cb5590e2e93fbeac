"""Several processes for one job end with the one that started them."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from library_support import start

PARENT = """
import os, sys, time
from mgsv.synthesis.composed.production import several

def wait(task):
    print(os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    with several(2) as workers:
        list(workers.map(wait, range(4)))
"""


@pytest.mark.slow
def test_killed_parents_leave_no_workers(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    program = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')"
    parent = start(program, tmp_path / "parent.py", start_new_session=True)
    assert parent.stdout is not None
    workers = {int(parent.stdout.readline()) for _ in range(2)}
    assert in_session(parent.pid) >= workers
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    end = time.monotonic() + 10
    while (left := in_session(parent.pid)) and time.monotonic() < end:
        time.sleep(0.05)
    assert left == set()


def in_session(leader: int) -> set[int]:
    """The live processes of a session."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (OSError, ValueError):
            continue
        if entry.name.isdigit() and int(fields[3]) == leader and fields[0] != "Z":
            found.add(int(entry.name))
    return found
