"""The README's commands and code, run as they stand, on real files."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import real_media

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = sorted(
    {line.removeprefix(".venv/bin/") for line in re.findall(r"^\.venv/bin/mgsv .*$", README, re.M)}
    | set(re.findall(r"`(mgsv [^`]*)`", README))
)


@pytest.fixture
def home(tmp_path: Path, bundled_folder: Path) -> Path:
    """A home folder with the files the README speaks of."""
    music = tmp_path / "Music"
    music.mkdir()
    for track in real_media.bgm_tracks()[:3]:
        shutil.copy(track, music)
    shutil.copy(real_media.bgm_tracks()[3], tmp_path / "song.mp3")
    shutil.copy(real_media.big_buck_bunny(), tmp_path / "clip.mp4")
    shutil.copytree(bundled_folder, tmp_path / "library")
    return tmp_path


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 6


@pytest.mark.parametrize("command", COMMANDS)
def test_command(command: str, home: Path) -> None:
    words = shlex.split(command.replace("~", str(home)))
    done = _run(home, "-m", "mgsv", *words[1:])
    assert done.returncode == 0, done.stderr


def test_python(home: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, re.S)
    done = _run(home, "-c", block)
    assert done.returncode == 0, done.stderr
    assert (home / "out.mp4").stat().st_size > 100_000


def test_the_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_demo(tmp_path: Path) -> None:
    real_media.bikes()
    done = subprocess.run(
        [sys.executable, "-m", "mgsv.demo", "--output", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "machine-made" in done.stdout and "funkyrobot.mp3" in done.stdout
    assert (tmp_path / "demo" / "bikes.mgsv.mp4").exists()


def _run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOME": str(home), "MGSV_LIBRARY": str(home / "library")}
    return subprocess.run(
        [sys.executable, *arguments], cwd=home, env=environment, capture_output=True, text=True
    )
