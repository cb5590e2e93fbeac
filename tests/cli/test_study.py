"""`mgsv study` as a person meets it: what is printed, and one line for each problem."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from study_listeners import Crowd, paper_key, paper_study, simulated

from media_files import Clip, write_video
from mgsv.study.answers import AnswerBook
from mgsv.study.study import open_study
from subprocesses import mgsv_here
from tunes import RATE, tune, write_tunes


@pytest.fixture
def answered(tmp_path: Path) -> Path:
    """A study without its media's content, answered by five simulated listeners."""
    study = paper_study(clips=4, systems=2, trials=4, checks=1, folder=tmp_path / "study")
    key = paper_key(study)
    (study.folder / "media").mkdir()
    for clip in study.clips:
        for name in (clip.picture, *(one.sound for one in clip.variants)):
            (study.folder / "media" / name).write_bytes(b"")
    (study.folder / "study.json").write_text(json.dumps(study.document()))
    (study.folder / "key.json").write_text(json.dumps(key.document()))
    book = AnswerBook(study)
    for listener in simulated(study, Crowd((2.0, 0.0), lapses=0), range(5), seed=1):
        token = book.start().token
        for answer in listener.answers.values():
            book.add(token, answer)
    return study.folder


@pytest.mark.slow
def test_a_report(answered: Path, tmp_path: Path) -> None:
    done = mgsv_here("study", "report", answered, "-o", tmp_path / "report", "--resamples", "100")
    assert done.returncode == 0, done.stderr
    assert "5 of 5 sessions count, 5 of them complete; 4 clips" in done.stdout
    assert "system0 over system1: " in done.stdout
    names = "answers.csv bars.png bars.svg report.json report.txt strengths.csv win_rates.csv"
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == names.split()
    again = mgsv_here("study", "report", answered, "-o", tmp_path / "report")
    assert again.returncode == 1 and "it exists already" in again.stderr


def test_a_damaged_line_is_named_and_the_rest_counts(answered: Path) -> None:
    path = sorted((answered / "answers").iterdir())[0]
    path.write_bytes(path.read_bytes() + b"{\n")
    done = mgsv_here("study", "report", answered, "--json", "--resamples", "100")
    assert done.returncode == 1
    assert f"left out: {path}: line 12: " in done.stderr and len(done.stderr.splitlines()) == 1
    assert json.loads(done.stdout)["schema"] == "mgsv.study-report/1"


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ("report nowhere", "nowhere: no study: make one with `mgsv study create`"),
        ("report . --resamples 5", "--resamples 5: needs at least 100"),
        ("create -o s", "--clips is missing: name a folder"),
        ("create --clips . -o s", "--music is missing: name a folder"),
        ("create --clips . -m . -o s --systems made", "--systems made: two are needed"),
        ("create --clips . -m . -o s --model made", "--model made: no name and file"),
        ("create --clips . -m . -o s --model sync=x", "--systems original,made: sync is not"),
        ("create --clips . -m . -o s --systems made,mad", "mad: no such method"),
        ("create --clips . -m . -o s --systems made,composite", "no model is named"),
        ("create --clips . -m . -o no/s", "no/s: the folder it should go to does not exist"),
        ("create --clips empty -m . -o s", "empty: no videos: name a video or a folder"),
    ],
)
def test_problems_are_one_line(
    arguments: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    done = mgsv_here("study", *arguments.split())
    assert done.returncode == 1
    assert problem in done.stderr and len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_showcase_says_how_many_clips_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).touch()
    arguments = ("a.mp4", "b.mp4", "-m", ".", "-o", "page", "--most-clips", "1")
    done = mgsv_here("showcase", *arguments)
    assert done.returncode == 1
    assert "2 clips are more than 1: give fewer, or allow --most-clips" in done.stderr
    assert not (tmp_path / "page").exists()


@pytest.mark.slow
def test_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_tunes(tmp_path / "music", range(2))
    (tmp_path / "clips").mkdir()
    for name, samples in (("with", tune(1, 6)), ("without", None)):
        sound = None if samples is None else samples.repeat(48_000 // RATE)
        clip = Clip(seconds=6, rate=10, cuts=(1.5, 3.1))
        write_video(tmp_path / "clips" / f"{name}.mp4", clip, audio=sound)
    command = "study create --clips clips -m music -o study --library library"
    done = mgsv_here(*command.split(), "--systems", "original,sync")
    assert done.returncode == 1, done.stderr
    assert "with.mp4  original: tune1.wav 00:00.0–00:06.0" in done.stdout
    left_out = f"left out: {tmp_path}/clips/without.mp4: it has no sound of its own"
    assert left_out in done.stderr
    assert len(open_study(tmp_path / "study").clips) == 1
