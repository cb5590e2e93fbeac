"""Credits: from files' tags, from lists beside the music, and what licences allow."""

from __future__ import annotations

import contextlib
import sqlite3
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from library_support import opened, write_tone
from mgsv.errors import ConfigError
from mgsv.library.credits import Credits
from mgsv.library.licences import allowed, licence_name, wanted_licences
from mgsv.media.brightness import measure_brightness
from mgsv.media.tags import LONGEST, read_tags
from old_catalogues import downgrade

TAGS = {"artist": "Ada", "title": "Sun", "genre": "Folk", "copyright": "2004 Ada"}


def write_tagged(path: Path, tags: dict[str, str], hertz: float = 440.0) -> Path:
    """Four seconds of a tone with tags in the form that suits the ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = (0.3 * np.sin(2 * np.pi * hertz * np.arange(64_000) / 16_000) * 32767).astype("<i2")
    codec = {".ogg": "flac", ".flac": "flac", ".wav": "pcm_s16le", ".m4a": "aac", ".mp3": "mp3"}[
        path.suffix
    ]
    with av.open(path, "w") as file:
        file.metadata.update(tags)
        stream = file.add_stream(codec, rate=16_000, layout="mono")
        for begin in range(0, len(wave), 1024):
            frame = av.AudioFrame.from_ndarray(wave[None, begin : begin + 1024], "s16", "mono")
            frame.sample_rate, frame.pts = 16_000, begin
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def id3(frames: dict[str, bytes]) -> bytes:
    """An ID3v2.3 tag; the frames' first byte says their encoding."""
    body = b"".join(
        name.encode() + struct.pack(">IH", len(data), 0) + data for name, data in frames.items()
    )
    size = len(body)
    return b"ID3\x03\0\0" + bytes((size >> 7 * n) & 0x7F for n in (3, 2, 1, 0)) + body


@pytest.mark.parametrize("ending", ["ogg", "flac", "wav", "m4a"])
def test_the_tags_of_every_kind_of_file_are_read(tmp_path: Path, ending: str) -> None:
    tags = read_tags(write_tagged(tmp_path / f"song.{ending}", TAGS))
    known = Credits.of_tags(tags)
    assert (known.artist, known.title, known.genre) == ("Ada", "Sun", "Folk")
    assert known.licence == "", "a year of copyright is no licence"


def test_utf8_under_another_name_is_put_right_and_fields_end_somewhere(tmp_path: Path) -> None:
    path = write_tagged(tmp_path / "song.mp3", {})
    frames = {
        "TPE1": b"\0" + "Björk".encode(),
        "TIT2": b"\0" + "Déjà".encode("latin-1"),
        "TALB": b"\0two\nlines " + 5000 * b"x",
        "APIC": b"\0image/png\0\x03\0" + 2_000_000 * b"\x01",
    }
    path.write_bytes(id3(frames) + path.read_bytes())
    tags = read_tags(path)
    assert (tags["artist"], tags["title"]) == ("Björk", "Déjà")
    assert tags["album"].startswith("two lines x") and len(tags["album"]) == LONGEST


def test_text_of_windows_is_read_and_no_control_character_is_left(tmp_path: Path) -> None:
    """A declared Latin-1 is often Windows' own set; of Japanese it leaves no more than it can."""
    path = write_tagged(tmp_path / "song.mp3", {})
    frames = {
        "TPE1": b"\0" + "Ada – “Night”".encode("cp1252"),
        "TIT2": b"\0" + "桜の歌".encode("shift-jis"),
        "TALB": b"\1" + "Sonne".encode("utf-16-be"),  # and no mark of its order
    }
    path.write_bytes(id3(frames) + path.read_bytes())
    tags = read_tags(path)
    assert tags["artist"] == "Ada – “Night”"
    assert "�" in tags["title"] and tags["title"].isprintable()
    assert "album" not in tags or tags["album"].isprintable()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("http://creativecommons.org/licenses/by-sa/3.0/", "CC-BY-SA-3.0"),
        ("Licensed under https://creativecommons.org/licenses/by/4.0/legalcode", "CC-BY-4.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("Creative Commons Attribution-Share Alike 3.0 License", "CC-BY-SA-3.0"),
        ("Creative Commons Attribution NonCommercial NoDerivs", "CC-BY-NC-ND"),
        ("cc by 4.0", "CC-BY-4.0"),
        ("CC0", "CC0-1.0"),
        ("public domain", "Public-Domain"),
        ("GPL-3 or CC-BY-3.0", "GPL-3 or CC-BY-3.0"),
        ("GPLv2+", "GPL-2+"),
        ("Apache-2.0/BSD/GPL-2 (see copyright)", "Apache-2.0/BSD/GPL-2 (see copyright)"),
        ("All rights reserved", "All rights reserved"),
        ("Creative Commons", "Creative Commons"),
    ],
)
def test_licences_get_their_short_names(text: str, name: str) -> None:
    assert licence_name(text) == name


@pytest.mark.parametrize(
    ("licence", "wanted", "expected"),
    [
        ("CC-BY-4.0", "cc-by,cc0", True),
        ("CC-BY-4.0", "CC BY 3.0", False),
        ("CC-BY-NC-4.0", "cc-by", False),
        ("CC-BY-SA-3.0", "cc-by", False),
        ("CC0-1.0", "cc0", True),
        ("GPL-3 or CC-BY-3.0", "cc-by", True),
        ("Drascula-License", "drascula-license", True),
        ("", "cc-by", False),
        ("Apache-2.0/BSD/GPL-2", "bsd", False),
    ],
)
def test_a_use_needs_a_licence_that_is_named(licence: str, wanted: str, expected: bool) -> None:
    assert allowed(licence, wanted_licences(wanted)) == expected


def test_an_empty_name_of_a_licence_is_refused() -> None:
    with pytest.raises(ConfigError, match="`licence` cc-by,,cc0: a name is missing"):
        wanted_licences("cc-by,,cc0")


def test_a_list_beside_the_music_counts_more_than_tags(music: Path, folder: Path) -> None:
    write_tagged(music / "in/a.flac", {"artist": "Ada", "title": "Sun", "license": "CC BY 3.0"})
    write_tone(music / "in/b.wav", 500)
    (music / "licences.csv").write_bytes(
        "file;Artist;license;url;note\nin/*;Bé;cc0;;x\nin/b.wav;;CC BY-SA 4.0;http://b;\n".encode(
            "cp1252"
        )
    )
    (music / "in/licences.csv").write_text("file,album\na.flac,Best\nc.wav,Gone\n")
    with opened(music, folder) as library:
        first, second = (track.credits for track in library.tracks())
        assert first == Credits("Bé", "Sun", "Best", "CC0-1.0")
        assert second == Credits("Bé", "", "", "CC-BY-SA-4.0", url="http://b")
        (problem,) = library.list_problems
        assert problem == (f"{music / 'in/licences.csv'}: it names 1 file that is not there: c.wav")
        (music / "licences.csv").write_text("track,licence\nin/a.flac,cc0\n")
        assert [track.credits.artist for track in library.tracks()] == ["Ada", ""]
        assert "licences.csv: its first line must name columns of file, album" in str(
            library.list_problems
        )


@pytest.mark.parametrize("version", [2, 3, 4])
def test_an_older_library_gets_its_credits_without_decoding(
    music: Path, folder: Path, version: int
) -> None:
    write_tagged(music / "a.ogg", TAGS)
    with opened(music, folder) as library:
        (before,) = library.tracks()
        assert before.credits.artist == "Ada" and before.brightness is not None
    downgrade(folder, version)
    with opened(None, folder) as library:
        (old,) = library.tracks()
        assert (old.credits, old.brightness) == (Credits(), None)
    with opened(music, folder) as library:
        assert (library.report.added, library.report.unchanged) == (0, 1)
        (now,) = library.tracks()
        assert (now.credits, now.brightness) == (before.credits, None)
    with contextlib.closing(sqlite3.connect(folder / "catalogue.sqlite")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (5,)


def test_a_lost_catalogue_gets_credits_back_from_the_features(music: Path, folder: Path) -> None:
    write_tagged(music / "a.ogg", TAGS)
    with opened(music, folder) as library:
        (before,) = library.tracks()
    for file in folder.glob("catalogue.sqlite*"):
        file.unlink()
    with opened(music, folder) as library:
        assert library.tracks() == [before]


def test_unknown_is_said() -> None:
    assert Credits().line("x.mp3") == "“x.mp3” by unknown artist, licence: unknown"
    whole = Credits("Ada", "Sun", "Best", "CC0-1.0", "Jamendo", "http://a")
    assert whole.line("x.mp3") == ("“Sun” by Ada, from “Best”, licence: CC0-1.0, Jamendo, http://a")
    assert Credits("Ada").as_dict()["licence"] == "unknown"


def test_brightness_is_where_the_spectrum_has_its_middle() -> None:
    seconds = np.arange(32_000) / 16_000
    low, high = (np.sin(2 * np.pi * f * seconds).astype(np.float32) for f in (500, 3000))
    assert measure_brightness(low, 16_000) == pytest.approx(500, rel=0.02)
    quiet = np.concatenate([high, np.zeros(32_000, np.float32)])
    assert measure_brightness(quiet, 16_000) == pytest.approx(3000, rel=0.02)
    assert measure_brightness(np.zeros(32_000, np.float32), 16_000) == 0.0
