"""`mgsv explain`: the same grounding as `mgsv ground`, and pictures of it."""

from __future__ import annotations

import inspect
import json
import shutil
from pathlib import Path

import click
import pytest

import mgsv as package
import real_media
from mgsv.cli import app
from subprocesses import mgsv_here

HOW = ("--library", "library", "--music")


@pytest.fixture
def here(tmp_path: Path, own_library: Path) -> Path:
    """The working folder, with a clip, a library, and music that is in it."""
    (tmp_path / "music").mkdir()
    for track in real_media.bgm_tracks()[:2]:
        shutil.copy(track, tmp_path / "music")
    shutil.copy(real_media.bikes(), tmp_path / "clip $1.mp4")
    return tmp_path


@pytest.mark.slow
def test_a_picture_per_moment_and_sentences(here: Path) -> None:
    done = mgsv_here("explain", "clip $1.mp4", *HOW, "music", "--top", "2", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == "mgsv.explanation/1"
    names = ["clip $1.explain.1.png", "clip $1.explain.2.png"]
    assert [picture["path"] for picture in document["pictures"]] == names
    assert all((here / name).read_bytes().startswith(b"\x89PNG") for name in names)
    assert "of 5 cuts fall on a beat" in document["pictures"][0]["reasons"][0]

    same = mgsv_here("ground", "clip $1.mp4", *HOW, "music", "--json", "--no-render", "--top", "2")
    assert json.loads(same.stdout) == document["grounding"]

    before = (here / names[0]).read_bytes()
    refused = mgsv_here("explain", "clip $1.mp4", *HOW, "music")
    assert refused.returncode == 1 and "--overwrite" in refused.stderr
    assert (here / names[0]).read_bytes() == before

    done = mgsv_here("explain", "clip $1.mp4", *HOW, "music", "--output", "why.svg")
    assert done.returncode == 0 and done.stderr.endswith("picture: why.svg\n")
    sentences = [line.strip() for line in done.stdout.splitlines()[1:]]
    assert sentences == document["pictures"][0]["reasons"]
    picture = (here / "why.svg").read_text()
    assert all(sentence in picture for sentence in sentences)
    assert not list(here.glob(".mgsv-*"))


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["clip $1.mp4"], 1, "--music"),
        (["clip $1.mp4", *HOW, "music", "-o", "why.pdf"], 1, ".png, .svg"),
        (["clip $1.mp4", *HOW, "music", "-o", "why.png", "--format", "svg"], 1, "--format svg"),
        (["clip $1.mp4", *HOW, "music", "-o", "no/such.png"], 1, "does not exist"),
        (["clip $1.mp4", *HOW, "music", "-o", "pictures"], 1, "no folder of that name"),
        (["clip $1.mp4", *HOW, "music", "--format", "pdf"], 2, "svg"),
        (["clip $1.mp4", *HOW, "music", "--top", "0"], 1, "--top"),
        (["music", *HOW, "music"], 1, "folder"),
    ],
)
def test_wrong_use_is_one_clear_line(
    arguments: list[str], status: int, words: str, here: Path
) -> None:
    done = mgsv_here("explain", *arguments)
    assert done.returncode == status and done.stdout == ""
    assert words in done.stderr and "Traceback" not in done.stderr
    assert not list(here.glob("*.png"))


def test_it_grounds_as_ground_does_and_is_the_function() -> None:
    def offered(name: str) -> dict[str | None, object]:
        command = app.commands[name]
        parsed = command.make_context(name, ["clip.mp4"]).params
        options = [option for option in command.params if isinstance(option, click.Option)]
        return {option.name: parsed[option.name] for option in options if option.expose_value}

    ground, explain = offered("ground"), offered("explain")
    own = {"top", "output", "format", "overwrite", "as_json"}
    only_ground = {"accept", "timeline", "render", "keep_audio", "alpha", "strip_metadata"}
    only_ground |= {"duck", "end", "markers", "credits", "repeat", "report"}
    assert {k: v for k, v in explain.items() if k not in own} == {
        k: v for k, v in ground.items() if k not in own | only_ground
    }
    for name, parameter in inspect.signature(package.explain).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            assert explain[name] == parameter.default, name


@pytest.mark.slow
def test_a_folder_of_clips_is_one_page(here: Path) -> None:
    (here / "clips").mkdir()
    shutil.copy(here / "clip $1.mp4", here / "clips/good <1>.mp4")
    (here / "clips/bad.mp4").write_bytes(b"no video")
    (here / "clips/good.mgsv.mp4").write_bytes(b"a finished one")
    done = mgsv_here("explain", "clips", *HOW, "music")
    assert done.returncode == 1 and done.stderr.count("left out: ") == 1, done.stderr
    page = (here / "clips/explain.html").read_text()
    assert page.count('<img alt="') == page.count("data:image/png;base64,iVBOR") == 1
    assert "good &lt;1&gt;.mp4" in page and "bad.mp4" in page and "good.mgsv" not in page
    again = mgsv_here("explain", "clips", *HOW, "music")
    assert again.returncode == 1 and "--overwrite" in again.stderr
    assert (here / "clips/explain.html").read_text() == page
    named = mgsv_here("explain", "clips/good <1>.mp4", "clip $1.mp4", *HOW, "music", "-o", "2.html")
    assert named.returncode == 0, named.stderr
    assert (here / "2.html").read_text().count('<img alt="') == 2
