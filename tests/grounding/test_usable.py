"""Which tracks can be grounded, and the error where none can."""

from __future__ import annotations

from pathlib import Path

import pytest

from library_support import TinyEncoder, opened, write_tone, write_tones
from mgsv.errors import LibraryError
from mgsv.grounding.tracks import usable_tracks


@pytest.fixture
def music(tmp_path: Path) -> Path:
    return tmp_path / "music"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "library"


def refusal(music: Path | None, folder: Path) -> str:
    with opened(music, folder) as library, pytest.raises(LibraryError) as caught:
        usable_tracks(library)
    text = str(caught.value)
    assert "\n" not in text and caught.value.remedy
    return text


def test_short_tracks_are_left_out_with_a_note(music: Path, folder: Path) -> None:
    write_tone(music / "jingle.wav", seconds=2.0)
    song = write_tone(music / "song.wav", seconds=3.5)
    with opened(music, folder) as library:
        tracks, notes = usable_tracks(library)
    assert [track.path for track in tracks] == [song]
    assert notes == ["1 of 2 tracks are shorter than 3 s and were left out"]
    song.unlink()
    text = refusal(music, folder)
    assert "none of 2 tracks can be used" in text
    assert "jingle.wav: it lasts 2.0 s, less than 3 s" in text
    assert "song.wav: the file is gone" in text


def test_the_only_file_that_fails_is_named_with_the_reason(music: Path, folder: Path) -> None:
    music.mkdir()
    (music / "song.wma").write_text("no music")
    for _ in range(2):  # the second time, from memory
        text = refusal(music, folder)
        assert text.startswith("no track can be used: song.wma: it is not a media file")
        assert "export or convert it" in text


def test_a_failure_that_may_pass_is_named_too(
    music: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (song,) = write_tones(music, 1)

    def stale(*_: object) -> None:
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr("mgsv.media.isolated.read_audio", stale)
    assert "no track can be used: 000.wav: stale file handle" in refusal(music, folder)
    assert song.exists()


def test_of_many_files_the_first_are_named(music: Path, folder: Path) -> None:
    music.mkdir()
    for k in range(5):
        (music / f"{k}\n.mp3").write_text("no music")
    text = refusal(music, folder)
    assert text.startswith(r"none of 5 tracks can be used: 0\n.mp3: it is not")
    assert "; and 2 more: " in text


def test_an_empty_library_says_how_to_fill_it(folder: Path) -> None:
    assert "holds no tracks: add music with `mgsv library add`" in refusal(None, folder)


def test_a_library_whose_music_is_gone(music: Path, folder: Path) -> None:
    (song,) = write_tones(music, 1)
    opened(music, folder, TinyEncoder()).close()
    song.unlink()
    assert "no track can be used: 000.wav: the file is gone" in refusal(None, folder)
