"""A session: everything is opened once, what it knows follows the library, threads may share it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest

import mgsv
import real_media
from library_support import write_tone
from mgsv.encoders.registry import EncoderPair
from mgsv.encoders.tiny import TinyMusic, TinyVideo
from mgsv.errors import ConfigError, EncoderMismatch, LibraryError, MgsvError
from mgsv.grounding import session as module
from mgsv.grounding.options import OptionFields
from mgsv.grounding.tracks import Tracks
from mgsv.jobs import Progress
from mgsv.library import Library, Track, TrackCurves
from mgsv.memory.fusion import Fusion
from mgsv.methods.registry import open_method
from usage_support import use

TINY = EncoderPair(TinyVideo(), TinyMusic())


@pytest.fixture
def session(bundled: Library) -> mgsv.Session:
    return mgsv.Session(bundled, method="sync")


def test_it_answers_as_the_short_form_does(session: mgsv.Session, bundled: Library) -> None:
    clip = real_media.bikes()
    short = mgsv.ground(clip, bundled, method="sync", top=3, start_on="beat")
    options = mgsv.GroundOptions(top=3, start_on="beat")
    for video in (clip, session.read(clip), clip):
        assert session.ground(video, options).as_dict() == short.as_dict()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["sync", "made"])
def test_what_is_seen_before_the_music_has_no_say(bundled: Library, method: str) -> None:
    """A clip behind 3 s of a still picture, which ends with a cut."""
    session = mgsv.Session(bundled, method=method)
    clip = session.read(real_media.bikes())
    curves, feats, still = clip.curves, clip.frame_feats, np.zeros(30, np.float32)
    later = dataclasses.replace(
        curves,
        duration=curves.duration + 3,
        motion=np.concatenate([still, curves.motion]),
        light=np.concatenate([still, curves.light]),
        cuts=np.concatenate([[np.float32(3)], curves.cuts + 3]),
    )
    if feats is not None:
        feats = np.concatenate([np.repeat(feats[:1], 3, axis=0), feats])
    behind = dataclasses.replace(clip, curves=later, frame_feats=feats)
    found = session.ground(behind, mgsv.GroundOptions(top=3, music_at=3.0))
    plain = session.ground(clip, mgsv.GroundOptions(top=3))
    assert [(one.track.id, one.start) for one in found] == [
        (one.track.id, pytest.approx(one.start, abs=1e-3)) for one in plain
    ]
    assert found.curves.duration == pytest.approx(curves.duration)
    assert found.as_dict()["music_at"] == found.music_at == 3.0


@pytest.mark.parametrize("at", [-1.0, float("nan"), float("inf"), 9.5, 1e9])
def test_music_must_enter_a_second_before_the_end(session: mgsv.Session, at: float) -> None:
    with pytest.raises(ConfigError, match="`music_at`"):
        mgsv.ground(real_media.bikes(), session.library, method="sync", music_at=at)


def test_keywords_are_the_options(session: mgsv.Session) -> None:
    fields = {field.name for field in dataclasses.fields(mgsv.GroundOptions)}
    hints = get_type_hints(mgsv.GroundOptions)
    assert {name: hints[name] for name in fields} == get_type_hints(OptionFields)


@pytest.mark.slow
def test_nothing_is_read_twice(session: mgsv.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    read: Counter[str] = Counter()
    curves, records = session.library.curves, session.library._store.records

    def counted(track: Track) -> TrackCurves:
        read[track.id] += 1
        return curves(track)

    monkeypatch.setattr(session.library, "curves", counted)
    monkeypatch.setattr(
        session.library._store,
        "records",
        lambda encoder: read.update(["records"]) or records(encoder),
    )
    query = session.read(real_media.bikes())
    first = session.ground(query, mgsv.GroundOptions(top=1))
    before = read.copy()
    assert session.ground(query, mgsv.GroundOptions(top=1)) == first
    # Comparing recordings reads the curves of the shortlist once more.
    again = read - before
    assert again["records"] == 0 and sum(again.values()) <= 20 < sum(before.values())


@pytest.mark.slow
def test_it_follows_the_library(tmp_path: Path) -> None:
    music = tmp_path / "music"
    for n in range(3):
        write_tone(music / f"{n}.wav", 200.0 + 50 * n, 20.0)
    with mgsv.Session.open(
        music, folder=tmp_path / "library", method="sync", encoders=TINY
    ) as session:
        query = session.read(real_media.bikes())
        options = mgsv.GroundOptions(top=9)

        def names() -> set[str]:
            return {moment.track.path.name for moment in session.ground(query, options)}

        assert names() == {"0.wav", "1.wav", "2.wav"}
        write_tone(music / "3.wav", 420.0, 20.0)
        with Library.open(music, folder=tmp_path / "library", encoder=TINY.music):
            pass  # as another process would add it
        assert names() == {"0.wav", "1.wav", "2.wav", "3.wav"}
        (music / "1.wav").unlink()
        assert names() == {"0.wav", "2.wav", "3.wav"}, "a file that is gone is no answer"
        before = session.ground(query)[0]
        session.accept(session.ground(query))
        after = session.ground(query)
        assert after[0].evidence["past_uses"] == 1 and "past_uses" not in before.evidence
        for path in music.iterdir():
            path.unlink()
        with pytest.raises(MgsvError, match="the file is gone"):
            session.ground(query)


@pytest.mark.slow
def test_threads_share_it(session: mgsv.Session) -> None:
    query = session.read(real_media.bikes())
    ways = [mgsv.GroundOptions(top=top, start_on=on) for top in (1, 4) for on in ("beat", "any")]
    expected = [session.ground(query, way) for way in ways]
    fresh = mgsv.Session(session.library, method="sync")
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda way: fresh.ground(query, way), 2 * ways))
    assert [one.as_dict() for one in found] == [one.as_dict() for one in 2 * expected]


def test_the_library_stays_open_where_it_was_open(bundled: Library) -> None:
    with mgsv.Session(bundled, method="sync"):
        pass
    assert bundled.tracks()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"top": 0}, "top"),
        ({"fit": "tight"}, "fit"),
        ({"start_on": "drop"}, "start.on"),
        ({"memory": "some"}, "memory"),
        ({"memory": "off", "popularity": True}, "popularity"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        mgsv.GroundOptions(**options)


def test_a_fusion_needs_the_memory(bundled: Library, tmp_path: Path) -> None:
    Fusion(log_odds=1.0, scale=0.5).save(tmp_path / "fitted.json")
    session = mgsv.Session(bundled, method="sync", fusion=tmp_path / "fitted.json")
    with pytest.raises(ConfigError, match="fusion"):
        session.ground(real_media.bikes(), mgsv.GroundOptions(memory="off"))


def test_a_library_of_another_encoder_is_found_at_once(tmp_path: Path) -> None:
    write_tone(tmp_path / "music" / "a.wav", 200.0, 20.0)
    with (
        Library.open(
            tmp_path / "music", folder=tmp_path / "library", encoder=TINY.music
        ) as library,
        pytest.raises(EncoderMismatch),
    ):
        mgsv.Session(library)


def test_a_bad_clip_is_found_before_anything_is_indexed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clip.mp4").write_text("no video")
    monkeypatch.setattr(module.Session, "open", lambda *_, **__: pytest.fail("indexed"))
    with pytest.raises(MgsvError, match=r"clip\.mp4"):
        mgsv.ground(tmp_path / "clip.mp4", real_media.bgm_tracks(), method="sync")


def test_tracks_are_kept_while_there_is_room() -> None:
    read: list[int] = []
    row = np.zeros(100, np.float32)
    tracks = [Track(str(n), Path(f"{n}.wav"), 30.0, 120.0, ()) for n in range(4)]

    def reader(track: Track) -> TrackCurves:
        read.append(int(track.id))
        return TrackCurves(track, row, row, row)

    kept = Tracks(reader, tracks, room=2 * 3 * row.nbytes)
    for _ in range(2):
        assert [one.track.id for one in kept] == ["0", "1", "2", "3"]
    assert read == [0, 1, 2, 3, 2, 3]
    assert kept[-1].track is tracks[3] and [one.track for one in kept[1:3]] == tracks[1:3]
    with pytest.raises(IndexError):
        kept[4]


@pytest.mark.slow
def test_the_memory_is_built_once(bundled_folder: Path, tmp_path: Path, own_library: Path) -> None:
    with Library.open(folder=own_library) as library:
        track = library.tracks()[0]
        library.uses.accept(use(track.id, 3.0, end=13.0, video="v", video_end=10.0))
        session = mgsv.Session(library, method=open_method("sync"))
        query = session.read(real_media.bikes())
        session.ground(query)
        known = session._contents
        assert known is not None and len(known.memory) == 1
        session.ground(query, mgsv.GroundOptions(memory="only", popularity=True))
        assert session._contents is known


@pytest.mark.slow
def test_only_some_tracks_are_looked_at(session: mgsv.Session, bundled: Library) -> None:
    chosen = {track.id for track in bundled.tracks()[3:5]}
    found = session.ground(real_media.bikes(), mgsv.GroundOptions(top=5), within=chosen)
    assert {moment.track.id for moment in found} == chosen
    every = session.ground(real_media.bikes(), mgsv.GroundOptions(top=30))
    same = [one for one in every if one.track.id in chosen]
    assert [one.track.id for one in same] == [one.track.id for one in found]
    assert [one.start for one in same] == [one.start for one in found]


def test_of_no_track_nothing_is_found(session: mgsv.Session) -> None:
    with pytest.raises(LibraryError, match="none of the tracks asked for"):
        session.ground(real_media.bikes(), within=["0000"])


def test_a_moment_is_placed_near_a_start(bundled: Library) -> None:
    """With no reach it stays where it is put, and what speaks for it is the same."""
    session = mgsv.Session(bundled, method="made")
    query = session.read(real_media.bikes())
    track = max(bundled.tracks(), key=lambda one: one.duration)
    near = session.place(query, track, 30.0)
    assert abs(near.start - 30.0) <= 2.5 and near.why
    there = session.place(query, track, near.start, reach=0)
    assert (there.start, there.end) == (near.start, near.end)
    assert there.evidence["cuts_on_beat"] == near.evidence["cuts_on_beat"]
    with pytest.raises(ConfigError, match="`start` 5000: the track lasts"):
        session.place(query, track, 5000.0)


def test_each_second_that_is_read_is_a_step(bundled: Library) -> None:
    steps: list[Progress] = []
    mgsv.Session(bundled, method="made").read(real_media.bikes(), steps.append)
    assert [(one.what, one.done, one.total) for one in steps] == [
        ("reading", second, 10) for second in range(1, 11)
    ]
