"""`mgsv ground --timeline`."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import pytest

import real_media
from media_files import Clip, sine, write_video
from subprocesses import mgsv_here
from timeline_support import read


@pytest.fixture
def ground(tmp_path: Path, bundled_folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A command line for a clip at 12.5 frames per second, and one track that is indexed."""
    shutil.copytree(bundled_folder, tmp_path / "library")
    monkeypatch.setenv("MGSV_LIBRARY", str(tmp_path / "library"))
    clip = Clip(4.0, rate=12.5, cuts=[1.2, 2.0, 3.04], width=64, height=48)
    video = write_video(tmp_path / "clip.mp4", clip, audio=sine(4.0, 48_000))
    options = ["--music", str(real_media.bgm_tracks()[0]), "--method", "sync", "--no-render"]
    return ["ground", str(video), *options]


def test_it_says_what_it_writes(tmp_path: Path, ground: list[str]) -> None:
    for suffix, note in ((".xml", True), (".edl", True), (".otio", False)):
        cut = tmp_path / f"cut{suffix}"
        done = mgsv_here(*ground, "--timeline", cut, "--keep-audio")
        assert done.returncode == 0, done.stderr
        assert f"timeline: {cut}" in done.stderr
        assert ("12.5 frames per second; the timeline has 25" in done.stderr) == note
        picture, own, music = read(cut, Fraction(25))
        assert (picture.name, own.name) == ("clip.mp4", "clip.mp4")
        assert music.name == real_media.bgm_tracks()[0].name
        assert picture.seconds == 4
    done = mgsv_here(*ground, "--timeline", tmp_path / "plain.otio")
    assert done.returncode == 0, done.stderr
    assert [played.channel for played in read(tmp_path / "plain.otio", Fraction(25))] == ["V", "A"]


def test_what_cannot_be_written_stops_before_the_analysis(
    tmp_path: Path, ground: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mgsv.library.Library.open", None)
    (tmp_path / "there.xml").write_text("mine")
    for name, problem in (("cut.fcpxml", ".otio, .edl, .xml"), ("there.xml", "exists already")):
        done = mgsv_here(*ground, "--timeline", tmp_path / name)
        assert done.returncode == 1
        assert problem in done.stderr
    assert (tmp_path / "there.xml").read_text() == "mine"


def test_music_that_enters_later(tmp_path: Path, ground: list[str]) -> None:
    cut = tmp_path / "cut.otio"
    done = mgsv_here(*ground, "--timeline", cut, "--music-at", "1.2")
    assert done.returncode == 0, done.stderr
    picture, music = read(cut, Fraction(25))
    assert (picture.at, picture.seconds) == (0, 4)
    assert abs(music.at - Fraction(6, 5)) <= Fraction(1, 96_000)
    assert abs(music.seconds - Fraction(14, 5)) <= Fraction(1, 48_000)
    for at in ("-1", "3.5", "nan"):
        done = mgsv_here(*ground, "--timeline", tmp_path / "no.otio", "--music-at", at)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("mgsv: --music-at") and not (tmp_path / "no.otio").exists()
