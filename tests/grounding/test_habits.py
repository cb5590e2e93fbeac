"""Habits from uses on disk to another answer, and back: by Python and on the command line."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

import mgsv
import real_media
from mgsv.data.annotations import COLUMNS, write_annotations
from mgsv.errors import LibraryError
from mgsv.grounding.habits import MOST_USES, learned_habits
from mgsv.library import Library
from mgsv.library.lock import locked
from mgsv.memory.habits import Habits
from old_catalogues import downgrade
from subprocesses import mgsv_here
from usage_support import use

PLACE = 0.4


@pytest.fixture
def track(own_library: Path) -> Path:
    """A long track, in a library that $MGSV_LIBRARY names."""
    return real_media.long_tracks()[0]


def uses_at(place: float, count: int = 24) -> list:
    """Of other tracks of the library, all begun at a share of the track."""
    with Library.open(encoder=None) as library:
        others = [one for one in library.tracks() if 25 < one.duration < 60][:count]
    return [
        use(
            one.id,
            place * one.duration,
            end=place * one.duration + 10,
            track_seconds=one.duration,
            video=f"v{n}",
            video_end=10.0,
        )
        for n, one in enumerate(others)
    ]


def learn(path: Path, place: float = PLACE) -> int:
    rows = [one.row("", one.video) for one in uses_at(place)]
    write_annotations(path, rows)
    done = mgsv_here("library", "learn", path)
    assert done.returncode == 0, done.stderr
    return len(rows)


def ground(track: Path, *more: str) -> dict:
    done = mgsv_here("ground", real_media.bikes(), "--music", track, "--no-render", "--json", *more)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)["moments"][0])


@pytest.mark.slow
def test_learning_changes_the_answer_and_a_reset_brings_it_back(
    track: Path, tmp_path: Path
) -> None:
    before = ground(track)
    count = learn(tmp_path / "u.csv")
    with Library.open(encoder=None) as library:
        seconds = next(one.duration for one in library.tracks() if one.path == track)
    found = ground(track)
    assert found["start"] / seconds == pytest.approx(PLACE, abs=0.06)
    assert "you usually start" in found["why"] and found["evidence"]["habit_uses"] == count
    assert ground(track, "--memory", "off") == before
    shown = mgsv_here("library", "habits")
    assert shown.returncode == 0 and f"from {count} uses" in shown.stdout
    assert "elsewhere is mostly at" in shown.stdout
    done = mgsv_here("library", "habits", "--reset")
    assert done.stdout == f"habits reset: {count} uses stay, but teach no habit any more\n"
    again = ground(track)
    assert (again["start"], again["why"]) == (before["start"], before["why"])
    assert "no habits are known" in mgsv_here("library", "habits").stdout
    assert len(mgsv_here("library", "uses", "list").stdout.splitlines()) == count


def test_what_is_shown_for_programs(track: Path, tmp_path: Path) -> None:
    del track
    empty = json.loads(mgsv_here("library", "habits", "--json").stdout)
    assert empty["schema"] == "mgsv.habits/1" and empty["uses"] == 0
    assert all(habit["taken_as"] == (habit["usual"] or 0) for habit in empty["habits"])
    count = learn(tmp_path / "u.csv")
    document = json.loads(mgsv_here("library", "habits", "--json").stdout)
    assert document["uses"] == count and sum(document["places"]) <= count
    starts = [habit for habit in document["habits"] if habit["habit"].startswith("starts")]
    assert sum(habit["counted"] for habit in starts) == count
    assert sum(habit["taken_as"] for habit in starts) == pytest.approx(1)
    done = json.loads(mgsv_here("library", "habits", "--reset", "--json").stdout)
    assert done == {"schema": "mgsv.habits-reset/1", "uses_left_out": count}


@pytest.mark.slow
def test_cuts_come_with_an_accepted_moment(track: Path, tmp_path: Path) -> None:
    """By `--accept`, and by the result file, which has them too."""
    command = ("ground", real_media.bikes(), "--music", track, "--no-render", "--json")
    result = mgsv_here(*command, "--accept")
    document = json.loads(result.stdout)
    with Library.open(encoder=None) as library:
        [(id, accepted)] = library.uses.all()
        assert accepted.cut_times.tolist() == pytest.approx(document["video"]["cuts"], abs=1e-3)
        assert len(accepted.cut_times) == 5 and learned_habits(library).cut_uses == 1
        library.uses.forget([id])
    (tmp_path / "r.json").write_text(result.stdout)
    assert mgsv_here("accept", "r.json").returncode == 0
    with Library.open(encoder=None) as library:
        [(_, again)] = library.uses.all()
    assert again.cuts == accepted.cuts
    for cuts in (3, ["soon"], {"a": 1}, [None]):
        document["video"]["cuts"] = cuts
        (tmp_path / "bad.json").write_text(json.dumps(document))
        done = mgsv_here("accept", "bad.json")
        assert done.returncode == 1 and "not a result" in done.stderr


def test_only_what_the_library_knows_teaches(track: Path, tmp_path: Path) -> None:
    """Files that are no uses, tracks that are not there, features that are gone: each in a line."""
    (tmp_path / "other.csv").write_text("date,title\n2024-01-01,Holiday\n")
    (tmp_path / "broken.csv").write_bytes(b"\xff\xfe\x00" * 50)
    for name in ("other.csv", "broken.csv", "none.csv"):
        done = mgsv_here("library", "learn", name)
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and name in done.stderr
    write_annotations(tmp_path / "strange.csv", [use("nobody", 3.0).row("/gone.mp3", "v")])
    done = mgsv_here("library", "learn", "strange.csv")
    assert done.returncode == 0 and "unknown track" in done.stderr
    assert "no habits" in mgsv_here("library", "habits").stdout
    with Library.open(encoder=None) as library:
        first, second = [one for one in library.tracks() if one.path != track][:2]
        library.uses.accept(use(first.id, 0.0, end=5.0, video="a", video_end=5.0))
        library.uses.accept(use(second.id, 0.0, end=5.0, video="b", video_end=5.0))
        assert learned_habits(library).uses == 2
        for file in (tmp_path / "library").glob(f"features/*/{first.id}*"):
            file.write_bytes(b"damaged")
        assert learned_habits(library).uses == 1, "the other one still does"
        assert set(learned_habits(library).tracks) == {second.id}
    assert COLUMNS[0] in (tmp_path / "strange.csv").read_text()


def test_an_old_library_has_habits_once_it_has_uses(own_library: Path, track: Path) -> None:
    del track
    downgrade(own_library, 3)
    with Library.open(encoder=None) as library:
        assert not learned_habits(library)
        for one in uses_at(0.0, 3):
            library.uses.accept(one)
        known = learned_habits(library)
    assert known.uses == 3 and known.starts["start"] == 3


def test_the_latest_uses_count_and_order_makes_no_difference(track: Path) -> None:
    del track
    with Library.open(encoder=None) as library:
        one = next(t for t in library.tracks() if t.duration > 30)
        uses = [
            use(one.id, start, end=start + 10, video=f"{n} {start}", video_end=10.0)
            for n in range(4)
            for start in (0.0, 12.0)
        ]
        for known in uses:
            library.uses.accept(known)
        before = learned_habits(library)
        library.uses.forget()
        for known in reversed(uses):
            library.uses.accept(known)
        assert learned_habits(library) == before
    assert before.uses == 8 < MOST_USES and before.starts["start"] == 4


def test_another_writer_is_waited_for_or_named(own_library: Path, track: Path) -> None:
    del track
    for one in uses_at(0.0, 2):
        with Library.open(encoder=None) as library:
            library.uses.accept(one)
    with contextlib.ExitStack() as held:
        held.enter_context(locked(own_library, 0.0, lambda _: None))
        with Library.open(encoder=None, wait=0.0) as library:
            with pytest.raises(LibraryError, match="is writing this library"):
                library.uses.reset_habits()
            assert learned_habits(library).uses == 2, "who only reads need not wait"
    with Library.open(encoder=None, wait=0.0) as library, Library.open(encoder=None) as other:
        assert library.uses.reset_habits() == 2
        assert learned_habits(other) == Habits.of([], [t.tags for t in other.tracks(missing=True)])


@pytest.mark.slow
def test_a_session_goes_by_new_uses_at_once(track: Path) -> None:
    with mgsv.Session.open(track) as session:
        before = session.ground(real_media.bikes())[0]
        with Library.open(encoder=None) as library:
            for one in uses_at(PLACE):
                library.uses.accept(one)
        after = session.ground(real_media.bikes())[0]
        assert abs(after.start - before.start) > 10
        assert "you usually start" in after.why
