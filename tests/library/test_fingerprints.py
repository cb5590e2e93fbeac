"""Fingerprints of tracks: made once, kept, made again where they are not whole."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from library_support import opened
from media_files import Clip, write_audio, write_video
from mgsv.errors import LibraryError
from mgsv.jobs import Processes
from mgsv.library.fingerprints import fingerprint_file, open_fingerprints
from mgsv.media import audio, isolated
from mgsv.media.audio import read_audio
from mgsv.media.landmarks import Peaks, find_peaks, pair_keys
from mgsv.media.sign_waveform import pack_signs, signs, whiten
from tunes import RATE, tune, write_tunes


def test_prints_are_kept(music: Path, folder: Path) -> None:
    write_tunes(music, range(2), seconds=5)
    first, report = open_fingerprints([bytes(music)], folder)
    again, second = open_fingerprints([bytes(music)], folder)
    assert (report.made, second.made) == (2, 0)
    for one, other in zip(first, again, strict=True):
        assert (one.id, one.path, one.samples) == (other.id, other.path, 5 * RATE)
        np.testing.assert_array_equal(one.peaks.frames, other.peaks.frames)
        np.testing.assert_array_equal(one.peaks.bins, other.peaks.bins)
        np.testing.assert_array_equal(
            one.signs, pack_signs(whiten(read_audio(one.path, RATE).samples))
        )


def test_a_copy_is_the_same_track(music: Path, folder: Path) -> None:
    (path,) = write_tunes(music, range(1), seconds=5)
    shutil.copy(path, music / "again.wav")
    (track,), report = open_fingerprints([bytes(music)], folder)
    assert track.path.name == "again.wav" and track.copies == (path,)
    assert report.made == 1


@pytest.mark.slow
def test_processes_make_the_same_prints(music: Path, folder: Path) -> None:
    write_tunes(music, range(2), seconds=5)
    (music / "text.mp3").write_text("no music")
    with Processes(2) as processes:
        there, report = open_fingerprints([bytes(music)], folder / "there", executor=processes)
    here, expected = open_fingerprints([bytes(music)], folder / "here")
    assert report == expected and report.made == 2
    for one, other in zip(there, here, strict=True):
        assert (one.id, one.path) == (other.id, other.path)
        np.testing.assert_array_equal(one.peaks.bins, other.peaks.bins)
        np.testing.assert_array_equal(one.signs, other.signs)


def test_an_interrupt_leaves_no_threads(music: Path, folder: Path) -> None:
    """Not even while its traceback, and so the loop over the files, is held."""
    write_tunes(music, range(3), seconds=5)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as held:
        open_fingerprints([bytes(music)], folder, progress=stop)
    assert held.traceback
    assert not any(thread.name.startswith("work-") for thread in threading.enumerate())


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, None], ids=["empty", "zeros", "cut"])
def test_a_damaged_print_is_made_again(music: Path, folder: Path, damage: bytes | None) -> None:
    write_tunes(music, range(1), seconds=5)
    (track,), _ = open_fingerprints([bytes(music)], folder)
    kept = track.signs
    track.file.write_bytes(track.file.read_bytes()[:-100] if damage is None else damage)
    (again,), report = open_fingerprints([bytes(music)], folder)
    assert report.made == 1
    np.testing.assert_array_equal(again.signs, kept)


def test_what_is_no_music_is_reported_and_left_out(music: Path, folder: Path) -> None:
    write_tunes(music, range(1), seconds=5)
    (music / "text.mp3").write_text("no music")
    tracks, report = open_fingerprints([bytes(music)], folder)
    assert len(tracks) == 1
    assert [(path.name, "not a media file" in why) for path, why in report.failed] == [
        ("text.mp3", True)
    ]


def test_a_track_that_changes_while_it_is_read_leaves_no_print(
    music: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would lie under the name of what the file held before."""
    (song,) = write_tunes(music, range(1), seconds=5)
    read = audio.read_audio

    def read_then_change(*how: object) -> audio.Audio:
        write_audio(song, tune(9, 6), RATE)
        return read(*how)

    with monkeypatch.context() as patch:
        patch.setattr(isolated, "read_audio", read_then_change)
        tracks, report = open_fingerprints([bytes(music)], folder)
    assert tracks == [] and "changed while it was being read" in report.failed[0][1]
    assert not list(folder.rglob("*.safetensors"))
    ((track,), report) = open_fingerprints([bytes(music)], folder)
    assert report.made == 1 and track.seconds == 6


def test_videos_among_the_music_are_counted(music: Path, folder: Path) -> None:
    write_tunes(music, range(1), seconds=5)
    write_audio(music / "song.webm", tune(7, 5), 48_000, "opus")
    write_video(music / "clip.webm", Clip(seconds=1), codec="vp9")
    tracks, report = open_fingerprints([bytes(music)], folder)
    assert [track.path.name for track in tracks] == ["song.webm", "tune0.wav"]
    assert report.ignored == {"webm": 1} and not report.failed
    for path in music.iterdir():
        if path.name != "clip.webm":
            path.unlink()
    with pytest.raises(LibraryError, match=r"no music was found, only 1 \.webm: "):
        open_fingerprints([bytes(music)], folder)


def test_no_music(music: Path, folder: Path) -> None:
    music.mkdir()
    with pytest.raises(LibraryError, match="no music was found"):
        open_fingerprints([bytes(music)], folder)


def test_a_print_goes_with_its_track(music: Path, folder: Path) -> None:
    (path,) = write_tunes(music, range(1), seconds=5)
    with opened(music, folder) as library:
        (track,) = library.tracks()
        open_fingerprints([bytes(music)], folder)
        assert fingerprint_file(folder, track.id).exists()
        library.remove(path)
        assert not fingerprint_file(folder, track.id).exists()


def test_signs_beside_the_track_are_zero() -> None:
    packed = pack_signs(np.array([1.0, -1.0] * 5, np.float32))
    np.testing.assert_array_equal(signs(packed, -2, 3), [0, 0, 1, -1, 1])
    np.testing.assert_array_equal(signs(packed, 7, 9), [-1, 1])
    assert not signs(packed, 100, 110).any() and len(signs(packed, -9, -4)) == 5


def test_peaks_do_not_depend_on_the_chunks_they_are_found_in() -> None:
    """A chunk is 33 s; 10 s are 625 frames."""
    samples = tune(3, 50)
    whole, later = find_peaks(samples), find_peaks(samples[10 * RATE :])
    inside = whole.frames >= 625 + 63  # the first second loses what was before it
    beyond = later.frames >= 63
    np.testing.assert_array_equal(whole.frames[inside] - 625, later.frames[beyond])
    np.testing.assert_array_equal(whole.bins[inside], later.bins[beyond])


def test_keys_are_of_near_pairs_only() -> None:
    peaks = Peaks(np.array([0, 10, 20, 200], np.int32), np.array([50, 60, 150, 60], np.float32))
    keys, frames = pair_keys(peaks)
    assert keys.tolist() == [50 << 12 | (10 + 32) << 6 | 10]  # the others are too far apart
    assert frames.tolist() == [0]
