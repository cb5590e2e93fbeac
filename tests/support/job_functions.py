"""Work that processes can be given: they import it by its module's name."""

from __future__ import annotations

import os
import sys
import time


def reciprocal(number: int) -> float:
    return 1 / number


def pid(_: int) -> int:
    return os.getpid()


def leave(_: int) -> None:
    sys.exit("no Exception")


def lag(number: int) -> int:
    """The first items take longest."""
    time.sleep(0.1 if number < 2 else 0.0)
    return number
