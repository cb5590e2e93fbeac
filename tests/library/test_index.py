"""What adding music reads, keeps and reports.

Tolerances: durations of wav files are exact; 0.1 s covers what a step of 2.5 s rounds.
"""

import contextlib
import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from library_support import TinyEncoder, opened, write_tone, write_tones
from media_files import Clip, sine, write_audio, write_video
from mgsv.errors import LibraryError, MediaError
from mgsv.grounding.tracks import usable_tracks
from mgsv.jobs import Threads
from mgsv.library import index
from mgsv.library.features import TENSORS
from mgsv.library.filestore import FileStore
from mgsv.library.store import UNSETTLED
from mgsv.media import isolated
from old_catalogues import downgrade


def counts(report):
    return report.added, report.unchanged, report.moved, len(report.failed)


def aged(path, seconds=60):
    """Sets the file's time back, so that the next change is sure to show in it."""
    os.utime(path, ns=(0, time.time_ns() - seconds * 10**9))


def test_the_first_time_everything_the_second_time_nothing(music, folder, encoder):
    write_tones(music, 5)
    with opened(music, folder, encoder) as library:
        assert counts(library.report) == (5, 0, 0, 0)
        assert library.report.seconds == pytest.approx(20.0, abs=0.1)
    with opened(music, folder, encoder) as library:
        assert counts(library.report) == (0, 5, 0, 0)
        assert len(library.tracks()) == 5
    assert encoder.calls == 5


def test_a_file_with_the_same_size_and_time_is_not_read(music, folder, encoder):
    (song,) = write_tones(music, 1)
    aged(song)
    opened(music, folder, encoder).close()
    before = song.stat()
    song.write_bytes(b"\0" * before.st_size)
    os.utime(song, ns=(before.st_atime_ns, before.st_mtime_ns))
    with opened(music, folder, encoder) as library:
        assert counts(library.report) == (0, 1, 0, 0)


def test_a_moved_file_keeps_its_features(music, folder, encoder):
    first, _ = write_tones(music, 2)
    with opened(music, folder, encoder) as library:
        before = library.features(library.tracks()[0])
    first.rename(music / "renamed.wav")
    with opened(music, folder, encoder) as library:
        assert counts(library.report) == (0, 1, 1, 0)
        assert [t.path.name for t in library.tracks(missing=True)] == ["001.wav", "renamed.wav"]
        after = library.features(library.tracks()[1])
    assert after.track.id == before.track.id
    assert np.array_equal(after.segments, before.segments)
    assert encoder.calls == 2


def test_a_copy_is_one_track_with_two_places(music, folder, encoder):
    (song,) = write_tones(music, 1)
    opened(music, folder, encoder).close()
    shutil.copy(song, music / "copy.wav")
    with opened(music, folder, encoder) as library:
        (track,) = library.tracks()
    assert track.path == song and track.copies == (music / "copy.wav",)
    assert encoder.calls == 1
    song.unlink()
    with opened(music, folder, encoder) as library:
        (track,) = library.tracks()
    assert track.path == music / "copy.wav" and not track.missing


def test_copies_added_at_once_are_encoded_once(music, folder):
    encoder = TinyEncoder(pause=0.2)
    song = write_tone(music / "0.wav")
    for k in range(1, 6):
        shutil.copy(song, music / f"{k}.wav")
    with opened(music, folder, encoder, executor=Threads(3)) as library:
        assert counts(library.report) == (1, 0, 5, 0)
    assert encoder.calls == 1


def test_two_files_that_change_names_keep_their_features(music, folder, encoder):
    a, b = write_tones(music, 2)
    with opened(music, folder, encoder) as library:
        ids = [track.id for track in library.tracks()]
    a.rename(music / "x")
    b.rename(a)
    (music / "x").rename(b)
    with opened(music, folder, encoder) as library:
        assert [track.id for track in library.tracks()] == ids[::-1]
        assert all(len(library.features(t).segments) for t in library.tracks())
    assert encoder.calls == 2


def test_changed_content_replaces_the_track_and_its_features(music, folder, encoder):
    (song,) = write_tones(music, 1)
    opened(music, folder, encoder).close()
    old = list(folder.glob("features/*/*"))
    write_tone(song, hertz=999.0)
    with opened(music, folder, encoder) as library:
        assert counts(library.report) == (1, 0, 0, 0)
        (track,) = library.tracks()
    new = list(folder.glob("features/*/*"))
    assert len(old) == len(new) == 1 and old != new and new[0].name.startswith(track.id)


def test_a_touched_file_is_unchanged(music, folder, encoder):
    (song,) = write_tones(music, 1)
    opened(music, folder, encoder).close()
    os.utime(song, ns=(1, 1))
    for _ in range(2):
        with opened(music, folder, encoder) as library:
            assert counts(library.report) == (0, 1, 0, 0)
    assert encoder.calls == 1


def test_bad_files_are_listed_with_reasons_and_the_rest_is_added(music, folder, encoder):
    write_tones(music, 2)
    (music / "text.mp3").write_text("this is no music")
    (music / "empty.ogg").write_bytes(b"")
    os.mkfifo(music / "pipe.wav")
    with opened(music, folder, encoder) as library:
        report = library.report
    assert report.added == 2
    reasons = {path.name: reason for path, reason in report.failed}
    assert reasons.keys() == {"text.mp3", "empty.ogg", "pipe.wav"}
    assert "not a media file" in reasons["text.mp3"] and str(music) not in reasons["text.mp3"]
    assert "empty" in reasons["empty.ogg"]


def test_a_bad_file_is_reported_again_but_read_only_when_it_changes(
    music, folder, encoder, monkeypatch
):
    from mgsv.media import isolated

    reads = []
    read = isolated.read_audio
    monkeypatch.setattr(
        isolated, "read_audio", lambda path, *how: reads.append(path) or read(path, *how)
    )
    write_tones(music, 1)
    bad = music / "bad.wav"
    bad.write_text("no")
    for _ in range(3):
        with opened(music, folder, encoder) as library:
            assert [path for path, _ in library.report.failed] == [bad]
    assert reads.count(bad) == 1
    with opened(None, folder, encoder) as library:
        assert counts(library.add(music)) == (0, 1, 0, 1)  # `add` itself tries again
    assert reads.count(bad) == 2
    write_tone(bad, hertz=777.0)
    with opened(music, folder, encoder) as library:
        assert counts(library.report) == (1, 1, 0, 0)


def test_a_failure_that_is_not_the_files_fault_is_tried_again(music, folder, encoder):
    write_tones(music, 3)

    class Moody(TinyEncoder):
        def encode(self, *_):
            raise RuntimeError("no more\nmemory")

    with opened(music, folder, Moody()) as library:
        assert counts(library.report) == (0, 0, 0, 3)
        assert library.report.failed[0][1] == r"RuntimeError: no more\nmemory"
    with opened(music, folder, encoder) as library:
        assert counts(library.report) == (3, 0, 0, 0)


@pytest.mark.parametrize(
    ("error", "remembered"),
    [
        (MediaError("x", "it cannot be decoded", "get it again"), True),
        (ValueError("no such layout"), True),
        (ZeroDivisionError("division by zero"), True),
        (OSError(5, "Input/output error"), False),
        (OSError(116, "Stale file handle"), False),
        (MemoryError(), False),
        (RuntimeError("not enough memory: you tried to allocate 9 bytes"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_failures_that_may_pass_are_tried_again(
    music, folder, encoder, monkeypatch, error, remembered
):
    from mgsv.media import isolated as audio

    reads = []

    def fail(path, *_):
        reads.append(path)
        raise error

    write_tones(music, 1)
    with monkeypatch.context() as patch:
        patch.setattr(audio, "read_audio", fail)
        for _ in range(2):
            with opened(music, folder, encoder) as library:
                ((_, reason),) = library.report.failed
                assert reason and "\n" not in reason
    assert len(reads) == (1 if remembered else 2)
    with opened(None, folder, encoder) as library:
        assert counts(library.add(music)) == (1, 0, 0, 0), "adding tries again"


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6], ids=str)
def test_features_that_cannot_be_stored_fail_that_file(music, folder, value):
    write_tones(music, 1)

    class Broken(TinyEncoder):
        def encode(self, audio, rhythm):
            found = super().encode(audio, rhythm)
            found.segments[0, 0] = value
            return found

    with opened(music, folder, Broken()) as library:
        ((_, reason),) = library.report.failed
    assert "segments holds values that are not finite" in reason
    assert not list(folder.glob("features/*/*"))


def test_a_file_that_changes_while_it_is_read_is_not_kept(music, folder):
    (song,) = write_tones(music, 1)

    class Slow(TinyEncoder):
        def encode(self, audio, rhythm):
            write_tone(song, hertz=555.0, seconds=5.0)
            return super().encode(audio, rhythm)

    with opened(music, folder, Slow()) as library:
        ((_, reason),) = library.report.failed
        assert "changed while it was being read" in reason
        assert library.tracks(missing=True) == []


def test_a_file_that_changes_within_a_tick_of_the_clock_is_read_again(music, folder, encoder):
    """Its size and time are as before, as on a memory stick, whose times are whole seconds."""
    song, other = write_tones(music, 2)
    aged(other)
    now = song.stat().st_mtime_ns
    for hertz in (300.0, 400.0):
        with opened(music, folder, encoder) as library:
            before = library.tracks()[0].id
        write_tone(song, hertz)
        os.utime(song, ns=(now, now))
        with opened(music, folder, encoder) as library:
            assert counts(library.report) == (1, 1, 0, 0)
            assert library.tracks()[0].id != before
    with opened(music, folder, encoder) as library:
        assert counts(library.report) == (0, 2, 0, 0)
    assert encoder.calls == 2 + 2


def test_a_new_file_needs_no_writing_again(music, folder, encoder):
    write_tones(music, 2)
    opened(music, folder, encoder).close()
    store = FileStore(folder)
    with (
        contextlib.closing(store),
        store.writing(0, print),
        opened(music, folder, encoder, wait=0) as library,
    ):
        assert counts(library.report) == (0, 2, 0, 0)
    assert {place.mtime_ns for place in FileStore(folder).places().values()} == {UNSETTLED}
    for song in music.iterdir():
        aged(song)
    write_tone(music / "new.wav", 999.0)
    opened(music, folder, encoder).close()
    settled = [place.mtime_ns != UNSETTLED for place in FileStore(folder).places().values()]
    assert settled == [True, True, False], "the next writer notes the times of the others"


@pytest.mark.parametrize("seconds", [-10 * 365 * 86_400, 80 * 365 * 86_400], ids=["future", "1946"])
def test_a_wrong_clock_makes_no_file_new(music, folder, encoder, monkeypatch, seconds):
    (song,) = write_tones(music, 1)
    aged(song, seconds)
    reads = []
    opened(music, folder, encoder).close()
    monkeypatch.setattr(index, "content_hash", lambda path: reads.append(path) or "")
    for ahead in (-1e6, 0, 1e6):  # our own clock, between the runs
        now = time.time_ns() + int(ahead * 1e9)
        monkeypatch.setattr(index.time, "time_ns", lambda now=now: now)
        with opened(music, folder, encoder) as library:
            assert counts(library.report) == (0, 1, 0, 0)
    assert not reads and encoder.calls == 1
    write_tone(song, 999.0)
    with opened(music, folder, encoder) as library:
        assert counts(library.report) == (1, 0, 0, 0)


@pytest.mark.parametrize("pulled", ["whole", "one song"])
def test_a_folder_that_disappears(music, folder, encoder, pulled):
    """As when its drive is pulled out: what was added stays, and the next run adds the rest."""
    songs = write_tones(music, 8)
    away = music.with_name("away")

    def pull(step):
        if step.done == 3:
            if pulled == "whole":
                music.rename(away)
            else:
                songs[-1].unlink()

    if pulled == "one song":
        with opened(music, folder, encoder, executor=Threads(1), progress=pull) as library:
            assert library.report.added == 7
            assert library.report.failed == ((songs[-1], "no such file or directory"),)
        return
    with pytest.raises(
        LibraryError, match=r"music: it went away .* (\d) tracks were added: "
    ) as error:
        opened(music, folder, encoder, executor=Threads(1), progress=pull)
    assert "\n" not in str(error.value)
    away.rename(music)
    with opened(music, folder, encoder) as library:
        assert library.report.added + library.report.unchanged == 8
        assert library.report.unchanged >= 3 and encoder.calls <= 9
        assert library.check(sources=True).problems == ()


def test_a_file_that_is_gone_when_it_is_decoded_is_tried_again(music, folder, monkeypatch):
    """The decoder says so in words of its own, as of a file that it cannot read."""
    (song,) = write_tones(music, 1)
    away = song.with_suffix(".away")
    decode = isolated.read_audio

    def late(path, *how, **more):
        song.rename(away)
        return decode(path, *how, **more)

    monkeypatch.setattr(isolated, "read_audio", late)
    with opened(music, folder) as library:
        assert library.report.failed == ((song, "no such file or directory"),)
    monkeypatch.undo()
    away.rename(song)
    with opened(music, folder) as library:
        assert library.report.added == 1


@pytest.mark.slow
@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
def test_a_library_that_disappears_is_not_written_any_more(music, folder, encoder, how):
    """SQLite would go on with the deleted file, and the report would tell of tracks nobody has."""
    write_tones(music, 6)
    away = folder.with_name("away")

    def pull(step):
        if step.done == 3:
            folder.rename(away)
            if how == "deleted":
                shutil.rmtree(away)
            if how == "replaced":
                opened(None, folder).close()

    with pytest.raises(LibraryError, match="moved or deleted while it was in use"):
        opened(music, folder, encoder, executor=Threads(1), progress=pull)
    if how == "moved":
        assert not folder.exists()
        with opened(None, away) as library:
            assert len(library.tracks()) == 3 and library.check().problems == ()
    with opened(music, folder, encoder) as library:
        assert library.report.added == 6


@pytest.mark.slow
@pytest.mark.parametrize("version", [1, 2, 3])
def test_adding_brings_tracks_of_an_earlier_version_up_to_date(music, folder, encoder, version):
    for name, hertz in (("a", 300.0), ("b", 400.0)):
        write_tone(music / f"{name}.wav", hertz, seconds=12)
    with opened(music, folder, encoder) as library:
        fresh = [library.features(track) for track in library.tracks()]
    downgrade(folder, version)
    with opened(music, folder, encoder) as library:
        assert (library.report.updated, library.report.unchanged) == (0, 2), "opening takes no time"
        tracks = library.tracks()
        assert [library.features(track).downbeats for track in tracks] == [None, None]
        notes = [
            "2 of 2 tracks were analysed by an earlier version; "
            "`mgsv library add FOLDER` finds their beats and bars anew"
        ]
        assert usable_tracks(library) == (tracks, notes) and library.check().outdated == 2
        report = library.add(music)
        assert (report.updated, report.added, report.unchanged, report.seconds) == (2, 0, 0, 24)
        assert encoder.calls == 2, "the encoder's features stay"
        for track, expected in zip(library.tracks(), fresh, strict=True):
            found = library.features(track)
            assert len(found.downbeats) and found.track == expected.track and not track.outdated
            for name in TENSORS:
                assert np.array_equal(getattr(found, name), getattr(expected, name))
        checked = library.check()
        assert (checked.problems, checked.outdated) == ((), 0) and usable_tracks(library)[1] == []
        report = library.add(music)
        assert (report.updated, report.unchanged) == (0, 2)


def test_a_track_of_an_earlier_version_that_cannot_be_read_now_is_kept(
    music, folder, encoder, monkeypatch
):
    (song,) = write_tones(music, 1)
    opened(music, folder, encoder).close()
    downgrade(folder, 3)

    def fails(path, *_, **__):
        raise MediaError(path, "the sound cannot be decoded", "convert it")

    monkeypatch.setattr("mgsv.media.isolated.read_audio", fails)
    with opened(None, folder, encoder) as library:
        report = library.add(music)
        assert report.updated == 0 and [path for path, _ in report.failed] == [song]
        (track,) = library.tracks()
        assert track.outdated and len(library.features(track).beats) == 4


def test_damaged_features_of_an_earlier_version_are_made_again(music, folder, encoder):
    write_tones(music, 1)
    opened(music, folder, encoder).close()
    downgrade(folder, 3)
    (file,) = folder.glob("features/*/*")
    file.write_bytes(b"no features")
    with opened(None, folder, encoder) as library:
        assert library.add(music).updated == 1 and encoder.calls == 2
        assert library.check().problems == ()


def test_a_short_track_is_indexed_and_marked(music, folder, encoder):
    write_tone(music / "short.wav", seconds=1.0)
    write_tone(music / "song.wav", seconds=3.5)
    with opened(music, folder, encoder) as library:
        long_enough = {track.path.name: not track.too_short for track in library.tracks()}
    assert long_enough == {"short.wav": False, "song.wav": True}


@pytest.fixture
def mixed(music):
    """Two songs in containers that videos have too, a music video, and what is neither."""
    music.mkdir()
    sound = sine(4.0, 48_000)
    write_audio(music / "song.webm", sound, 48_000, "opus")
    write_audio(music / "song.mp4", sine(4.0, 48_000, 330), 48_000, "aac")
    write_audio(music / "song.aifc", sine(4.0, 48_000, 220), 48_000, "pcm_mulaw", "aiff")
    write_video(music / "clip.webm", Clip(seconds=1), codec="vp9", audio=sound, audio_codec="opus")
    write_video(music / "clip.mp4", Clip(seconds=1))
    for name in ("notes.txt", "cover.jpg", "tune.mid", ".hidden.mp4"):
        (music / name).write_bytes(b"x")
    return music


def test_what_may_be_music_is_looked_into_and_videos_are_counted(mixed, folder, encoder):
    ignored = {"mid": 1, "mp4": 1, "webm": 1}
    with opened(mixed, folder, encoder) as library:
        assert counts(library.report) == (3, 0, 0, 0)
        assert library.report.ignored == ignored
        names = [track.path.name for track in library.tracks()]
        assert names == ["song.aifc", "song.mp4", "song.webm"]
    with opened(mixed, folder, encoder) as library:
        assert counts(library.report) == (0, 3, 0, 0)
        assert library.report.ignored == ignored


def test_videos_are_looked_into_once_and_never_hashed(mixed, folder, encoder, monkeypatch):
    import mgsv.library.analysis as analysis
    from mgsv.media import isolated as contents

    looked, hashed = [], []
    look, content_hash = contents.has_moving_picture, analysis.content_hash
    monkeypatch.setattr(
        contents, "has_moving_picture", lambda path: looked.append(Path(path).name) or look(path)
    )
    monkeypatch.setattr(
        analysis, "content_hash", lambda path: hashed.append(path) or content_hash(path)
    )
    for _ in range(2):
        with opened(mixed, folder, encoder) as library:
            library.add(mixed)
    assert sorted(looked) == [
        "clip.mp4",
        "clip.webm",
        "song.mp4",
        "song.webm",
    ]
    assert not any(b"clip" in path for path in hashed)
    write_audio(mixed / "clip.mp4", sine(5.0, 48_000), 48_000, "aac")
    with opened(mixed, folder, encoder) as library:
        assert counts(library.report) == (1, 3, 0, 0), "looked into again when it changed"


def test_a_video_that_is_named_itself_is_music(mixed, folder, encoder):
    opened(mixed, folder, encoder).close()
    with opened(mixed / "clip.webm", folder, encoder) as library:
        assert counts(library.report) == (1, 0, 0, 0)
        assert [track.path.name for track in library.tracks()] == ["clip.webm"]


def test_a_damaged_file_that_may_be_music_is_named(mixed, folder, encoder):
    (mixed / "half.mp4").write_bytes((mixed / "song.mp4").read_bytes()[:2000])
    for _ in range(2):
        with opened(mixed, folder, encoder) as library:
            assert [path.name for path, _ in library.report.failed] == ["half.mp4"]


def test_a_folder_without_music(music, folder, encoder):
    music.mkdir()
    (music / "readme.txt").write_text("nothing here")
    with pytest.raises(LibraryError, match=r"no music files in here: .*flac.*mp3.*opus"):
        opened(music, folder, encoder)
    (music / "tune.mid").write_text("x")
    write_video(music / "clip.mp4", Clip(seconds=1))
    for _ in range(2):
        with pytest.raises(LibraryError, match=r"no music files in here, only 1 .mid, 1 .mp4: "):
            opened(music, folder, encoder)


def test_progress_counts_changed_files_and_names_the_bad_ones(music, folder, encoder):
    write_tones(music, 3)
    opened(music, folder, encoder).close()
    write_tone(music / "new.wav", hertz=50.0)
    (music / "bad.mp3").write_text("no")
    steps = []
    opened(music, folder, encoder, progress=steps.append).close()
    assert [(s.done, s.total) for s in steps] == [(0, 2), (1, 2), (2, 2)]
    notes = {s.path.name: s.note for s in steps if s.path}
    assert notes["new.wav"] == "" and "not a media file" in notes["bad.mp3"]
    assert steps[-1].seconds == pytest.approx(4.0, abs=0.1)


def test_any_name_survives_the_round_trip(music, folder, encoder):
    names = ["a b", "new\nline", "🎵", "-dash", os.fsdecode(b"\xff\xe9"), "%41?#'\""]
    for k, name in enumerate(names):
        write_tone(music / f"{name}.wav", 100.0 + k)
    opened(music, folder, encoder).close()
    with opened(music, folder, encoder) as library:
        assert counts(library.report) == (0, 6, 0, 0)
        assert {track.path.stem for track in library.tracks()} == set(names)
        assert all(track.path.exists() for track in library.tracks())


def test_an_exception_in_the_progress_callback_ends_the_adding(music, folder, encoder):
    write_tones(music, 4)

    def stop(step):
        if step.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        opened(music, folder, encoder, progress=stop, executor=Threads(1))
    assert not any(thread.name.startswith("work-") for thread in threading.enumerate())
    with opened(music, folder, encoder) as library:
        assert counts(library.report) == (2, 2, 0, 0)
