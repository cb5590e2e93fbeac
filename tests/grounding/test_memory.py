"""Grounding with past uses: none, some, trusted or not; accepted, learned and forgotten.

Tolerances: starts lie on a grid of 0.1 s, or on a beat at most 2 s away.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import mgsv
import real_media
from mgsv.data.annotations import write_annotations
from mgsv.errors import ConfigError
from mgsv.library import Track
from mgsv.memory.fusion import Fusion
from mgsv.methods.sync import Sync
from subprocesses import mgsv_here
from usage_support import use


@pytest.fixture
def track(own_library: Path) -> Track:
    """A long track, in a library that $MGSV_LIBRARY names."""
    path = real_media.long_tracks()[0]
    with mgsv.Library.open(encoder=None) as library:
        return next(track for track in library.tracks() if track.path == path)


def found(track: Track, **options: object) -> mgsv.Grounding:
    asked: dict[str, Any] = {"method": "sync", **options}
    with mgsv.Library.open(track.path) as library:
        return mgsv.ground(real_media.bikes(), library, **asked)


def remember(track: Track, start: float, count: int = 3) -> None:
    with mgsv.Library.open(encoder=None) as library:
        for n in range(count):
            known = use(track.id, start, end=start + 10, video=f"v{n}", video_end=10.0)
            library.uses.accept(known)


def test_without_uses_nothing_changes(track: Track) -> None:
    on, off = found(track, memory="on"), found(track, memory="off")
    assert on.as_dict() == off.as_dict()
    assert on.method_fingerprint == Sync().fingerprint
    assert "past_uses" not in on[0].evidence


def test_past_uses_place_the_moment_and_say_so(track: Track) -> None:
    before = found(track)[0]
    start = 20.0 if abs(before.start - 20.0) > 10 else 45.0
    remember(track, start)
    moved, off = found(track), found(track, memory="off")
    assert off[0] == before
    assert moved[0].start == pytest.approx(start, abs=0.1)
    assert moved[0].end - moved[0].start == pytest.approx(before.end - before.start)
    assert moved[0].score == before.score, "where the moment lies does not rank the tracks"
    evidence = moved[0].evidence
    assert evidence["past_uses"] == 3 and evidence["memory_start"] == start
    assert evidence["method_start"] == before.start and evidence["memory_log_odds"] > 0
    assert any("by the memory of 3 past uses" in note for note in moved.notes)
    assert moved.method_fingerprint != off.method_fingerprint
    json.dumps(moved.as_dict(), allow_nan=False)
    assert found(track, start_on="beat")[0].start == pytest.approx(start, abs=2.0)


def test_a_trusted_method_overrules_and_only_asks_the_memory_alone(
    track: Track, tmp_path: Path
) -> None:
    before = found(track)[0]
    start = 20.0 if abs(before.start - 20.0) > 10 else 45.0
    remember(track, start, count=1)
    Fusion(log_odds=9.0, scale=0.3).save(tmp_path / "sure.json")
    sure = found(track, fusion=tmp_path / "sure.json")[0]
    assert sure.start == before.start and sure.evidence["memory_log_odds"] < 0
    assert found(track, memory="only", fusion=tmp_path / "sure.json")[0].start == start


@pytest.mark.slow
def test_popularity_lifts_a_used_track(track: Track) -> None:
    del track  # a library of its own
    everything = real_media.bgm_tracks()[:6]
    with mgsv.Library.open(everything) as library:
        plain = mgsv.ground(real_media.bikes(), library, top=6)
        used = plain[1].track
        remember(used, 0.0, count=40)
        off = mgsv.ground(real_media.bikes(), library, top=6, memory="off")
        assert [m.track for m in off] == [m.track for m in plain]
        popular = mgsv.ground(real_media.bikes(), library, top=6, popularity=True)
    assert popular[0].track == used and popular[0].evidence["popularity"] > 0
    assert popular.chance is None and any("popularity" in note for note in popular.notes)


def test_options_that_make_no_sense_are_named(track: Track) -> None:
    for options, words in (
        ({"memory": "only"}, "no past uses"),
        ({"memory": "some"}, "on, off or only"),
        ({"memory": "off", "popularity": True}, "`popularity`"),
        ({"memory": "off", "fusion": "f.json"}, "`fusion`"),
        ({"fusion": "none.json"}, r"none\.json"),
    ):
        with pytest.raises(ConfigError, match=words):
            found(track, **options)


@pytest.mark.slow
def test_from_accepting_to_forgetting_on_the_command_line(track: Track, tmp_path: Path) -> None:
    ground = ("ground", real_media.bikes(), "--music", track.path, "--no-render", "--json")
    first = mgsv_here(*ground)
    (tmp_path / "r.json").write_text(first.stdout)
    assert mgsv_here("library", "uses", "list").stdout == "", "nothing is kept unasked"
    done = mgsv_here("accept", "r.json")
    assert done.returncode == 0 and "remembered" in done.stderr
    assert "known already" in mgsv_here("accept", "r.json").stderr
    assert "known already" in mgsv_here(*ground, "--accept").stderr
    listed = json.loads(mgsv_here("library", "uses", "list", "--json").stdout)["uses"]
    best = json.loads(first.stdout)["moments"][0]
    assert [(u["path"], u["start"]) for u in listed] == [(best["track"], best["start"])]
    number = str(listed[0]["use"])
    assert mgsv_here("library", "uses", "edit", number, "--category", "Cars").returncode == 0
    assert "Cars" in mgsv_here("library", "uses", "list").stdout
    assert mgsv_here("library", "uses", "export", "out.csv").returncode == 0
    assert mgsv_here("library", "uses", "forget", number).stdout == "1 uses forgotten\n"
    assert mgsv_here("library", "learn", "out.csv").stdout == "1 of 1 uses learned\n"
    assert mgsv_here("library", "uses", "forget", "--all").stdout == "1 uses forgotten\n"
    stored = b"".join(p.read_bytes() for p in (tmp_path / "library").glob("catalogue*"))
    assert b"Cars" not in stored and real_media.bikes().name.encode() not in stored


def test_what_learning_leaves_out_is_reported(track: Track, tmp_path: Path) -> None:
    row = use(track.id, 5.0, end=25.0).row("", "1")
    write_annotations(tmp_path / "u.csv", [row, row, replace(row, video_id="2", music_id="x")])
    done = mgsv_here("library", "learn", "u.csv", "--rejects", "r.csv")
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert told[0] == "1 of 3 uses learned" and len(told) == 3
    assert "line 3: duplicate" in done.stderr and "line 4: unknown track" in done.stderr
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 3
    document = json.loads(mgsv_here("library", "learn", "u.csv", "--json").stdout)
    assert document["left_out"] == {"unknown track": 1, "duplicate": 2}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["library", "uses", "forget"], "one way"),
        (["library", "uses", "forget", "7"], "use 7"),
        (["library", "uses", "edit", "7"], "nothing to change"),
        (["library", "learn", "none.csv"], "none.csv"),
        (["accept", "none.json"], "none.json"),
    ],
)
def test_wrong_use_is_one_clear_line(arguments: list[str], words: str, track: Track) -> None:
    del track  # a library of its own
    done = mgsv_here(*arguments)
    assert done.returncode == 1 and words in done.stderr and done.stderr.count("\n") == 1
