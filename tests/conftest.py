"""What many tests share: one indexed library of the bundled music, and a way to run the command."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import real_media
from mgsv import Library

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def bundled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of the 28 short and 2 long bundled tracks, indexed once for all tests."""
    folder = tmp_path_factory.mktemp("bundled")
    with Library.open([*real_media.bgm_tracks(), *real_media.long_tracks()], folder=folder):
        return folder


@pytest.fixture
def bundled(bundled_folder: Path) -> Iterator[Library]:
    with Library.open(folder=bundled_folder) as library:
        yield library


@pytest.fixture
def mgsv(tmp_path: Path) -> Run:
    """Runs `mgsv ARGUMENTS…` as a process with a library of its own."""

    def run(
        *arguments: str | bytes | Path, cwd: Path = tmp_path, **options: object
    ) -> subprocess.CompletedProcess[str]:
        import os

        environment = {**os.environ, "MGSV_LIBRARY": str(tmp_path / "library"), "COLUMNS": "120"}
        return subprocess.run(  # type: ignore[call-overload,no-any-return]
            [sys.executable, "-m", "mgsv", *arguments],
            capture_output=True,
            text=True,
            errors="backslashreplace",
            cwd=cwd,
            env=environment,
            timeout=120,
            **options,
        )

    return run
