"""What stays whole in a folder when things go wrong: kills, full disks, other writers, damage.

What every store does is in test_stores.py.
"""

import contextlib
import errno
import fcntl
import os
import random
import shutil
import signal
import sqlite3
import threading
import time

import numpy as np
import pytest

from crashes import killed_before
from library_support import TinyEncoder, as_nobody, opened, start, write_tone, write_tones
from mgsv.errors import LibraryError
from mgsv.library import Library
from mgsv.library.features import TENSORS, TrackRecord
from mgsv.library.filestore import FileStore
from mgsv.library.store import Place

ARRAYS = {name: np.zeros((1, 1) if axes == 2 else 1) for name, (_, axes) in TENSORS.items()}
ADD = """
import sys
from library_support import TinyEncoder
from mgsv.errors import LibraryError
from mgsv.library import Library
def tell(step): print(step.done, step.note, flush=True)
try:
    Library.open(sys.argv[1], folder=sys.argv[2], encoder=TinyEncoder(pause=float(sys.argv[3])),
                 progress=tell, wait=float(sys.argv[4]))
except LibraryError as error:
    sys.exit(f"refused: {error}")
"""


@pytest.fixture
def filled(music, folder):
    """A closed library of three tracks."""
    write_tones(music, 3)
    opened(music, folder).close()
    return folder


def feature_files(folder):
    return sorted(folder.glob("features/*/*.safetensors"))


def assert_refused(match, folder, music=None, **options):
    with pytest.raises(LibraryError, match=match) as caught:
        opened(music, folder, **options)
    text = str(caught.value)
    assert "\n" not in text and str(folder) in text and caught.value.remedy


# --- kills and interrupts ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kills", [2, pytest.param(7, marks=pytest.mark.thorough)])
def test_a_kill_at_any_moment_loses_at_most_the_tracks_in_flight(kills, music, folder):
    songs = write_tones(music, 30)
    chance = random.Random(7)
    kept = 0
    for _ in range(kills):
        process = start(ADD, music, folder, "0.02", "10")
        seen = 0
        stop = chance.randint(1, 4)
        for line in process.stdout:
            seen = int(line.split()[0])
            if seen >= stop:
                break
        time.sleep(chance.random() * 0.05)
        process.kill()
        process.wait()
        with Library.open(folder=folder, encoder=None) as library:
            tracks = library.tracks()
            report = library.check()
            assert report.problems == ()
            assert kept + seen <= len(tracks) <= len(songs)
            for track in tracks:
                assert len(library.features(track).segments) == 2
        kept = len(tracks)
        if kept == len(songs):
            break
    assert kept >= kills
    with opened(music, folder) as library:
        assert (library.report.added, library.report.unchanged) == (len(songs) - kept, kept)
        assert library.check(sources=True).problems == ()
    assert len(feature_files(folder)) == len(songs)
    assert not list(folder.rglob(".*.part"))


@pytest.mark.slow
def test_ctrl_c_stops_at_once_and_keeps_what_is_done(music, folder):
    write_tones(music, 12)
    process = start(ADD, music, folder, "1.0", "10")
    for line in process.stdout:
        if int(line.split()[0]) >= 1:
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    with Library.open(folder=folder, encoder=None) as library:
        assert 1 <= len(library.tracks()) < 12


def test_only_our_own_leftovers_are_cleaned(filled, music):
    inner = feature_files(filled)[0].parent
    ours = [inner / f".mgsv-{'0' * 16}.part", inner / f"{'0' * 32}.safetensors"]  # no row names it
    others = [inner / "notes.part", inner / ".notes.part", inner / "readme.txt"]
    for file in (*ours, *others):
        file.write_text("x")
    opened(music, filled).close()  # nothing to write: nothing is touched
    assert all(file.exists() for file in ours)
    write_tone(music / "new.wav", 50.0)
    opened(music, filled).close()  # the writer before ended well: nothing is looked for
    assert all(file.exists() for file in ours)
    (filled / "writing").touch()  # as a killed writer leaves it
    write_tone(music / "newer.wav", 60.0)
    opened(music, filled).close()
    assert not (filled / "writing").exists()
    assert not any(file.exists() for file in ours) and all(file.exists() for file in others)


@pytest.mark.slow
def test_features_outlive_a_removal_that_is_killed_only_until_the_next_writer(filled, music):
    song = music / "001.wav"

    def remove():
        with Library.open(folder=filled, encoder=None) as library:
            library.remove(song)

    for step in range(40):
        killed = killed_before(step, remove)
        with opened(music, filled) as library:
            assert library.report.added <= 1
            assert library.check().problems == ()
        assert len(feature_files(filled)) == 3
        if not killed:
            break
    assert 3 < step < 39


# --- several processes ------------------------------------------------------------------------


@pytest.mark.slow
def test_a_second_writer_waits_for_the_first_and_says_so(music, tmp_path, folder):
    write_tones(music, 4)
    write_tone(tmp_path / "other/song.wav", 900.0)
    first = start(ADD, music, folder, "0.4", "0")
    first.stdout.readline()
    notes = []
    with opened(
        tmp_path / "other", folder, wait=60, progress=lambda s: notes.append(s.note)
    ) as library:
        assert library.report.added == 1
    assert f"waiting for process {first.pid}, which is writing this library" in notes
    assert first.wait() == 0
    with opened(None, folder) as library:
        assert len(library.tracks()) == 5


@pytest.mark.slow
def test_a_second_writer_that_does_not_wait_is_refused(filled, music):
    write_tone(music / "new.wav", 50.0)
    with contextlib.closing(FileStore(filled)) as store, store.writing(0, print):
        process = start(ADD, music, filled, "0", "0.2")
        _, errors = process.communicate()
    assert errors.startswith("refused:") and f"process {os.getpid()} is writing" in errors
    assert process.returncode == 1


def test_the_work_of_the_writer_waited_for_is_not_done_again(music, folder):
    write_tones(music, 3)
    first, second = TinyEncoder(pause=0.3), TinyEncoder()
    begun = threading.Event()
    thread = threading.Thread(
        target=lambda: opened(music, folder, first, progress=lambda _: begun.set()).close()
    )
    thread.start()
    begun.wait()
    with opened(music, folder, second) as library:
        assert library.report.unchanged == 3
    thread.join()
    assert (first.calls, second.calls) == (3, 0)


def test_a_reader_never_waits(filled, music):
    with contextlib.closing(FileStore(filled)) as store, store.writing(0, print):
        store._db.execute("BEGIN IMMEDIATE")
        store._db.execute("UPDATE track SET tempo = 1")
        begun = time.monotonic()
        with opened(music, filled, wait=0) as library:
            tracks = library.tracks()
            assert all(len(library.features(track).beats) >= 0 for track in tracks)
        assert time.monotonic() - begun < 1
        assert len(tracks) == 3 and all(track.tempo != 1 for track in tracks)
        store._db.execute("ROLLBACK")


# --- refusals ---------------------------------------------------------------------------------


def test_features_of_several_encoders_live_side_by_side(filled, music):
    one, two = TinyEncoder("tiny-1"), TinyEncoder("tiny-2")
    with opened(music, filled, two) as library:
        assert library.report.added == 3 and two.calls == 3
        assert library.encoder_fingerprint == "tiny-2"
        of_two = library.fingerprint
        tracks = library.tracks()
    with opened(music, filled, one) as library:
        assert library.report.unchanged == 3 and one.calls == 0
        assert library.encoder_fingerprint == "tiny-1" and library.fingerprint != of_two
        assert library.tracks() == tracks
        write_tone(music / "new.wav", 50.0)
        library.add(music)
        assert library.report.added == 1 and len(library.tracks()) == 4
    with Library.open(folder=filled, encoder=None) as library:
        assert library.encoder_fingerprint == "tiny-1", "most tracks have it"
        with pytest.raises(LibraryError, match="without an encoder"):
            library.add(music)
    with opened(None, filled, two) as library:
        assert library.tracks() == tracks, "the new one is not known to this encoder"
        assert library.check().tracks == 3
        assert library.remove(music) == 4
    assert not list(filled.glob("features/*/*"))


def test_a_damaged_catalogue_is_made_again_with_all_encoders(filled, music):
    opened(music, filled, TinyEncoder("tiny-2")).close()
    (filled / "catalogue.sqlite").write_text("x" * 1000)
    for name in ("tiny-1", "tiny-2"):
        encoder = TinyEncoder(name)
        with Library.open(music, folder=filled, encoder=encoder, repair=True) as library:
            assert len(library.tracks()) == 3 and encoder.calls == 0


def test_an_emptied_library_holds_no_encoder(filled, music):
    with opened(None, filled) as library:
        assert library.remove(music) == 3
        assert library.encoder_fingerprint is None
    with opened(music, filled, TinyEncoder("tiny-2")) as library:
        assert library.report.added == 3


def test_a_newer_format_is_refused(filled):
    with contextlib.closing(sqlite3.connect(filled / "catalogue.sqlite")) as db:
        db.execute("PRAGMA user_version = 99")
    assert_refused("written in format 99, this mgsv reads 5", filled)
    assert_refused("written in format 99", filled, repair=True)


def test_another_programs_database_is_refused(folder):
    folder.mkdir()
    with contextlib.closing(sqlite3.connect(folder / "catalogue.sqlite")) as db:
        db.execute("CREATE TABLE photo (id)")
    assert_refused("not a music library's catalogue", folder)


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "file").write_text("x")
    assert_refused("cannot be written", tmp_path / "file")
    assert_refused("cannot be written", tmp_path / "file/inside")


def test_a_folder_that_may_not_be_written(public_path):
    music, folder = public_path / "music", public_path / "library"
    write_tones(music, 2)
    opened(music, folder).close()
    write_tone(music / "new.wav", 50.0)

    def look():
        with Library.open(folder=folder, encoder=None) as library:
            assert len(library.features(library.tracks()[0]).segments) == 2
        assert_refused("cannot be written.*`folder`", folder, music_to_add=music)
        assert_refused("cannot be written", public_path / "new")

    def assert_refused(match, place, music_to_add=None):
        with pytest.raises(LibraryError, match=match):
            opened(music_to_add, place)

    for path in (*public_path.rglob("*"), public_path):
        path.chmod(0o755 if path.is_dir() else 0o644)
    as_nobody(look)


# --- damage -----------------------------------------------------------------------------------


def _text(file):
    file.write_text("this is no database, but it is long enough to look like one " * 20)


def _middle(file):
    data = bytearray(file.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    file.write_bytes(data)


def _cut(file):
    file.write_bytes(file.read_bytes()[:5000])


def _empty(file):
    file.write_bytes(b"")


@pytest.mark.parametrize("damage", [_text, _middle, _cut, _empty])
def test_a_damaged_catalogue_is_named_and_made_again_without_decoding(filled, music, damage):
    damage(filled / "catalogue.sqlite")
    with pytest.raises(LibraryError, match="--repair") as caught, opened(music, filled) as library:
        library.check()
    assert "catalogue.sqlite" in str(caught.value) and "\n" not in str(caught.value)
    encoder = TinyEncoder()
    with opened(music, filled, encoder, repair=True) as library:
        assert (library.report.moved, library.report.added) == (3, 0)
        assert library.check(sources=True).problems == ()
        assert len(library.tracks()) == 3
    assert encoder.calls == 0
    assert len(list(filled.glob("catalogue.damaged-*.sqlite"))) == 1


def leave_log(folder, tracks):
    """Make a store of `tracks` whose writer is killed, so that the catalogue's log stays."""

    def visit(store):
        for number in range(60):
            store.place(Place(b"/" + b"x" * 200 + b"%d" % number, 1, 1, None, "empty"))

    def write():
        store = FileStore(folder)
        with store.writing(0, print):
            visit(store)
            os.kill(os.getpid(), signal.SIGKILL)

    with contextlib.closing(FileStore(folder)) as store, store.writing(0, print):
        visit(store)
        for track in tracks:
            store.put(TrackRecord(track, 1.0, 0.0), "e-1", ARRAYS)
    assert killed_before(1_000_000, write)
    assert (folder / "catalogue.sqlite-wal").stat().st_size > 20_000


def assert_whole(folder, tracks, repair=False):
    with contextlib.closing(FileStore(folder, repair=repair)) as store:
        assert [record.id for record in store.records("e-1")] == tracks
        assert not [problem for _, problem in store.verify() if problem]


def test_a_log_without_its_catalogue_is_not_taken_for_the_new_ones(folder):
    tracks = [f"{number:032x}" for number in range(60)]
    leave_log(folder, tracks)
    (folder / "catalogue.sqlite").unlink()
    assert_whole(folder, tracks)
    assert len(list(folder.glob("catalogue.damaged-*.sqlite-wal"))) == 1


@pytest.mark.slow
def test_a_kill_in_a_repair_loses_nothing(folder, tmp_path):
    broken, tracks = tmp_path / "broken", ["0" * 32, "1" * 32]
    leave_log(broken, tracks)
    _text(broken / "catalogue.sqlite")
    for step in range(40):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(broken, folder)
        killed = killed_before(step, lambda: FileStore(folder, repair=True).close())
        with contextlib.suppress(LibraryError):
            assert_whole(folder, tracks)
        assert_whole(folder, tracks, repair=True)
        assert len(list(folder.glob("catalogue.damaged-*.sqlite"))) == 1
        assert not list(folder.glob(".catalogue.part*"))
        if not killed:
            break
    assert 15 < step < 39


def test_no_catalogue_that_was_set_aside_is_replaced(filled):
    for number in range(3):
        (filled / "catalogue.sqlite").write_text(f"{number}" * 1000)
        FileStore(filled, repair=True).close()
    contents = {file.read_text()[0] for file in filled.glob("catalogue.damaged-*.sqlite")}
    assert contents == {"0", "1", "2"}


def test_repair_leaves_a_sound_catalogue_alone(filled):
    with opened(None, filled, repair=True) as library:
        assert len(library.tracks()) == 3
    assert not list(filled.glob("catalogue.damaged-*"))


def _halve(file):
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


def _flip(file):
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)


def _claim_too_much(file):
    data = file.read_bytes()
    file.write_bytes((1 << 62).to_bytes(8, "little") + data[8:])


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("damage", "reading_fails"),
    [
        (_text, True),
        (_halve, True),
        (_empty, True),
        (_claim_too_much, True),
        (lambda file: file.unlink(), True),
        (_flip, False),  # found by the check sum, which only `check` looks at
        (lambda file: file.write_bytes(file.read_bytes()[:-1]), True),
    ],
)
def test_a_damaged_feature_file_is_named_and_repaired(filled, music, damage, reading_fails):
    with opened(music, filled) as library:
        bad, *rest = library.tracks()
        (file,) = filled.glob(f"features/*/{bad.id}.*")
        damage(file)
        if reading_fails:
            with pytest.raises(LibraryError, match=r"\.safetensors: .*--repair") as caught:
                library.features(bad)
            assert "\n" not in str(caught.value)
        assert len(library.features(rest[0]).segments) == 2
        report = library.check()
        assert [path for path, _ in report.problems] == [bad.path]
        assert report.tracks == 3 and report.dropped == 0
        assert library.check(repair=True).dropped == 1
        assert library.tracks() == rest
        assert library.add(music).added == 1
        assert library.check().problems == ()


def test_features_of_another_track_are_refused(filled, music):
    with opened(music, filled) as library:
        a, b, _ = library.tracks()
        (of_a,) = filled.glob(f"features/*/{a.id}.*")
        (of_b,) = filled.glob(f"features/*/{b.id}.*")
        of_a.write_bytes(of_b.read_bytes())
        with pytest.raises(LibraryError, match="belongs to another track"):
            library.features(a)


def test_check_finds_music_that_changed_under_the_same_size_and_time(filled, music):
    song = music / "001.wav"
    write_tone(song, 333.0)
    os.utime(song, ns=(0, 0))  # long ago, so that its time is trusted
    opened(music, filled).close()
    before = song.stat()
    song.write_bytes(b"\0" * before.st_size)
    os.utime(song, ns=(before.st_atime_ns, before.st_mtime_ns))
    with opened(music, filled) as library:
        assert library.check().problems == ()
        assert library.check(sources=True).problems == (
            (song, "its content is not what was indexed"),
        )


# --- full disk --------------------------------------------------------------------------------

LIMITED = """
import os, resource, sys
import torch  # once, not in every child
from library_support import opened
from mgsv.errors import LibraryError
music, *jobs = sys.argv[1:]
for folder, limit in zip(jobs[::2], jobs[1::2]):
    if os.fork() == 0:
        library = opened(None, folder)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit),) * 2)
        try:
            library.add(music)
        except LibraryError as error:
            print(f"refused: {error}", flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.slow
def test_a_full_disk_leaves_nothing_half_written(filled, music, tmp_path):
    """The limit meets a feature file or the catalogue's log, depending on its size."""
    write_tones(music, 7)
    limits = [0, 700, 9_000, 30_000]
    folders = [tmp_path / f"library-{limit}" for limit in limits]
    for folder in folders:
        shutil.copytree(filled, folder)
    jobs = [str(word) for pair in zip(folders, limits, strict=True) for word in pair]
    output, errors = start(LIMITED, music, *jobs).communicate()
    lines = output.splitlines()
    assert len(lines) == len(limits) and not errors
    for folder, line in zip(folders, lines, strict=True):
        assert line.startswith("refused:") and str(folder) in line
        assert "free some space" in line or "check free space" in line
        assert not list(folder.rglob(".*.part"))
        with Library.open(folder=folder, encoder=None) as library:
            kept = library.tracks()
            assert len(kept) >= 3
            assert library.check().problems == ()
        with opened(music, folder) as library:
            assert library.report.added == 7 - len(kept)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_filesystem_without_locks_is_named(filled, music, number, monkeypatch):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    write_tone(music / "new.wav", 50.0)
    monkeypatch.setattr(fcntl, "flock", fail)
    assert_refused("cannot lock files.*`folder`", filled, music=music)
    assert_refused("cannot lock files", filled.with_name("new"))
    with Library.open(folder=filled, encoder=None) as library:  # reading needs none of ours
        assert len(library.tracks()) == 3


def test_a_library_that_disappears_in_the_middle_is_not_begun_anew(filled, music):
    write_tones(music, 8)

    def vanish(step):
        if step.done == 1:
            shutil.rmtree(filled)

    assert_refused("moved or deleted", filled, music=music, progress=vanish)
    assert not filled.exists()
    with opened(music, filled) as library:
        assert library.report.added == 8


# --- the store by itself ----------------------------------------------------------------------


def test_a_store_returns_what_was_put(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "segments": rng.standard_normal((7, 5)).astype(np.float16),
        "segment_mask": np.array([1, 1, 1, 1, 1, 0, 0], bool),
        "onset": rng.random(100).astype(np.float16),
        "energy": rng.random(100).astype(np.float16),
        "beats": rng.random(9).astype(np.float32),
    }
    record = TrackRecord("ab" * 16, 12.5, 120.0, {"rock": 0.25, "Hip-Hop ♪": 0.5})
    place = tmp_path / os.fsdecode(b"f\xff lder?#%41")
    with contextlib.closing(FileStore(place)) as store, store.writing(1, print):
        assert store.encoders == []
        store.put(record, "e-1", arrays)
    with contextlib.closing(FileStore(place)) as store:
        assert store.encoders == ["e-1"]
        assert list(store.records("e-1")) == [record]
        read = store.read(record.id, "e-1", tuple(arrays))
        for name, array in arrays.items():
            assert read[name].dtype == array.dtype and np.array_equal(read[name], array)
        ((ids, means),) = store.means("e-1")
        assert ids == [record.id]
        expected = arrays["segments"][:5].astype(np.float32).mean(axis=0)
        np.testing.assert_allclose(means[0], expected, rtol=1e-6)


def test_features_of_an_earlier_version_are_read_without_downbeats(tmp_path):
    arrays = {name: array for name, array in ARRAYS.items() if name != "downbeats"}
    record = TrackRecord("ab" * 16, 12.5, 120.0)
    with contextlib.closing(FileStore(tmp_path)) as store, store.writing(1, print):
        store.put(record, "e-1", arrays)
        assert set(store.read(record.id, "e-1", tuple(ARRAYS))) == set(arrays)
        assert [problem for _, problem in store.verify() if problem] == []


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("segments", np.zeros(3)),
        ("segment_mask", np.ones(4)),
        ("onset", np.zeros(5)),
        ("beats", np.array([np.nan])),
    ],
)
def test_a_store_refuses_arrays_that_do_not_fit(tmp_path, name, array):
    arrays = {
        "segments": np.zeros((3, 2)),
        "segment_mask": np.ones(3),
        "onset": np.zeros(6),
        "energy": np.zeros(6),
        "beats": np.zeros(0),
    }
    record = TrackRecord("ab" * 16, 12.5, 120.0)
    with contextlib.closing(FileStore(tmp_path)) as store, store.writing(1, print):
        with pytest.raises(ValueError, match=name):
            store.put(record, "e-1", arrays | {name: array})
        assert not list(store.records("e-1"))
        store.put(record, "e-1", arrays)
        assert list(store.records("e-1")) == [record]
