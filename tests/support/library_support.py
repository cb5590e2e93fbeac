"""Music made on the spot, and an encoder small enough to know by heart."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.parse
import wave
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mgsv.library import Library

RATE = 16_000
SUPPORT = Path(__file__).parent


@dataclass(frozen=True)
class Features:
    """The shape of `mgsv.encoders.registry.MusicFeatures`."""

    segments: np.ndarray
    tags: dict[str, float] = field(default_factory=dict)


def copy_library(source: Path, target: Path) -> None:
    """Copy a library that other processes may have open.

    Their locks and the files that they are about to rename stay behind; the catalogue is copied
    through SQLite, as a file beside its log may be half of a state.
    """
    ignored = shutil.ignore_patterns("*.part", "lock", "catalogue.sqlite*")
    shutil.copytree(source, target, ignore=ignored)
    catalogue = urllib.parse.quote(str(source / "catalogue.sqlite"))
    with (
        contextlib.closing(sqlite3.connect(f"file:{catalogue}?mode=ro", uri=True)) as theirs,
        contextlib.closing(sqlite3.connect(target / "catalogue.sqlite")) as ours,
    ):
        theirs.backup(ours)


class TinyEncoder:
    """Four numbers per 2.5 s: RMS, peak, mean step between samples, and 1."""

    name = "tiny"
    dim = 4
    rate = RATE
    channel = "mix"
    step = 2.5

    def __init__(self, fingerprint: str = "tiny-1", pause: float = 0.0) -> None:
        self.fingerprint = fingerprint
        self.pause = pause
        self.calls = 0
        self._lock = threading.Lock()

    def encode(self, audio, rhythm) -> Features:
        del rhythm  # what a real encoder adds to its features
        with self._lock:
            self.calls += 1
        time.sleep(self.pause)
        size = int(self.step * self.rate)
        parts = [audio.samples[k : k + size] for k in range(0, len(audio.samples), size)]
        rows = [[np.sqrt(np.mean(p**2)), np.abs(p).max(), _steps(p), 1.0] for p in parts]
        return Features(np.array(rows, np.float32), {"loud": rows[0][0], "sharp": rows[0][2]})


def _steps(samples: np.ndarray) -> float:
    return float(np.abs(np.diff(samples)).mean()) if len(samples) > 1 else 0.0


def write_tone(path: Path, hertz: float = 440.0, seconds: float = 4.0) -> Path:
    """A wav file of a tone with a click every half second. Its content depends on the arguments."""
    t = np.arange(int(seconds * RATE)) / RATE
    samples = 0.3 * np.sin(2 * np.pi * hertz * t)
    samples[:: RATE // 2] = 0.9
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file, wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def write_tones(folder: Path, count: int) -> list[Path]:
    return [write_tone(folder / f"{k:03d}.wav", 200.0 + 10 * k) for k in range(count)]


def opened(music, folder: Path, encoder=None, **options) -> Library:
    return Library.open(music, folder=folder, encoder=encoder or TinyEncoder(), **options)


def start(program: str, *arguments: str | Path, **options) -> subprocess.Popen[str]:
    """Another Python process that runs `program` with `arguments` in sys.argv."""
    paths = [str(SUPPORT), *sys.path]
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(os.fspath, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def as_nobody(job: Callable[[], None]) -> None:
    """Run `job` in a child process that file permissions hold for, even if we are root."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            job()
            status = 0
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
