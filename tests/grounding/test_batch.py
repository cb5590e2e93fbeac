"""Many clips at once: which track for which clip, going on after a bad one, and after a kill."""

from __future__ import annotations

import csv
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import av
import pytest

import real_media
from media_files import Clip, write_video
from mgsv import GroundOptions, Library, Session
from mgsv.errors import ConfigError, MgsvError
from mgsv.grounding.batch import BatchOptions, find_clips, ground_clips, run, watch_folder
from mgsv.grounding.batch.assign import AGAIN, choices_needed, choose_tracks, most_uses
from mgsv.grounding.batch.journal import NAME, Journal
from mgsv.grounding.batch.watch import WatchOptions
from mgsv.methods.base import Candidate, Placed, Placement, Query
from subprocesses import Run


def cost(choices: list[dict[str, float]], chosen: tuple[str, ...], spread: float) -> float:
    regret = sum(
        (max(own.values()) - own[track]) / spread
        for own, track in zip(choices, chosen, strict=True)
    )
    return regret + sum(AGAIN * n * (n - 1) / 2 for n in Counter(chosen).values())


@pytest.mark.parametrize("seed", range(20))
def test_the_choice_is_the_cheapest_of_all(seed: int) -> None:
    """Against trying all: where no two in a row are the same, it is the least cost there is."""
    draw = random.Random(seed)
    choices = [{t: draw.random() for t in draw.sample("abcdef", 4)} for _ in range(5)]
    found = tuple(choose_tracks(choices, 2))
    ranges = sorted(max(own.values()) - min(own.values()) for own in choices)
    allowed = [one for one in itertools.product(*choices) if max(Counter(one).values()) <= 2]
    least = min(cost(choices, one, ranges[2]) for one in allowed)
    assert all(a != b for a, b in itertools.pairwise(found))
    apart = [one for one in allowed if all(a != b for a, b in itertools.pairwise(one))]
    best = min(cost(choices, one, ranges[2]) for one in apart)
    assert least - 1e-9 <= cost(choices, found, ranges[2]) <= best + 1.0


@pytest.mark.parametrize(("clips", "tracks"), [(40, 1000), (100, 30), (30, 2), (7, 3), (5, 100)])
def test_forty_clips_that_are_alike_share_the_tracks(clips: int, tracks: int) -> None:
    """All want the same: none is used beyond its share and two, none twice in a row."""
    scores = {f"t{n}": -float(n) for n in range(choices_needed(clips, tracks))}
    found = choose_tracks([scores] * clips, most_uses(clips, tracks))
    assert max(Counter(found).values()) <= -(-clips // tracks) + 2
    assert all(a != b for a, b in itertools.pairwise(found))


def test_what_stands_beside_is_not_repeated() -> None:
    both = {"a": 1.0, "b": 0.9, "c": 0.0}
    assert choose_tracks([both], 3, beside=[("a", None)]) == ["b"]
    assert choose_tracks([both], 3, beside=[("a", "b")]) == ["c"]
    assert choose_tracks([both], 3, used={"a": 3}) == ["b"]
    assert choose_tracks([{"a": 1.0}], 3, beside=[("a", None)]) == ["a"], "there is no other"


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Four clips, one of them no video, and a result of an earlier day."""
    folder = tmp_path / "clips"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(["a", "b", "more/c"]):
        write_video(folder / f"{name}.mp4", Clip(seconds=1.2 + 0.2 * number))
    (folder / "bad.mp4").write_bytes(b"no video")
    (folder / "old.mgsv.mp4").write_bytes(b"a result")
    (folder / "notes.txt").write_text("no clip")
    return folder


@pytest.fixture
def session(bundled: Library) -> Session:
    return Session(bundled, method="sync")


def states(report: object) -> dict[str, str]:
    return {item.clip.name: item.state for item in report}  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_bad_clip_stops_no_other_and_a_second_run_does_what_is_missing(
    session: Session, clips: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    found = find_clips([clips], out)
    report = ground_clips(session, found)
    assert states(report) == {
        "a.mp4": "written", "b.mp4": "written", "bad.mp4": "failed", "c.mp4": "written",
    }  # fmt: skip
    (bad,) = report.failed
    assert "bad.mp4" not in bad.problem and bad.problem
    chosen = [item.choice["track"] for item in report if item.choice]
    assert len(set(chosen)) == 3
    whole = out / "more/c.mgsv.mp4"
    before = whole.stat().st_ino
    (out / "a.mgsv.mp4").unlink()
    (clips / "bad.mp4").unlink()
    write_video(clips / "new.mp4", Clip(seconds=1.9))
    again = ground_clips(session, find_clips([clips], out))
    assert states(again) == {
        "a.mp4": "written", "b.mp4": "done before", "new.mp4": "written", "c.mp4": "done before",
    }  # fmt: skip
    assert whole.stat().st_ino == before
    assert [item.choice["track"] for item in again if item.clip.name != "new.mp4"] == chosen
    for name in ("a", "b", "new", "more/c"):
        with av.open(str(out / f"{name}.mgsv.mp4")) as file:
            assert file.streams.audio
    write_video(clips / "b.mp4", Clip(seconds=3))
    (changed,) = ground_clips(session, find_clips([clips / "b.mp4"], out)).failed
    assert changed.problem.startswith("the clip has changed since its result was written")


@pytest.mark.parametrize("room", [0, 10**9])
def test_a_moment_is_looked_for_on_chosen_tracks_alone_as_for_one_clip(
    session: Session, clips: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Whether clips stay in memory or are read again."""
    placed: list[int] = []
    place = session.method.placer.place

    def counted(query: Query, candidates: list[Candidate], placement: Placement) -> list[Placed]:
        placed.append(len(candidates))
        return place(query, candidates, placement)

    (clips / "bad.mp4").unlink()
    monkeypatch.setattr(run, "KEPT_BYTES", room)
    monkeypatch.setattr(session.method.placer, "place", counted)
    report = ground_clips(session, find_clips([clips]), None, BatchOptions(render=False))
    assert placed == [1, 1, 1]
    for item in report:
        alone = session.ground(item.clip, GroundOptions(top=30)).as_dict()
        (same,) = [m for m in alone["moments"] if m["track"] == item.choice["track"]]
        assert {name: item.choice[name] for name in same} == same
        assert item.choice["chance"] == pytest.approx(alone["chance"], abs=1e-6)
        better = alone["chance"] is not None and same["score"] > alone["chance"]
        assert item.choice["better_than_chance"] == better


def test_a_clip_that_changes_before_it_is_written_is_left_to_the_next_run(
    session: Session, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (clips / "bad.mp4").unlink()
    choose = run.ClipBatch._choose

    def changed(batch: run.ClipBatch, known: list[object]) -> list[str]:
        write_video(clips / "b.mp4", Clip(seconds=2.5))
        return choose(batch, known)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(run.ClipBatch, "_choose", changed)
        report = ground_clips(session, find_clips([clips]))
    (failed,) = report.failed
    assert failed.problem == "it changed after it was read: try again when it is finished"
    assert not (clips / "b.mgsv.mp4").exists()
    report.write(clips / "report.csv")
    again = ground_clips(session, find_clips([clips]))
    assert states(again) == {
        "a.mp4": "done before", "b.mp4": "written", "c.mp4": "done before",
    }  # fmt: skip


@pytest.mark.slow
def test_a_report_has_every_clip(session: Session, clips: Path, tmp_path: Path) -> None:
    report = ground_clips(session, find_clips([clips]), GroundOptions(), BatchOptions(render=False))
    assert not list(clips.rglob(NAME)) and len(list(clips.rglob("*.mgsv.mp4"))) == 1
    assert report.summary == "4 clips: 3 found, 1 failed"
    report.write(tmp_path / "r.csv")
    report.write(tmp_path / "r.json")
    with (tmp_path / "r.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    document = json.loads((tmp_path / "r.json").read_text())
    assert document["schema"] == "mgsv.batch/1"
    for row, one in zip(rows, document["clips"], strict=True):
        assert (row["clip"], row["state"]) == (one["clip"], one["state"])
        assert row["track"] == (one["choice"]["track"] if one["choice"] else "")
        assert bool(row["problem"]) == (row["state"] == "failed")
        assert row["confidence"] == one["confidence"]
    with pytest.raises(ConfigError, match=r"`report` r\.txt: unknown"):
        report.write(Path("r.txt"))


def test_clips_are_found_or_it_is_said_why(clips: Path, tmp_path: Path) -> None:
    names = [clip.name for clip in find_clips([clips])]
    assert names == ["a.mgsv.mp4", "b.mgsv.mp4", "bad.mgsv.mp4", "more/c.mgsv.mp4"]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ConfigError, match="empty: no videos in here"):
        find_clips([empty])
    shutil.copy(clips / "more/c.mp4", clips / "c.mov")
    both = find_clips([clips / "c.mov", clips / "more/c.mp4"], tmp_path / "out")
    assert len({clip.problem for clip in both}) == 1
    assert "clips/c.mov and " in both[0].problem and "more/c.mp4 would be" in both[0].problem


def test_one_process_works_on_a_folder(session: Session, clips: Path) -> None:
    journal = Journal(clips)
    with pytest.raises(ConfigError, match="clips: another mgsv works on this folder"):
        next(watch_folder(session, clips))
    with pytest.raises(ConfigError, match="another mgsv works on this folder"):
        ground_clips(session, find_clips([clips]))
    journal.close()


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.add("a", "found", (1, 2), {"x": 1})
    journal.close()
    with (tmp_path / NAME).open("ab") as file:
        file.write(b'{"clip": "b", "state": [1, 2], "fou')
    journal = Journal(tmp_path)
    journal.add("c", "chosen", (3, 4), {"y": 2})
    journal.close()
    journal = Journal(tmp_path)
    assert journal.get("a", "found", (1, 2)) == {"x": 1}
    assert journal.get("a", "found", (1, 3)) is None, "the clip has changed"
    assert journal.get("c", "chosen", (3, 4)) == {"y": 2}
    journal.close()


@pytest.mark.slow
def test_a_watched_folder_takes_clips_that_are_whole(session: Session, clips: Path) -> None:
    (clips / "bad.mp4").unlink()
    whole = (clips / "b.mp4").read_bytes()
    (clips / "b.mp4").write_bytes(whole[: len(whole) // 2])
    looks = 0

    def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        time.sleep(0.03)
        if looks == 4:
            (clips / "b.mp4").write_bytes(whole)
        if looks > 200:
            raise AssertionError("it never ends")

    options = WatchOptions(interval=0.01, settle=0.02, once=True)
    items = list(watch_folder(session, clips, watch=options, sleep=sleep))
    assert sorted((item.clip.name, item.state) for item in items) == [
        ("a.mp4", "written"), ("b.mp4", "written"), ("c.mp4", "written"),
    ]  # fmt: skip
    assert len({item.choice["track"] for item in items if item.choice}) == 3
    assert list(watch_folder(session, clips, watch=options, sleep=sleep)) == [], "after a restart"


def test_the_command_takes_folders_and_says_what_failed(
    mgsv: Run, clips: Path, tmp_path: Path
) -> None:
    music = real_media.bgm_tracks()[:4]
    how = ("--method", "sync", "--music", *music, "-o", tmp_path / "out", "--report", "r.csv")
    done = mgsv("ground", clips, *how, "--credits", "c.txt")
    assert done.returncode == 1
    assert "4 clips: 3 written, 1 failed" in done.stderr
    lines = (tmp_path / "c.txt").read_text().splitlines()
    assert (tmp_path / "r.csv").exists()
    assert [line.partition(": ")[0] for line in lines] == ["a.mp4", "b.mp4", "bad.mp4", "c.mp4"]
    assert lines[2] == "bad.mp4: none, since it failed"
    assert all("unknown artist" in line for line in (*lines[:2], lines[3]))
    (clips / "bad.mp4").unlink()
    again = mgsv("ground", clips / "a.mp4", clips / "b.mp4", "--json", *how[:-2])
    assert again.returncode == 0, again.stderr
    assert [one["state"] for one in json.loads(again.stdout)["clips"]] == 2 * ["done before"]
    watched = mgsv("watch", clips, "--once", *how[:4], "-o", tmp_path / "out")
    assert (watched.returncode, watched.stdout) == (0, "")
    for words, line in (
        (("--timeline", "x.otio"), "--timeline with several clips"),
        (("--accept",), "--accept with several clips"),
        (("-o", "x.mp4"), "--output x.mp4: one file for several clips: name a folder"),
        (("--report", "x.txt"), "--report x.txt: unknown"),
    ):
        refused = mgsv("ground", clips, *how[:4], *words)
        assert refused.returncode == 1 and line in refused.stderr
    assert "--repeat with one clip" in mgsv("ground", clips / "a.mp4", *how[:4], "--repeat").stderr
    assert "no videos in here" in mgsv("ground", music[0].parent, *how[:4]).stderr


@pytest.mark.parametrize(
    "kills", [pytest.param(2, marks=pytest.mark.slow), pytest.param(10, marks=pytest.mark.thorough)]
)
def test_a_killed_run_goes_on_with_exactly_the_rest(
    kills: int, own_library: Path, tmp_path: Path
) -> None:
    clips, out, draw = tmp_path / "clips", tmp_path / "out", random.Random(kills)
    clips.mkdir()
    for n in range(6):
        write_video(clips / f"{n}.mp4", Clip(seconds=2 + 0.2 * n))
    music = [str(path) for path in real_media.bgm_tracks()[:6]]
    words = ["ground", str(clips), "--method", "sync", "--music", *music]
    command = [sys.executable, "-m", "mgsv", *words]
    began = time.monotonic()
    whole = subprocess.run(
        [*command, "-o", str(tmp_path / "whole"), "--json"], capture_output=True, text=True
    )
    seconds = time.monotonic() - began
    inodes: dict[str, int] = {}
    for _ in range(kills):
        run = subprocess.Popen([*command, "-o", str(out)], stderr=subprocess.DEVNULL)
        time.sleep(draw.uniform(0.3, 1.0) * seconds)
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        now = {path.name: path.stat().st_ino for path in out.glob("*.mgsv.mp4")}
        assert {name: now[name] for name in inodes} == inodes, "what is done is not done again"
        inodes = now
    last = subprocess.run([*command, "-o", str(out), "--json"], capture_output=True, text=True)
    assert last.returncode == 0, last.stderr
    told = json.loads(last.stdout)["clips"]
    before = {Path(one["clip"]).stem for one in told if one["state"] == "done before"}
    assert before == {name.partition(".")[0] for name in inodes}
    assert {p.name for p in out.iterdir()} == {NAME, *(f"{n}.mgsv.mp4" for n in range(6))}
    expected = json.loads(whole.stdout)["clips"]
    assert [one["choice"]["track"] for one in told] == [one["choice"]["track"] for one in expected]


def test_a_clip_that_cannot_be_written_is_said(session: Session, clips: Path) -> None:
    (clips / "bad.mp4").unlink()
    place = clips / "file"
    place.write_text("no folder")
    with pytest.raises(MgsvError, match="file"):
        ground_clips(session, find_clips([clips], place))
