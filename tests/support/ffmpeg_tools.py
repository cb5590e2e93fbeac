"""The ffmpeg programs, where this machine has them: independent makers and measurers of files."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class Shown(NamedTuple):
    """A picture that a player shows. time: seconds; md5: of its decoded pixels."""

    time: float
    md5: str


def ffmpeg(*arguments: object) -> bytes:
    """What ffmpeg prints; skips the test where it is absent."""
    return _run("ffmpeg", "-nostdin", "-v", "error", "-y", *arguments)


def ffprobe(path: Path, *arguments: object) -> dict[str, Any]:
    """The answer about `path` as from JSON; skips the test where ffprobe is absent."""
    found: dict[str, Any] = json.loads(
        _run("ffprobe", "-v", "error", "-of", "json", *arguments, path)
    )
    return found


def shown(path: Path) -> list[Shown]:
    """The pictures of `path` in the order in which ffmpeg's decoding shows them."""
    lines = ffmpeg(
        *("-copyts", "-i", path, "-map", "0:v:0", "-fps_mode", "passthrough"),
        *("-f", "framemd5", "-"),
    )
    pictures, base = [], 0.0
    for line in lines.decode().splitlines():
        if line.startswith("#tb 0:"):
            above, below = line.removeprefix("#tb 0:").split("/")
            base = int(above) / int(below)
        elif not line.startswith("#"):
            _, _, time, _, _, md5 = (part.strip() for part in line.split(","))
            pictures.append(Shown(int(time) * base, md5))
    return pictures


def _run(program: str, *arguments: object) -> bytes:
    if shutil.which(program) is None:
        pytest.skip(f"needs the program {program}")
    command = [program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=True).stdout
