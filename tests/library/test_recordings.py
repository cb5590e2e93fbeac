"""One recording in several files is one recording."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from library_support import opened
from media_files import write_audio
from mgsv.errors import MediaError
from mgsv.library import Library
from mgsv.library import recordings as module
from mgsv.library.recordings import Recording, Recordings
from mgsv.media import isolated
from mgsv.media.audio import Audio
from tunes import tune

FORMATS = {"m4a": "aac", "opus": "opus", "wav": "wav", "mp3": "mp3", "flac": "flac"}
RATE = 48_000


def write(path: Path, seed: int, seconds: float = 20.0, gain: float = 1.0) -> Path:
    low = gain * tune(seed, 30.0)
    at = np.arange(round(seconds * RATE)) * 8_000 / RATE
    samples = np.interp(at, np.arange(len(low)), low).astype(np.float32)
    path.parent.mkdir(exist_ok=True)
    return write_audio(path, samples, RATE, FORMATS[path.suffix[1:]])


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    """Song 1 in four formats, one of them twice, and songs 2 and 3."""
    music = tmp_path_factory.mktemp("music")
    for ending in ("m4a", "mp3", "opus", "wav"):
        write(music / f"a.{ending}", 1, gain=2.0 if ending == "wav" else 1.0)
    (music / "copies").mkdir()
    shutil.copy(music / "a.mp3", music / "copies/a.mp3")
    write(music / "b.flac", 2)
    write(music / "c.mp3", 3)
    with opened(music, tmp_path_factory.mktemp("library")) as library:
        yield library


def grouped(library: Library, most: int = 9) -> list[Recording]:
    return Recordings(library.curves).distinct(library.tracks(), most)


@pytest.mark.slow
def test_the_best_stands_for_all_and_the_others_are_named(library: Library) -> None:
    first, second, third = grouped(library)
    music = first.track.path.parent
    assert first.track.path.name == "a.m4a"
    assert [path.relative_to(music).as_posix() for path in first.also_as] == [
        "a.mp3",
        "copies/a.mp3",
        "a.opus",
        "a.wav",
    ]
    assert (second.track.path.name, third.track.path.name) == ("b.flac", "c.mp3")
    assert not second.also_as and not third.also_as
    assert [one.place for one in (first, second, third)] == [0, 4, 5]


def test_files_of_a_chosen_recording_are_found_behind_the_last_one(library: Library) -> None:
    tracks = [t for t in library.tracks() if t.path.name != "a.m4a"] + library.tracks()[:1]
    (only,) = Recordings(library.curves).distinct(tracks, 1)
    assert only.track.path.name == "a.mp3" and only.also_as[-1].name == "a.m4a"


def test_waveforms_are_read_only_where_curves_agree(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, decode = [], isolated.read_audio
    monkeypatch.setattr(
        isolated,
        "read_audio",
        lambda path, *a, **k: read.append(path.name) or decode(path, *a, **k),
    )
    grouped(library)
    assert sorted(read) == ["a.m4a", "a.mp3", "a.opus", "a.wav"]


@pytest.mark.slow
def test_an_excerpt_is_another_track(music: Path, folder: Path) -> None:
    write(music / "whole.wav", 1, 30.0)
    write(music / "most.wav", 1, 28.0)
    write(music / "half.wav", 1, 15.0)
    with opened(music, folder) as library:
        names = [[one.track.path.name, *(p.name for p in one.also_as)] for one in grouped(library)]
    assert names == [["half.wav"], ["most.wav", "whole.wav"]]


def test_a_file_that_cannot_be_read_is_like_no_other(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = isolated.read_audio

    def fail(path: Path, *how: object, **more: object) -> Audio:
        if path.name == "a.opus":
            raise MediaError(path, "the file is gone")
        return decode(path, *how, **more)

    monkeypatch.setattr(isolated, "read_audio", fail)
    names = [one.track.path.name for one in grouped(library)]
    assert names == ["a.m4a", "a.opus", "b.flac", "c.mp3"]


@pytest.mark.slow
def test_only_the_beginning_of_long_tracks_is_decoded(
    music: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARD", 5.0)
    for ending in ("mp3", "wav"):
        write(music / f"a.{ending}", 1)
    with opened(music, folder) as library:
        (only,) = grouped(library)
    assert len(only.also_as) == 1
