"""What a library remembers of uses: learned, changed, exported, and gone when forgotten."""

from __future__ import annotations

import contextlib
import csv
import json
import sqlite3
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from library_support import opened, write_tone, write_tones
from mgsv.data.annotations import COLUMNS
from mgsv.data.stream import stream_annotations
from mgsv.errors import ConfigError, DataError, LibraryError, OutputError
from mgsv.grounding.acceptance import accept_result, video_name
from mgsv.library import Library
from mgsv.library.uses import SHOWN, LibraryUses
from mgsv.memory.use import packed_cuts
from old_catalogues import downgrade
from usage_support import use


@pytest.fixture
def library(music: Path, folder: Path):
    """Tracks of 12 s: 000.wav, 001.wav and 002.wav."""
    for n in range(3):
        write_tone(music / f"{n:03}.wav", 200.0 + 10 * n, seconds=12.0)
    with opened(music, folder) as library:
        yield library


def row(
    video: str, music: str = "", path: str = "", start: float | str = 2.0, **cells: object
) -> dict:
    """A row of 4 s."""
    return {
        **dict.fromkeys(COLUMNS, ""),
        "video_id": video,
        "music_id": music or "m",
        "video_start": 0.0,
        "video_end": 4.0,
        "music_start": start,
        "music_end": 6.0 if isinstance(start, str) else start + 4.0,
        "music_total_duration": 12.0,
        "video_segment_duration": 4.0,
        "music_segment_duration": 4.0,
        "music_path": path,
        "video_category": "Food",
        **cells,
    }


def write(path: Path, rows: list[dict], extra: tuple[str, ...] = ()) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*COLUMNS, *extra])
        writer.writeheader()
        writer.writerows(rows)
    return path


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


# Learning


def test_tracks_are_recognised_by_id_path_or_name(library: Library, tmp_path: Path) -> None:
    first, second, third = library.tracks()
    rows = [
        row("1", first.id),
        row("2", "anything", str(second.path)),
        row("3", "anything", "/elsewhere/002.wav", confidence=0.75),
    ]
    report = library.uses.learn(write(tmp_path / "u.csv", rows, ("confidence",)))
    assert (report.rows, report.learned, report.left_out) == (3, 3, {})
    found = {use.video: use for _, use in library.uses.all()}
    assert [found[v].track for v in "123"] == [first.id, second.id, third.id]
    assert found["3"].confidence == 0.75 and found["1"].confidence == 1.0
    assert found["1"].track_seconds == pytest.approx(first.duration)
    assert (found["1"].start, found["1"].end, found["1"].category) == (2.0, 6.0, "Food")


def test_every_line_left_out_is_counted_and_explained(
    library: Library, music: Path, tmp_path: Path
) -> None:
    track = library.tracks()[0]
    write_tone(music / "again/001.wav", 900.0)
    library.add(music)
    rows = [
        row("1", track.id),
        row("1", track.id),  # duplicate
        row("1", track.id, start=5.0),  # the same seconds of the video, another moment
        row("1", track.id, start=5.0, video_start=4.0, video_end=8.0),  # the music was cut
        row("2", "nobody"),
        row("3", "x", "/gone/001.wav"),  # two tracks of that name
        row("4", track.id, start=9.0, music_end=30.0, music_total_duration=40.0),
        row("5", track.id, music_start="soon"),
        row("6", track.id, confidence="1.5"),
        row("7", track.id, confidence="0.5"),
    ]
    path = write(tmp_path / "u.csv", rows, ("confidence",))
    report = library.uses.learn(path, rejects=tmp_path / "rejects.csv")
    assert (report.rows, report.learned) == (10, 3)
    expected = {
        3: "duplicate",
        4: "contradiction",
        6: "unknown track",
        7: "ambiguous track",
        8: "outside the track",
        9: "broken line",
        10: "broken line",
    }
    assert {out.line: out.reason for out in report.shown} == expected
    assert sum(report.left_out.values()) == 7 and report.left_out["broken line"] == 2
    assert all("\n" not in out.text for out in report.shown)
    with (tmp_path / "rejects.csv").open(newline="") as file:
        listed = list(csv.DictReader(file))
    assert {int(entry["line"]): entry["reason"] for entry in listed} == expected
    assert library.uses.learn(path).left_out["duplicate"] == 4, "nothing is learned twice"


def test_broken_lines_spoil_no_others(library: Library, tmp_path: Path) -> None:
    """Quotes left open, bytes that are not UTF-8, short and endless lines, each reported once."""
    track = library.tracks()[0]
    good = write(tmp_path / "good.csv", [row(str(n), track.id) for n in range(8)])
    lines = good.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"Food", b'"Food')
    lines[4] = lines[4].replace(b"Food", b"F\xff\xfeod")
    lines[5] = b"1,2,3\r\n"
    lines[7] = b"x" * 250_000 + b"\r\n"
    (tmp_path / "bad.csv").write_bytes(b"".join(lines))
    report = library.uses.learn(tmp_path / "bad.csv")
    assert report.learned == 4
    assert {out.reason for out in report.shown} == {"broken line"}
    assert [out.line for out in report.shown] == [3, 5, 6, 8]
    assert {use.video for _, use in library.uses.all()} == {"0", "2", "5", "7"}


def test_a_name_with_a_line_break_is_one_row(library: Library, tmp_path: Path) -> None:
    track = library.tracks()[0]
    rows = [row("1", track.id, 'a "b",\nc\n.wav'), row("2", track.id)]
    lines = list(stream_annotations(write(tmp_path / "u.csv", rows)))
    assert [line.number for line in lines] == [2, 5]
    assert lines[0].row is not None and lines[0].row.music_path == 'a "b",\nc\n.wav'


@pytest.mark.slow
def test_a_large_file_is_not_held_in_memory(library: Library, tmp_path: Path) -> None:
    """6000 rows of 1 kB, 1 % of them broken, in a fraction of the file's size."""
    track = library.tracks()[0]
    rows = [row(str(n), track.id, "x" * 1000, "?" if n % 100 == 50 else 2.0) for n in range(6000)]
    path = write(tmp_path / "u.csv", rows)
    del rows
    tracemalloc.start()
    report = library.uses.learn(path, rejects=tmp_path / "r.csv")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (report.learned, report.left_out) == (5940, {"broken line": 60})
    assert len(report.shown) == SHOWN
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 1 + 60
    assert most < path.stat().st_size / 5


@pytest.mark.slow
def test_an_error_learns_nothing(library: Library, tmp_path: Path) -> None:
    track = library.tracks()[0]
    path = write(tmp_path / "u.csv", [row(str(n), track.id) for n in range(1500)])

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        library.uses.learn(path, rejects=tmp_path / "r.csv", progress=stop)
    assert library.uses.all() == []
    assert not (tmp_path / "r.csv").exists() and not list(tmp_path.glob(".r.csv*"))
    (tmp_path / "no.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"no\.csv: line 1: missing column"):
        library.uses.learn(tmp_path / "no.csv")
    with pytest.raises(DataError, match=r"none\.csv"):
        library.uses.learn(tmp_path / "none.csv")
    with pytest.raises(OutputError, match="No such file or directory"):
        library.uses.learn(path, rejects=tmp_path / "missing" / "r.csv")
    (tmp_path / "r.csv").write_text("precious")
    with pytest.raises(OutputError, match=r"r\.csv: it exists"):
        library.uses.learn(path, rejects=tmp_path / "r.csv")
    assert library.uses.all() == []


# Changing, exporting, forgetting


@pytest.fixture
def known(library: Library) -> LibraryUses:
    """Three uses of the first track and one of the second."""
    first, second, _ = library.tracks()
    for n, track in enumerate([first, first, first, second]):
        library.uses.accept(
            use(track.id, float(n), end=n + 4.0, video=f"secret-video-{n}", video_end=4.0)
        )
    return library.uses


def test_a_use_is_changed(known: LibraryUses) -> None:
    (id, before), *_ = known.all()
    assert known.edit(id, start=1.5, category="Cars") == replace(before, start=1.5, category="Cars")
    assert dict(known.all())[id].start == 1.5
    with pytest.raises(ConfigError, match="the track at 12"):
        known.edit(id, end=99.0)
    with pytest.raises(LibraryError, match="use 99: no such number"):
        known.edit(99, start=1.0)
    assert dict(known.all())[id].start == 1.5


def test_what_is_exported_can_be_learned(
    known: LibraryUses, library: Library, tmp_path: Path
) -> None:
    before = [use for _, use in known.all()]
    assert known.export(tmp_path / "out.csv") == 4
    with pytest.raises(OutputError, match="exists"):
        known.export(tmp_path / "out.csv")
    known.forget()
    assert library.uses.learn(tmp_path / "out.csv").learned == 4
    assert [use for _, use in known.all()] == before


def test_what_is_forgotten_leaves_no_bytes(
    known: LibraryUses, library: Library, folder: Path
) -> None:
    (gone, _), *_ = known.all()
    assert b"secret-video-0" in everything(folder), "the test can see what is stored"
    assert known.forget([gone]) == 1
    stored = everything(folder)
    assert b"secret-video-0" not in stored and b"secret-video-1" in stored
    assert known.forget(track=library.tracks()[0].path) == 2
    assert known.forget() == 1
    assert known.all() == [] and b"secret" not in everything(folder)
    assert len(library.tracks()) == 3
    for which, words in (([5], "use 5"), (None, "no use of it")):
        with pytest.raises(LibraryError, match=words):
            known.forget(which, track=None if which else "000.wav")


@pytest.mark.slow
def test_a_reader_delays_the_cleaning_and_is_reported(known: LibraryUses, folder: Path) -> None:
    reader = sqlite3.connect(folder / "catalogue.sqlite", isolation_level=None)
    with contextlib.closing(reader):
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM use").fetchone()
        with pytest.raises(LibraryError, match="4 uses are forgotten, but another program"):
            known.forget()
    assert known.all() == []
    known.compact()
    assert b"secret" not in everything(folder)


@pytest.mark.slow
def test_uses_outlive_their_music_and_a_damaged_catalogue(
    known: LibraryUses, library: Library, music: Path, folder: Path
) -> None:
    before = known.all()
    library.remove(music)
    assert known.all() == before and known.path(before[0][1].track) is None
    library.close()
    _blank(folder / "catalogue.sqlite", "place_of_track")
    with opened(music, folder, repair=True) as again:
        assert len(again.tracks()) == 3
        assert [use for _, use in again.uses.all()] == [use for _, use in before]


def test_uses_are_distinguished_from_what_was_lost(
    known: LibraryUses, library: Library, music: Path, folder: Path
) -> None:
    assert known.all()
    library.close()
    _blank(folder / "catalogue.sqlite", "use")
    with opened(music, folder, repair=True) as again:
        assert len(again.tracks()) == 3 and not again.uses.all()


def test_cuts_are_learned_and_kept_as_seconds_of_the_moment(
    library: Library, folder: Path, music: Path, tmp_path: Path
) -> None:
    """Of an older catalogue too, which has no column for them until it is written."""
    track = library.tracks()[0]
    at = {"video_start": 10.0, "video_end": 14.0}
    rows = [
        row("1", track.id, cuts="11.5 9.0 12.25 14.5", **at),
        row("2", track.id, cuts="", **at),
        row("3", track.id, cuts="11 soon", **at),
        row("4", track.id, cuts="-1", **at),
    ]
    report = library.uses.learn(write(tmp_path / "u.csv", rows, ("cuts",)))
    assert [(out.line, out.reason) for out in report.shown] == [
        (4, "broken line"),
        (5, "broken line"),
    ]
    assert "cuts" in report.shown[0].text and "negative" in report.shown[1].text
    found = {use.video: use.cut_times.tolist() for _, use in library.uses.all()}
    assert found == {"1": [1.5, 2.25], "2": []}
    library.close()
    downgrade(folder, 3)
    with opened(music, folder) as older:
        before = older.uses.all()
        assert [use.cuts for _, use in before] == [b"", b""]
        older.uses.accept(use(track.id, 0.0, end=3.0, cuts=packed_cuts([1.0], 3.0)))
        assert [use.cut_times.tolist() for _, use in older.uses.all()] == [[1.0], [], []]
    downgrade(folder, 3)
    _blank(folder / "catalogue.sqlite", "place_of_track")
    with opened(music, folder, repair=True) as mended:
        assert len(mended.uses.all()) == 3, "what an older version wrote can be salvaged"


def test_a_reset_keeps_the_uses_and_what_comes_after_counts(
    known: LibraryUses, library: Library
) -> None:
    before = known.all()
    assert known.reset_habits() == 4 and known.reset_habits() == 0
    assert known.all() == [(id, replace(use, before_reset=True)) for id, use in before]
    first, *_ = library.tracks()
    assert known.accept(use(first.id, 7.0, end=11.0, video="new", video_end=4.0))
    again = replace(before[0][1], before_reset=False)
    assert known.accept(again), "chosen again after the reset, it counts again"
    assert sorted(use.before_reset for _, use in known.all()) == [False, False, True, True, True]
    id = next(id for id, use in known.all() if use.before_reset)
    assert known.edit(id, category="Cars").before_reset, "a changed use is no new one"
    assert known.reset_habits() == 2


def _blank(catalogue: Path, table: str) -> None:
    """Zero the first page of a table or index."""
    with contextlib.closing(sqlite3.connect(catalogue)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = db.execute("PRAGMA page_size").fetchone()
        (page,) = db.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)
        ).fetchone()
    with catalogue.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(size))


@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_older_catalogue_is_read_and_upgraded(music: Path, folder: Path, version: int) -> None:
    write_tones(music, 2)
    with opened(music, folder) as library:
        before = [track.path for track in library.tracks()], library.fingerprint
        expected = [library.features(track).segments for track in library.tracks()]
    downgrade(folder, version)
    with opened(None, folder) as library, opened(None, folder) as waiting:
        first, second = library.tracks()
        assert ([first.path, second.path], library.fingerprint) == before
        assert first.outdated and second.outdated
        assert library.uses.all() == []
        with contextlib.closing(sqlite3.connect(folder / "catalogue.sqlite")) as db:
            found = db.execute("PRAGMA user_version").fetchone()
            assert found == (version,), "looking changes nothing"
        assert library.uses.accept(use(first.id, 0.0, end=3.0))
        assert len(library.uses.all()) == 1 and library.tracks() == [first, second]
        assert waiting.uses.accept(use(second.id, 0.0, end=3.0)), "opened before the upgrade"
        for track, segments in zip(library.tracks(), expected, strict=True):
            np.testing.assert_array_equal(library.features(track).segments, segments)
    with contextlib.closing(sqlite3.connect(folder / "catalogue.sqlite")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (5,)
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    with opened(music, folder) as library:
        assert (library.report.added, library.report.unchanged) == (0, 2)
        assert not library.check().problems
        assert library.remove(music) == 2
    assert not list(folder.glob("features/*/*"))


# Accepting


def result(path: Path, track: Path, **changes: object) -> Path:
    moments = [
        {"rank": n, "track": str(track), "start": n * 1.0, "end": n + 4.0, "score": 1.0}
        for n in (1, 2)
    ]
    document = {
        "schema": "mgsv.grounding/1",
        "video": {"path": str(path.parent / "clip.mp4"), "duration": 4.0},
        "moments": moments,
        **changes,
    }
    path.write_text(json.dumps(document))
    return path


def test_an_accepted_result_is_a_use(library: Library, tmp_path: Path) -> None:
    track = library.tracks()[1]
    path = result(tmp_path / "r.json", track.path)
    accepted, new = accept_result(library, path)
    assert new and (accepted.start, accepted.end) == (1.0, 5.0)
    assert accept_result(library, path)[1] is False
    assert accept_result(library, path, rank=2, category="Food")[1]
    ((_, kept),) = library.uses.all()
    assert (kept.track, kept.start, kept.category) == (track.id, 2.0, "Food"), "the last choice"
    assert kept.video == video_name(tmp_path / "clip.mp4") and "/" not in kept.video
    assert kept.track_seconds == pytest.approx(track.duration)


def test_what_is_no_result_is_refused(library: Library, tmp_path: Path) -> None:
    path = result(tmp_path / "r.json", library.tracks()[0].path)
    with pytest.raises(ConfigError, match=r"`rank` 7.*1, 2"):
        accept_result(library, path, rank=7)
    for text in ("", "[]", "{}", "[" * 100_000, path.read_text().replace("moments", "x")):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ConfigError, match=r"bad\.json: not a result"):
            accept_result(library, tmp_path / "bad.json")
    endless = result(tmp_path / "e.json", library.tracks()[0].path, video={"path": "x"})
    with pytest.raises(ConfigError, match="not a result"):
        accept_result(library, endless)
    with pytest.raises(ConfigError, match=r"none\.json"):
        accept_result(library, tmp_path / "none.json")
    with pytest.raises(LibraryError, match=r"other\.wav: not in this library"):
        accept_result(library, result(tmp_path / "o.json", tmp_path / "other.wav"))
    assert library.uses.all() == []
