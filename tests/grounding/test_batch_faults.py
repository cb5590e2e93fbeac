"""A batch and a watch where clips or their surroundings are at fault, and what a person is told."""

from __future__ import annotations

import csv
import shutil
import time
from pathlib import Path

import av
import pytest

import real_media
from media_files import Clip, write_video
from mgsv import GroundOptions, Library, Session
from mgsv.grounding.batch import find_clips, ground_clips, run, watch, watch_folder
from mgsv.grounding.batch.journal import NAME, Journal
from mgsv.grounding.batch.watch import WatchOptions
from mgsv.media import voices
from subprocesses import Run


@pytest.fixture
def session(bundled: Library) -> Session:
    return Session(bundled, method="sync")


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A folder with a clip of its own and two whose results would have the same name."""
    folder = tmp_path / "pair"
    folder.mkdir()
    write_video(folder / "a.mp4", Clip(seconds=1.2))
    shutil.copy(folder / "a.mp4", folder / "a.mov")
    write_video(folder / "z.mp4", Clip(seconds=1.4))
    return folder


SHARED = (
    "a.mov and a.mp4 would be written as one file, a.mgsv.mp4: rename one of them, or name a "
    "single clip and its `output`"
)


def test_clips_of_one_result_stop_no_other(session: Session, pair: Path) -> None:
    report = ground_clips(session, find_clips([pair]))
    states = {item.clip.name: item.state for item in report}
    assert states == {"a.mov": "failed", "a.mp4": "failed", "z.mp4": "written"}
    assert {item.problem for item in report.failed} == {SHARED}


def test_a_watch_names_clips_of_one_result_once_and_goes_on(session: Session, pair: Path) -> None:
    late = pair / "late.mp4"

    def sleep(_: float) -> None:
        time.sleep(0.02)
        if not late.exists():
            shutil.copy(pair / "z.mp4", late)

    options = WatchOptions(interval=0.01, settle=0.02, once=True)
    items = list(watch_folder(session, pair, watch=options, sleep=sleep))
    assert sorted((item.clip.name, item.state) for item in items) == [
        ("a.mov", "failed"), ("a.mp4", "failed"), ("late.mp4", "written"), ("z.mp4", "written"),
    ]  # fmt: skip
    assert {item.problem for item in items if item.state == "failed"} == {SHARED}


def test_music_that_is_away_for_a_moment_is_no_fault_of_a_clip(
    pair: Path, tmp_path: Path, own_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said once, tried again when a minute is over, and not remembered."""
    (pair / "a.mov").unlink()
    music, away = tmp_path / "music", tmp_path / "away"
    music.mkdir()
    for track in real_media.bgm_tracks()[:3]:
        shutil.copy(track, music)
    monkeypatch.setattr(watch, "RETRY", 0.2)
    looks = 0

    def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        time.sleep(0.05)
        if looks == 20:
            away.rename(music)
        assert looks < 400, "it is not tried again"

    options = WatchOptions(interval=0.01, settle=0.02)
    with Session.open(music, method="sync") as session:
        music.rename(away)
        items = watch_folder(session, pair, watch=options, sleep=sleep)
        told = [next(items) for _ in range(4)]
        items.close()  # type: ignore[attr-defined]
    assert [item.state for item in told] == 2 * ["failed"] + 2 * ["written"]
    journal = Journal(pair)
    assert '"unreadable"' not in journal.path.read_text()
    journal.close()


def test_a_track_that_is_gone_when_it_is_rendered_is_no_fault_of_a_clip(
    pair: Path, tmp_path: Path, own_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pair / "a.mov").unlink()
    (pair / "z.mp4").unlink()
    music = tmp_path / "music"
    music.mkdir()
    (track,) = (Path(shutil.copy(one, music)) for one in real_media.bgm_tracks()[:1])
    place = run.ClipBatch._place
    with Session.open(music, method="sync") as session:

        def gone(batch: run.ClipBatch, one: run._Clip, options: GroundOptions) -> None:
            place(batch, one, options)
            track.rename(tmp_path / track.name)

        with monkeypatch.context() as patch:
            patch.setattr(run.ClipBatch, "_place", gone)
            (item,) = ground_clips(session, find_clips([pair]))
        assert item.state == "failed" and track.name in item.problem and item.may_pass
        assert '"unreadable"' not in (pair / NAME).read_text()
        (tmp_path / track.name).rename(track)
        (item,) = watch_folder(session, pair, watch=WatchOptions(0.01, 0.02, once=True))
    assert item.state == "written"


@pytest.mark.parametrize("words", [["ground"], ["watch", "--once"]])
def test_sound_that_cannot_be_made_is_one_error_before_anything_runs(
    mgsv: Run, pair: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr(voices, "is_installed", lambda: False)
    music = real_media.bgm_tracks()[0]
    how = ("--method", "sync", "--keep-audio", "--duck", "deep")
    refused = mgsv(*words, pair, "--music", music, *how)
    assert refused.returncode == 1
    assert "--duck deep, under speech alone, needs the package" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not (pair / NAME).exists()


NOTE = "where the clip was taken"


def located(path: Path) -> None:
    """A clip that says where it was taken."""
    plain = path.with_name("plain.mp4")
    write_video(plain, Clip(seconds=1.3))
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        target.metadata["location"] = "+48.2082+016.3738/"
        (picture,) = source.streams.video
        stream = target.add_stream_from_template(picture)
        for packet in source.demux(picture):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    plain.unlink()


@pytest.mark.parametrize(
    "words", [["ground"], ["watch", "--once", "--settle", "0.1", "--interval", "0.1"]]
)
def test_notes_of_clips_are_said_as_those_of_a_single_one(
    mgsv: Run, tmp_path: Path, own_library: Path, words: list[str]
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    located(folder / "a.mp4")
    how = ("--music", real_media.bgm_tracks()[0], "--method", "sync")
    alone = mgsv("ground", folder / "a.mp4", *how, "-o", tmp_path / "alone.mp4")
    (note,) = [line for line in alone.stderr.splitlines() if NOTE in line]
    done = mgsv(*words, folder, *how)
    assert done.returncode == 0, done.stderr
    assert note.replace("note: ", "note: a.mp4: ", 1) in done.stderr.splitlines()


def test_notes_of_joins_are_said_without_a_video_too(
    mgsv: Run, tmp_path: Path, own_library: Path
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    write_video(folder / "a.mp4", Clip(seconds=6))
    how = ("--method", "sync", "--no-render", "--end", "natural")
    done = mgsv("ground", folder, "--music", real_media.bgm_tracks()[0], *how)
    assert done.returncode == 0, done.stderr
    ends = ("the music ends with a phrase", "no phrase ends near the clip's end")
    assert any(f"note: a.mp4: {end}" in done.stderr for end in ends)


def test_a_watch_says_what_failed_before(mgsv: Run, tmp_path: Path, own_library: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    write_video(folder / "a.mp4", Clip(seconds=0.5))
    how = ("--music", real_media.bgm_tracks()[0], "--method", "sync")
    watching = ("watch", "--once", "--settle", "0.1", "--interval", "0.1")
    first = mgsv(*watching, folder, *how)
    assert first.returncode == 1 and "left out: a.mp4: the clip is only" in first.stderr
    again = mgsv(*watching, folder, *how)
    assert again.returncode == 1
    assert "left out: a.mp4: it failed before: the clip is only" in again.stderr
    assert "1 clip failed before, left out until it changes" in again.stderr
    write_video(folder / "a.mp4", Clip(seconds=1.5))
    assert mgsv(*watching, folder, *how).returncode == 0


def test_a_batch_that_goes_on_writes_its_own_lists_anew(
    mgsv: Run, tmp_path: Path, own_library: Path
) -> None:
    folder, report, credits = tmp_path / "clips", tmp_path / "r.csv", tmp_path / "c.txt"
    (folder / "more").mkdir(parents=True)
    write_video(folder / "a.mp4", Clip(seconds=1.3))
    how = ("--music", real_media.bgm_tracks()[0], "--method", "sync")
    lists = ("--report", report, "--credits", credits)
    assert mgsv("ground", folder, *how, *lists).returncode == 0
    write_video(folder / "more/a.mp4", Clip(seconds=1.3))
    again = mgsv("ground", folder, *how, *lists)
    assert again.returncode == 0, again.stderr
    with report.open(newline="") as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["done before", "written"]
    names = [line.partition(": ")[0] for line in credits.read_text().splitlines()]
    assert names == [str(folder / "a.mp4"), str(folder / "more/a.mp4")], "a line for each"
    credits.write_text("the user's own\n")
    refused = mgsv("ground", folder, *how, *lists)
    assert refused.returncode == 1 and "c.txt: it exists already" in refused.stderr
    assert credits.read_text() == "the user's own\n"
    other = mgsv("ground", folder, *how, "--no-render", "--report", report)
    assert other.returncode == 1 and "r.csv: it exists already" in other.stderr
    assert mgsv("ground", folder, *how, *lists, "--overwrite").returncode == 0
