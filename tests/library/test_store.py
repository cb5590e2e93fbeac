"""What stays whole when things go wrong: kills, full disks, other writers, damage."""

import contextlib
import os
import random
import signal
import sqlite3
import threading
import time

import numpy as np
import pytest

from library_support import TinyEncoder, as_nobody, opened, start, write_tone, write_tones
from mgsv.errors import EncoderMismatch, LibraryError
from mgsv.library import Library
from mgsv.library.features import TrackRecord
from mgsv.library.filestore import FileStore

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


def assert_refused(match, folder, **options):
    with pytest.raises(LibraryError, match=match) as caught:
        opened(None, folder, **options)
    text = str(caught.value)
    assert "\n" not in text and str(folder) in text and caught.value.remedy


# --- kills and interrupts ---------------------------------------------------------------------


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_at_most_the_tracks_in_flight(music, folder):
    songs = write_tones(music, 30)
    chance = random.Random(7)
    kept = 0
    for _ in range(5):
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
    assert kept >= 5
    with opened(music, folder) as library:
        assert (library.report.added, library.report.unchanged) == (len(songs) - kept, kept)
        assert library.check(sources=True).problems == ()
    assert len(feature_files(folder)) == len(songs)
    assert not list(folder.rglob("*.part"))


def test_ctrl_c_stops_at_once_and_keeps_what_is_done(music, folder):
    write_tones(music, 12)
    process = start(ADD, music, folder, "1.0", "10")
    for line in process.stdout:
        if int(line.split()[0]) >= 1:
            break
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - asked < 4
    assert "KeyboardInterrupt" in errors
    with Library.open(folder=folder, encoder=None) as library:
        assert 1 <= len(library.tracks()) < 12


def test_only_our_own_leftovers_are_cleaned(filled, music):
    inner = feature_files(filled)[0].parent
    ours = inner / f".{'0' * 32}.part"
    others = [inner / "notes.part", inner / ".notes.part", inner / "readme.txt"]
    for file in (ours, *others):
        file.write_text("x")
    opened(music, filled).close()  # nothing to write: nothing is touched
    assert ours.exists()
    write_tone(music / "new.wav", 50.0)
    opened(music, filled).close()
    assert not ours.exists() and all(file.exists() for file in others)


# --- several processes ------------------------------------------------------------------------


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


def test_another_encoder_is_refused_and_both_are_named(filled, music):
    with pytest.raises(EncoderMismatch, match=r"tiny-1.*tiny-2.*--library"):
        opened(music, filled, TinyEncoder("tiny-2"))
    with Library.open(folder=filled, encoder=None) as library:
        assert library.encoder_fingerprint == "tiny-1"
        with pytest.raises(LibraryError, match="without an encoder"):
            library.add(music)


def test_another_encoder_is_refused_even_if_it_came_in_the_meantime(music, folder):
    write_tones(music, 1)
    with opened(None, folder, TinyEncoder("tiny-2")) as late:
        opened(music, folder, TinyEncoder("tiny-1")).close()
        write_tone(music / "new.wav", 50.0)
        with pytest.raises(EncoderMismatch):
            late.add(music)


def test_an_emptied_library_is_free_for_another_encoder(filled, music):
    with opened(None, filled) as library:
        assert library.remove(music) == 3
    with opened(music, filled, TinyEncoder("tiny-2")) as library:
        assert library.report.added == 3


def test_a_newer_format_is_refused(filled):
    with contextlib.closing(sqlite3.connect(filled / "catalogue.sqlite")) as db:
        db.execute("PRAGMA user_version = 99")
    assert_refused("written in format 99, this mgsv reads 2", filled)
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
        assert_refused("cannot be written.*--library", folder, music_to_add=music)
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
        (file,) = filled.glob(f"features/*/{bad.id}.safetensors")
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
        (of_a,) = filled.glob(f"features/*/{a.id}.safetensors")
        (of_b,) = filled.glob(f"features/*/{b.id}.safetensors")
        of_a.write_bytes(of_b.read_bytes())
        with pytest.raises(LibraryError, match="belongs to another track"):
            library.features(a)


def test_check_finds_music_that_changed_under_the_same_size_and_time(filled, music):
    song = music / "001.wav"
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
import resource, sys
from library_support import TinyEncoder, opened
from mgsv.errors import LibraryError
library = opened(None, sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    library.add(sys.argv[1])
except LibraryError as error:
    sys.exit(f"refused: {error}")
"""


@pytest.mark.parametrize("limit", [0, 1, 700, 9_000, 30_000, 60_000])
def test_a_full_disk_leaves_nothing_half_written(filled, music, limit):
    """The limit meets the lock, a feature file, or the catalogue's log, depending on its size."""
    write_tones(music, 12)
    process = start(LIMITED, music, filled, str(limit))
    _, errors = process.communicate()
    assert process.returncode == 1 and errors.startswith("refused:"), errors
    assert errors.count("\n") == 1
    assert not list(filled.rglob("*.part"))
    with Library.open(folder=filled, encoder=None) as library:
        kept = library.tracks()
        assert len(kept) >= 3
        assert library.check().problems == ()
    with opened(music, filled) as library:
        assert library.report.added == 12 - len(kept)


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
        assert store.encoder is None
        store.put(record, "e-1", arrays)
    with contextlib.closing(FileStore(place)) as store:
        assert store.encoder == "e-1"
        assert store.records() == {record.id: record}
        read = store.read(record.id, tuple(arrays))
        for name, array in arrays.items():
            assert read[name].dtype == array.dtype and np.array_equal(read[name], array)
        ((ids, means),) = store.means()
        assert ids == [record.id]
        expected = arrays["segments"][:5].astype(np.float32).mean(axis=0)
        np.testing.assert_allclose(means[0], expected, rtol=1e-6)


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
        assert store.records() == {}
        store.put(record, "e-1", arrays)
        assert store.records() == {record.id: record}
