"""Timelines, read back with OpenTimelineIO."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import opentimelineio as otio
import pytest

from media_files import Clip, sine, write_audio, write_video
from mgsv.errors import ConfigError, MediaError
from mgsv.media.timeline import write_timeline
from mgsv.moment import Moment

NTSC = 30_000 / 1001


@pytest.fixture
def job(tmp_path: Path) -> tuple[Path, Path]:
    clip = Clip(seconds=60 * 1001 / 30_000, rate=NTSC)
    base = Fraction(1, 30_000)
    video = write_video(tmp_path / "a clip 🎬.mp4", clip, time_base=base)
    name = os.fsdecode(b"caf\xe9 & #1.wav")
    return video, write_audio(tmp_path / name, sine(10, 44_100), 44_100)


@pytest.mark.parametrize("start", [0.0, 1.23456, 7.5])
def test_both_files_lie_in_place(tmp_path: Path, job: tuple[Path, Path], start: float) -> None:
    video, track = job
    path = write_timeline(video, track, Moment(start, start + 9), tmp_path / "cut.otio")
    timeline = otio.adapters.read_from_file(str(path))
    (picture,), (music,) = timeline.video_tracks()[0], timeline.audio_tracks()[0]
    assert len(timeline.tracks) == 2

    assert picture.source_range.start_time.value == 0
    assert picture.source_range.duration.value == 60
    assert picture.source_range.duration.rate == pytest.approx(NTSC, abs=1e-9)
    assert music.source_range.start_time.rate == 44_100
    assert abs(music.source_range.start_time.to_seconds() - start) <= 1 / 44_100
    assert music.range_in_parent().start_time.value == 0
    lasts = min(60 / NTSC, 10 - start)
    assert abs(music.source_range.duration.to_seconds() - lasts) <= 1 / 1000
    whole = music.media_reference.available_range
    assert (whole.start_time.value, whole.duration.value) == (0, 441_000)

    for clip, file in ((picture, video), (music, track)):
        url = urlsplit(clip.media_reference.target_url)
        assert url.scheme == "file"
        assert unquote_to_bytes(url.path) == os.fsencode(file)
        assert url.query == url.fragment == ""


def test_an_edl_has_picture_and_music_to_the_frame(tmp_path: Path, job: tuple[Path, Path]) -> None:
    path = write_timeline(*job, Moment(7.5, 9.5), tmp_path / "cut.edl")
    events = [line.split() for line in path.read_text().splitlines() if line[:1] == "0"]
    assert [e[2] for e in events] == ["V", "A"]
    # 2.002 s are 60 frames; 7.5 s are 224.8 of them. Timecode counts 30 frames to the second.
    assert events[0][4:] == ["00:00:00:00", "00:00:02:00", "00:00:00:00", "00:00:02:00"]
    assert events[1][4:] == ["00:00:07:15", "00:00:09:15", "00:00:00:00", "00:00:02:00"]


def test_xml_goes_through_the_adapter_or_names_it(tmp_path: Path, job: tuple[Path, Path]) -> None:
    path = tmp_path / "cut.xml"
    if "fcp_xml" not in otio.adapters.available_adapter_names():
        with pytest.raises(ConfigError, match="pip install opentimelineio-plugins"):
            write_timeline(*job, Moment(7.5, 9.5), path)
        assert not path.exists()
        return
    write_timeline(*job, Moment(7.5, 9.5), path)
    (music,) = otio.adapters.read_from_file(str(path)).audio_tracks()[0]
    assert abs(music.source_range.start_time.to_seconds() - 7.5) <= 1 / NTSC


def test_files_are_safe(tmp_path: Path, job: tuple[Path, Path]) -> None:
    video, track = job
    out = tmp_path / "cut.otio"
    out.write_text("mine")
    before = {p.name for p in tmp_path.iterdir()}
    with pytest.raises(MediaError, match="exists already"):
        write_timeline(video, track, Moment(1, 2), out)
    with pytest.raises(ConfigError, match=r"\.otio, \.edl, \.xml"):
        write_timeline(video, track, Moment(1, 2), tmp_path / "cut.aaf")
    with pytest.raises(MediaError, match=r"track ends at 00:10\.0"):
        write_timeline(video, track, Moment(11, 12), tmp_path / "new.otio")
    with pytest.raises(ConfigError, match="starts at -1 s"):
        write_timeline(video, track, Moment(-1, 2), tmp_path / "new.otio")
    assert out.read_text() == "mine"
    assert {p.name for p in tmp_path.iterdir()} == before
    write_timeline(video, track, Moment(1, 2), out, overwrite=True)
    assert out.read_text() != "mine"
