"""The README's commands and code, run as they stand, on real files."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import real_media
from media_files import Clip, write_video
from mgsv.media.audio import read_audio
from model_support import Golden
from planted_small import TINY
from subprocesses import mgsv_here

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PRODUCT, _, RESEARCH = README.partition("## For researchers")
COMMANDS = sorted(
    {line.removeprefix(".venv/bin/") for line in re.findall(r"^\.venv/bin/mgsv .*$", PRODUCT, re.M)}
    | set(re.findall(r"`(mgsv [^`]*)`", PRODUCT)) - {"mgsv studio --music ~/Music"}
)
"""All but the studio, which runs until it is stopped; tests/studio start it."""
RESEARCH_COMMANDS = re.findall(r"`(mgsv [^`]*)`", RESEARCH)
TINY_SET = "".join(f" --set {change}" for change in TINY)
MADE_SMALLER = {
    "mgsv data plant": " --train 64 --val 16 --test 16 --tracks 20",
    "mgsv train": TINY_SET,
    "mgsv reproduce ablations": f"{TINY_SET} --rows full",
    "mgsv reproduce table": " --preset tiny --models mvpt",
    "mgsv import": " --set heads=4 --set canvas_seconds=35"
    " --set max_frames=9 --set max_segments=14",
}
"""What the test adds to a command of research, so that it takes seconds."""


@pytest.fixture
def home(tmp_path: Path, own_library: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with the files the README speaks of; the working folder too."""
    monkeypatch.setenv("HOME", str(tmp_path))
    music = tmp_path / "Music"
    music.mkdir()
    for track in real_media.bgm_tracks()[:3]:
        shutil.copy(track, music)
    shutil.copy(real_media.bgm_tracks()[3], tmp_path / "song.mp3")
    shutil.copy(real_media.big_buck_bunny(), tmp_path / "clip.mp4")
    sound = read_audio(real_media.bgm_tracks()[0], 48_000).samples[: 8 * 48_000]
    write_video(tmp_path / "published.mp4", Clip(seconds=8), audio=sound)
    (tmp_path / "clips").mkdir()
    write_video(tmp_path / "clips" / "one.mp4", Clip(seconds=2))
    return tmp_path


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 6


def test_it_is_short_and_begins_with_a_picture() -> None:
    lines = README.splitlines()
    assert len(lines) <= 120
    assert "](docs/images/studio-" in "".join(lines[:6])


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_command(command: str, home: Path) -> None:
    words = shlex.split(command.replace("~", str(home)))
    done = mgsv_here(*words[1:])
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_researchers_commands_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the download, in one folder, the planted data standing in for MGSV-EC."""
    assert len(RESEARCH_COMMANDS) >= 8
    monkeypatch.chdir(tmp_path)
    torch.save(Golden("made_full").weights, tmp_path / "authors.bin")
    for command in RESEARCH_COMMANDS:
        if command.startswith("mgsv data download"):
            shutil.copytree(tmp_path / "planted", tmp_path / "mgsv-ec")
            shutil.rmtree(tmp_path / "mgsv-ec" / "packed")
            continue
        more = next((v for k, v in MADE_SMALLER.items() if command.startswith(k)), "")
        more += " --files" if command.startswith("mgsv data plant") else ""
        done = mgsv_here(*shlex.split(command + more)[1:])
        assert done.returncode == 0, f"{command}: {done.stderr}"
    for made in ("report/index.html", "ablations/ablations.html", "made.safetensors"):
        assert (tmp_path / made).exists()


@pytest.mark.slow
def test_python(home: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, re.S)
    done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (home / "out.mp4").stat().st_size > 100_000


def test_the_links_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.slow
def test_the_demo(tmp_path: Path) -> None:
    real_media.bikes()
    real_media.city()
    done = subprocess.run(
        [sys.executable, "-m", "mgsv.demo", "--output", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "machine-made" in done.stdout and "funkyrobot.mp3" in done.stdout
    assert (tmp_path / "demo" / "edit.mgsv.mp4").exists()
    # The answer is the song and the place that the clip was cut to, and not by luck.
    (first,) = re.findall(r"^ *1 +happy_acoustic_s411\S* +(\S+)–", done.stdout, re.MULTILINE)
    (cut,) = re.findall(r"cut to happy_acoustic_s411.opus from (\S+) on", done.stdout)
    assert first == cut
    assert "nothing here fits better" not in done.stderr
    assert done.stdout.rstrip().endswith(f"--clips {tmp_path / 'demo'}")
