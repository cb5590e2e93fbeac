"""Work that processes can be given: they import it by its module's name."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from mgsv.encoders.tiny import TinyMusic
from mgsv.media import codecs
from mgsv.runtime.worker import prepare_worker


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


def write_slowly(path: Path) -> None:
    """The file `0` is there at once, others after a while."""
    time.sleep(0.0 if path.name == "0" else 0.3)
    path.touch()


def wait_for(number: int) -> int:
    """Takes 0.2 s."""
    time.sleep(0.2)
    return number


def touch_slowly(path: Path) -> None:
    time.sleep(0.5)
    path.touch()


def refuse() -> None:
    """What a worker that lacks something does first."""
    raise ValueError("no codecs here")


def without_a_decoder() -> None:
    """What a worker does first whose FFmpeg lacks a decoder."""
    codecs.DECODERS += ("nonesuch",)
    prepare_worker()


class OtherElsewhere(TinyMusic):
    """An encoder whose weights in other processes are not those of this one."""

    fingerprint = "tiny-here"

    def __reduce__(self) -> tuple[object, ...]:
        return TinyMusic, ()


class Unpicklable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def raise_unpicklable(number: int) -> None:
    raise Unpicklable(number, number)
