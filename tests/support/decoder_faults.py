"""What a decoder process is made to do in tests, each on the file `path`."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import sys
import time
from pathlib import Path

import numpy as np

from mgsv.errors import ConfigError, DataError
from mgsv.media import worker


def crash(path: Path) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def be_killed(path: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave(path: Path, status: int) -> None:
    os._exit(status)


def loop_for_ever(path: Path) -> None:
    """One call, in which other threads can run Python."""
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)


def loop_for_ever_alone(path: Path) -> None:
    """One call, in which no other thread can run Python."""
    re.match(r"(a+)+b", "a" * 60)


def wait_for_ever(path: Path) -> None:
    time.sleep(1e6)


def work_on(path: Path, seconds: float) -> str:
    """Many steps that take long together."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return "done"


def take_all_memory(path: Path) -> None:
    np.ones(worker.MEMORY)


def print_and_warn(path: Path) -> str:
    print("noise", flush=True)
    os.write(1, b"noise")
    os.write(2, b"noise")
    return "quiet"


def refuse(path: Path) -> None:
    raise ConfigError(f"{path}: not this one", "take another")


def refuse_data(path: Path) -> None:
    raise DataError(path, "not this one", "take another")


def fail(path: Path, kind: str) -> None:
    raise {"bug": ZeroDivisionError("no"), "disk": OSError(5, "Input/output error")}[kind]


def tell_modules(path: Path) -> list[str]:
    return list(sys.modules)


def tell_pid(path: Path) -> int:
    return os.getpid()


def be_impatient(path: Path) -> int:
    """End soon when there is nothing to do."""
    worker.IDLE = 0.1
    return os.getpid()


def write_and_crash(path: Path, output: Path) -> None:
    from mgsv.files import new_file

    with new_file(output) as file:
        file.write(b"half")
        file.flush()
        crash(path)
