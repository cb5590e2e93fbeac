"""What is printed where stdout and stderr lack characters: nothing fails, and it stays readable."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import real_media
from media_files import Clip, write_video
from mgsv.cli import app, main
from mgsv.cli.streams import printable, readable_streams
from tunes import tune, write_tunes

NAME = "-Ünïcode – 🎵\n1.opus"


class Streams:
    """Runs `mgsv` in this process with streams that refuse what their encoding lacks."""

    def __init__(self, patch: pytest.MonkeyPatch, encoding: str) -> None:
        self._patch, self._encoding = patch, encoding

    def __call__(self, *arguments: str | Path) -> tuple[int, str, str]:
        """(status, what it printed on stdout, and on stderr)."""
        streams = {
            name: io.TextIOWrapper(io.BytesIO(), self._encoding, "strict")
            for name in ("stdout", "stderr")
        }
        with self._patch.context() as patch:
            for name, stream in streams.items():
                patch.setattr(sys, name, stream)
            status = main([str(argument) for argument in arguments])
        for stream in streams.values():
            assert stream.errors == "strict", "the streams are left as they were"
            stream.seek(0)
        return status, streams["stdout"].read(), streams["stderr"].read()


@pytest.fixture
def mgsv(monkeypatch: pytest.MonkeyPatch) -> Streams:
    return Streams(monkeypatch, "ascii")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MGSV_LIBRARY", str(tmp_path / "library"))
    return tmp_path


def commands(group: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    if isinstance(group, click.Group):
        for name, command in group.commands.items():
            yield from commands(command, (*words, name))


def test_every_help(mgsv: Streams) -> None:
    for words in commands(app):
        status, printed, _ = mgsv(*words, "--help")
        assert status == 0 and printed.startswith("Usage: ") and printed.isascii(), words


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_the_library(
    monkeypatch: pytest.MonkeyPatch, encoding: str, here: Path, bundled_folder: Path
) -> None:
    mgsv = Streams(monkeypatch, encoding)
    shutil.copytree(bundled_folder, here / "library")
    (here / "Müsic").mkdir()
    shutil.copy(real_media.bgm_tracks()[0], here / "Müsic" / NAME)
    (here / "Müsic" / "schön–.mp3").write_text("no music")
    status, _, errors = mgsv("library", "add", "Müsic", "--progress", "machine")
    assert status == 1 and "left out: " in errors
    assert mgsv("library", "list", "Müsic")[1].count("\n") == 1
    status, printed, _ = mgsv("library", "list", "Müsic", "--json")
    assert NAME in [Path(track["path"]).name for track in json.loads(printed)["tracks"]]
    assert mgsv("library", "check", "Müsic")[0] == 0
    result = {
        "schema": "mgsv.grounding/1",
        "video": {"path": str(here / "Clïp 🎬.mp4"), "duration": 4.0},
        "moments": [
            {"rank": 1, "track": str(here / "Müsic" / NAME), "start": 1.0, "end": 5.0, "score": 1}
        ],
    }
    (here / "result.json").write_text(json.dumps(result))
    status, _, errors = mgsv("accept", "result.json", "--category", "Füße 🦶")
    assert status == 0 and "00:01.0" in errors
    status, printed, _ = mgsv("library", "uses", "list")
    assert status == 0 and "F" in printed
    assert mgsv("library", "uses", "edit", "1", "--category", "Früh – 🌅")[0] == 0
    assert mgsv("library", "uses", "export", "nützlich.csv")[0] == 0
    with (here / "nützlich.csv").open("a", encoding="utf-8") as lines:
        lines.write("ü,🎵,–" + "\n")
    assert mgsv("library", "learn", "nützlich.csv")[0] == 0
    assert mgsv("library", "remove", "Müsic")[0] == 0
    status, _, errors = mgsv("library", "remove", "Müsic 🎵")
    assert status == 1 and errors.count("\n") == 1


@pytest.mark.slow
def test_grounding_and_its_picture(mgsv: Streams, here: Path, bundled_folder: Path) -> None:
    shutil.copytree(bundled_folder, here / "library")
    (here / "music").mkdir()
    shutil.copy(real_media.bgm_tracks()[0], here / "music" / NAME)
    shutil.copy(real_media.bikes(), here / "Clïp 🎬.mp4")
    how = ("Clïp 🎬.mp4", "--music", "music", "--method", "sync")
    status, printed, errors = mgsv("ground", *how, "--no-render")
    assert status == 0, errors
    head, rule, first, *_ = [line for line in printed.splitlines() if line.strip()]
    assert head.split() == ["rank", "track", "moment", "score", "music", "why"]
    assert set(rule) <= {" ", "-", "─"} and "|" not in printed
    # Replaced before the widths were measured: the columns stand under their heads.
    assert first.index("00:") == head.index("moment")
    status, printed, errors = mgsv("explain", *how)
    assert status == 0 and "1. -" in printed, errors


def test_annotate(mgsv: Streams, here: Path) -> None:
    (tune_file,) = write_tunes(here / "music", range(1), 12)
    tune_file.rename(tune_file.with_name("Tüne – 🎵.wav"))
    clip = Clip(seconds=10, rate=5, width=64, height=48, colours=[(80, 80, 80)])
    write_video(here / "Clïp 🎬.mp4", clip, audio=tune(0, 10), audio_rate=8_000)
    write_video(here / "stümm.mp4", clip)
    status, printed, errors = mgsv(
        "annotate", "Clïp 🎬.mp4", "stümm.mp4", "--music", "music", "-o", "ö.csv"
    )
    assert status == 0, errors
    assert "1 moments in 2 videos" in printed and "left out: st" in errors


@pytest.mark.sampled
@pytest.mark.parametrize("words", [("models",), ("train", "made", "--settings"), ("doctor",)])
def test_what_is_known(mgsv: Streams, words: tuple[str, ...]) -> None:
    status, printed, errors = mgsv(*words)
    assert status == 0 and printed, errors


@pytest.mark.parametrize("words", [("ground", "Clïp 🎬.mp4"), ("Füß🦶",), ("library", "add", "–")])
def test_errors(mgsv: Streams, words: tuple[str, ...]) -> None:
    status, _, errors = mgsv(*words)
    assert status and errors and "unexpected" not in errors


@pytest.mark.slow
def test_in_a_process_whose_names_are_ascii_too(here: Path, bundled_folder: Path) -> None:
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    shutil.copytree(bundled_folder, here / "library")
    (here / "music").mkdir()
    shutil.copy(real_media.bgm_tracks()[0], here / "music" / NAME)
    shutil.copy(real_media.bikes(), here / "Clïp 🎬.mp4")
    words = ("ground", "Clïp 🎬.mp4", "--music", "music", "--method", "sync", "--no-render")
    done = subprocess.run(
        [sys.executable, "-m", "mgsv", *words],
        env=os.environ | plain | {"PYTHONIOENCODING": "ascii:strict"},
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii() and b"00:" in done.stdout


def test_what_is_lacking_is_typed_or_escaped() -> None:
    assert printable("0:01–0:02 … 2 × 3", "ascii") == "0:01-0:02 ... 2 x 3"
    assert printable("ü–ü", "latin-1") == "ü-ü"
    assert printable("ü🎵", "ascii") == r"\xfc\U0001f3b5"
    assert printable("ü – 🎵 ─", "utf-8") == "ü – 🎵 ─"
    assert printable(os.fsdecode(b"\xff"), "utf-8") == r"\udcff"
    assert printable("–", None) == "–"


def test_streams_that_are_no_files_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with readable_streams():
        print("ü –")
    assert sys.stdout.getvalue() == "ü –\n"
