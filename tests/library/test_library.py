import inspect
import os
from pathlib import Path

import numpy as np
import pytest

from library_support import TinyEncoder, opened, start, write_tone, write_tones
from mgsv.errors import LibraryError
from mgsv.library import Library, default_folder
from mgsv.media.audio import read_audio
from mgsv.media.metre import find_metre
from mgsv.media.rhythm import analyse_rhythm


def test_features_are_those_of_the_encoder_and_rhythm_in_half_precision(music, folder, encoder):
    (song,) = write_tones(music, 1)
    with opened(music, folder, encoder) as library:
        (track,) = library.tracks()
        features, curves = library.features(track), library.curves(track)
    audio = read_audio(song)
    rhythm = analyse_rhythm(audio.samples)
    encoded = TinyEncoder().encode(audio, rhythm)
    metre = find_metre(audio.samples, rhythm)
    assert features.segments.dtype == np.float16 and features.segments.shape == (2, 4)
    assert np.array_equal(features.segments, encoded.segments.astype(np.float16))
    assert features.segment_mask.tolist() == [True, True]
    for found in (features, curves):
        assert found.track == track
        assert np.array_equal(found.onset, rhythm.onset.astype(np.float16))
        assert np.array_equal(found.energy, rhythm.energy.astype(np.float16))
        assert np.array_equal(found.beats, metre.beats)
        assert np.array_equal(found.downbeats, metre.downbeats)
    assert (track.duration, track.tempo) == (audio.duration, rhythm.tempo)
    assert track.tags == ("loud", "sharp")


def test_a_library_opened_with_music_shows_only_that(tmp_path, folder, encoder):
    for k, name in enumerate(("a", "a0", "ab", "b")):
        write_tone(tmp_path / name / "song.wav", 100.0 + k)
    everything = [tmp_path / name / "song.wav" for name in ("a", "a0", "ab", "b")]
    with opened([tmp_path / n for n in ("b", "ab", "a", "a0")], folder, encoder) as library:
        assert [track.path for track in library.tracks()] == everything
        whole = library.fingerprint
    with opened(tmp_path / "a", folder, encoder) as library:
        assert [track.path for track in library.tracks()] == everything[:1]
        assert library.fingerprint != whole
        assert [track for track, _ in library.nearest(np.ones(4), 9)] == library.tracks()
        library.add(tmp_path / "b")
        assert [track.path for track in library.tracks()] == [everything[0], everything[3]]
    with opened(everything[2], folder, encoder) as library:
        assert [track.path for track in library.tracks()] == everything[2:3]
    with opened(None, folder, encoder) as library:
        assert [track.path for track in library.tracks()] == everything
        assert library.fingerprint == whole


def test_the_home_folder_and_the_default_place(tmp_path, monkeypatch, encoder):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("MGSV_LIBRARY", raising=False)
    write_tones(tmp_path / "Music", 1)
    with Library.open("~/Music", encoder=encoder) as library:
        assert [track.path for track in library.tracks()] == [tmp_path / "Music/000.wav"]
    assert default_folder() == tmp_path / "data/mgsv/library"
    assert (default_folder() / "catalogue.sqlite").exists()
    monkeypatch.setenv("MGSV_LIBRARY", "~/elsewhere")
    with Library.open("~/Music", encoder=encoder):
        assert (tmp_path / "elsewhere/catalogue.sqlite").exists()


def test_relative_paths_mean_the_same_files(music, folder, encoder, monkeypatch):
    write_tones(music, 2)
    opened(music, folder, encoder).close()
    monkeypatch.chdir(music)
    with opened(".", folder, encoder) as library:
        assert library.report.unchanged == 2
    with opened("../music/./000.wav", folder, encoder) as library:
        assert library.report.unchanged == 1


def test_gone_files_are_kept_until_removed(music, folder, encoder):
    first, second = write_tones(music, 2)
    with opened(music, folder, encoder) as library:
        first.rename(first.with_suffix(".away"))
        assert [track.path for track in library.tracks()] == [second]
        gone = library.tracks(missing=True)[0]
        assert gone.missing and gone.path == first and len(library.features(gone).segments) == 2
        first.with_suffix(".away").rename(first)
        assert library.add(music).unchanged == 2
        assert not library.tracks(missing=True)[0].missing
        assert library.remove(first) == 1
        assert [track.path for track in library.tracks(missing=True)] == [second]
    assert len(list(folder.glob("features/*/*"))) == 1 and first.exists()


def test_removing_one_copy_keeps_the_track(music, folder, encoder):
    (song,) = write_tones(music, 1)
    (music / "in").mkdir()
    (music / "in/copy.wav").write_bytes(song.read_bytes())
    with opened(music, folder, encoder) as library:
        assert library.remove(music / "in") == 1
        (track,) = library.tracks()
        assert track.path == song and track.copies == ()
        with pytest.raises(LibraryError, match="in: nothing of it is in the library"):
            library.remove(music / "in")


def test_nearest_is_exact(music, folder, encoder, monkeypatch):
    import mgsv.library.filestore as filestore

    monkeypatch.setattr(filestore, "_CHUNK", 3)
    for k in range(8):
        write_tone(music / f"{k}.wav", 100.0 * 2**k, seconds=3.0 + k)
    query = np.array([0.2, -0.5, 1.0, 0.1])
    with opened(music, folder, encoder) as library:
        found = library.nearest(query, 5)
        every = {}
        for track in library.tracks():
            mean = library.features(track).segments.astype(np.float64).mean(axis=0)
            every[track] = mean @ query / np.linalg.norm(mean) / np.linalg.norm(query)
        best = sorted(every, key=every.get, reverse=True)[:5]
        assert [track for track, _ in found] == best
        np.testing.assert_allclose([c for _, c in found], [every[t] for t in best], atol=1e-5)
        assert {cosine for _, cosine in library.nearest(np.zeros(4))} == {0.0}
        with pytest.raises(ValueError, match=r"\(3,\).*\(4,\)"):
            library.nearest(np.ones(3))


def test_the_fingerprint_is_of_the_content_not_the_place(music, tmp_path, encoder):
    write_tones(music, 2)
    prints = set()
    for name in ("one", "two"):
        with opened(music, tmp_path / name, encoder) as library:
            prints.add(library.fingerprint)
    (music / "000.wav").rename(music / "x.wav")
    with opened(music, tmp_path / "one", encoder) as library:
        prints.add(library.fingerprint)
        assert len(prints) == 1
        write_tone(music / "new.wav", 50.0)
        library.add(music)
        assert library.fingerprint not in prints
    with opened(music, tmp_path / "three", TinyEncoder("tiny-2")) as library:
        assert library.fingerprint not in prints


def test_no_music_named(folder, encoder):
    with pytest.raises(LibraryError, match="no music was named"):
        opened([], folder, encoder)


def test_several_threads_may_read(music, folder, encoder):
    from concurrent.futures import ThreadPoolExecutor

    write_tones(music, 6)
    with opened(music, folder, encoder) as library, ThreadPoolExecutor(4) as pool:
        lists = list(pool.map(lambda _: library.tracks(), range(40)))
        assert all(tracks == lists[0] for tracks in lists)


UNCHANGED = """
import sys
from library_support import opened
library = opened(sys.argv[1], sys.argv[2])
assert library.report.unchanged == 2
for track in library.tracks():
    library.curves(track)
heavy = {"torch", "av", "scipy"} & set(sys.modules)
assert not heavy, heavy
"""


def test_opening_an_unchanged_library_imports_nothing_heavy(music, folder, encoder):
    write_tones(music, 2)
    opened(music, folder, encoder).close()
    process = start(UNCHANGED, music, folder)
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def test_paths_come_back_as_they_are_on_disk(music, folder, encoder):
    name = os.fsdecode(b"caf\xe9\n.wav")
    write_tone(music / name)
    with opened(music, folder, encoder) as library:
        (track,) = library.tracks()
    assert track.path == music / name and track.path.exists()


def test_the_documented_wait_is_the_real_one():
    text = (Path(__file__).parents[2] / "docs/library.md").read_text(encoding="utf-8")
    wait = inspect.signature(Library.open).parameters["wait"].default
    assert f"waits up to {wait:g} s" in text


def test_a_listing_one_by_one_is_the_list(music, folder, tmp_path):
    """In the same order, copies and tracks whose files are gone among them."""
    write_tones(music, 3)
    copy = music / "zz" / "copy.wav"
    copy.parent.mkdir()
    copy.write_bytes((music / "001.wav").read_bytes())
    opened(music, folder).close()
    (music / "002.wav").unlink()
    with Library.open(folder=folder, encoder=None) as library:
        whole = library.tracks(missing=True)
        assert list(library.each()) == whole and len(whole) == 3
        some = [music / "zz", music, music / "000.wav"]
        assert list(library.each(under=some)) == library.tracks(under=some, missing=True)
        assert [t.path for t in library.each(under=[copy])] == [copy]
    with Library.open(folder=tmp_path / "empty", encoder=None) as library:
        assert not list(library.each())
