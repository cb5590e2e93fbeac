"""Timecode that the files of a timeline bring along: cameras' clocks, and Broadcast Wave's."""

from __future__ import annotations

import re
import struct
from fractions import Fraction
from pathlib import Path

import av
import pytest

from media_files import Clip, sine, write_audio, write_video
from mgsv.media.timeline import FORMATS, write_timeline
from mgsv.moment import Moment
from timeline_support import NTSC, NTSC_30, drop_frame_labels, frame_of, ntsc_video, read

MOMENT = Moment(7.5, 9.5)


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_audio(tmp_path_factory.mktemp("song") / "song.wav", sine(10, 48_000), 48_000)


@pytest.mark.sampled
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("container", ["mov", "mp4", "mkv", "mxf"])
def test_a_clip_is_counted_from_its_own(
    tmp_path: Path, song: Path, container: str, suffix: str
) -> None:
    codec = "mpeg2video" if container == "mxf" else "h264"
    video = write_video(
        tmp_path / f"clip.{container}",
        Clip(2.0),
        codec=codec,
        time_base=Fraction(1, 25),
        timecode="14:23:11:05",
    )
    written = write_timeline(video, song, MOMENT, tmp_path / f"cut{suffix}")
    picture, music = read(written.path, Fraction(25))
    assert picture.start == Fraction(frame_of("14:23:11:05", 25), 25)
    assert picture.seconds == 2
    assert abs(music.start - Fraction(7.5)) <= Fraction(1, 50)
    if suffix != ".edl":
        assert (picture.begin, music.begin) == (picture.start, 0)


def test_a_clock_that_the_pictures_do_not_refer_to(tmp_path: Path, song: Path) -> None:
    video = write_video(tmp_path / "clip.mov", timecode="14:23:11:05")
    video.write_bytes(video.read_bytes().replace(b"tref", b"free"))
    written = write_timeline(video, song, MOMENT, tmp_path / "cut.edl")
    assert "14:23:11:05 14:23:13:05" in written.path.read_text()


@pytest.mark.sampled
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(("base", "timecode"), [(30, "14:23:59;28"), (60, "09:58:59;58")])
def test_drop_frame_follows_the_file(
    tmp_path: Path, song: Path, base: int, timecode: str, suffix: str
) -> None:
    """Over a minute's start, where two or four numbers are left out."""
    rate = base * NTSC
    clip = Clip(float(90 / rate), rate=float(rate), width=32, height=32)
    video = write_video(
        tmp_path / "clip.mov", clip, time_base=Fraction(1, 60_000), timecode=timecode
    )
    written = write_timeline(video, song, MOMENT, tmp_path / f"cut{suffix}")
    picture, _ = read(written.path, rate)
    first = frame_of(timecode, base)
    assert (picture.start * rate, picture.seconds * rate) == (first, 90)
    text = written.path.read_text()
    if suffix == ".edl":
        labels = list(drop_frame_labels(base))
        end = f"{timecode[:4]}{labels[first % len(labels) + 90]}"
        assert f"V     C        {timecode} {end} 00:00:00;00" in text
    elif suffix == ".otio":
        assert f'"timecode": "{timecode}",\n' in text and '"drop_frame": true' in text
    else:
        assert text.count("<displayformat>DF</displayformat>") == 3
        assert f"<string>{timecode}</string>" in text


def test_without_the_mark_nothing_is_dropped(tmp_path: Path, song: Path) -> None:
    video = ntsc_video(tmp_path / "clip.mov", "14:23:59:28")
    written = write_timeline(video, song, MOMENT, tmp_path / "cut.edl")
    assert "14:23:59:28 14:24:01:28 00:00:00:00" in written.path.read_text()


@pytest.mark.parametrize("suffix", FORMATS)
def test_timecode_may_count_half_the_pictures(tmp_path: Path, song: Path, suffix: str) -> None:
    """As cameras do at 50 and 60 pictures per second; QuickTime has the frame number."""
    clip = Clip(1.0, rate=50, width=32, height=32)
    video = write_video(tmp_path / "clip.mov", clip, timecode="14:23:11:05")
    data = video.read_bytes()
    clock = re.search(rb"tmcd\0{7}\x01\0{8}(.{4})(.{4})\x32", data, re.DOTALL)
    assert clock is not None
    scale, duration = struct.unpack(">II", clock[1] + clock[2])
    halved = struct.pack(">IIB", scale, 2 * duration, 25)
    data = data[: clock.start(1)] + halved + data[clock.end() :]
    numbers = (struct.pack(">I", frame_of("14:23:11:05", base)) for base in (50, 25))
    video.write_bytes(data.replace(*numbers))
    written = write_timeline(video, song, MOMENT, tmp_path / f"cut{suffix}")
    picture, _ = read(written.path, Fraction(50))
    assert picture.start == Fraction(frame_of("14:23:11:05", 25), 25)


@pytest.mark.sampled
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_broadcast_wave_is_counted_from_its_own(tmp_path: Path, suffix: str) -> None:
    track = tmp_path / "music.wav"
    with av.open(str(track), "w", options={"write_bext": "1"}) as output:
        output.metadata["time_reference"] = str(14 * 3600 * 48_000 + 1234)
        stream = output.add_stream("pcm_s16le", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(sine(10, 48_000)[None], "fltp", "mono")
        frame.sample_rate = 48_000
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    video = ntsc_video(tmp_path / "clip.mp4")
    written = write_timeline(video, track, MOMENT, tmp_path / f"cut{suffix}")
    _, music = read(written.path, NTSC_30)
    begin = 14 * 3600 + Fraction(1234, 48_000)
    if suffix == ".otio":
        assert (music.begin, music.start, music.whole) == (begin, begin + Fraction(7.5), 10)
    else:
        assert abs(music.start - begin - Fraction(7.5)) <= 1 / NTSC_30


@pytest.mark.parametrize("timecode", ["nonsense", "99:00:00:00", "00:00:00:99"])
def test_nonsense_counts_from_0(tmp_path: Path, song: Path, timecode: str) -> None:
    video = write_video(tmp_path / "clip.mkv", Clip(1.0), timecode=timecode)
    written = write_timeline(video, song, MOMENT, tmp_path / "cut.xml")
    assert read(written.path, Fraction(25))[0].start == 0


def test_timecode_goes_past_midnight(tmp_path: Path, song: Path) -> None:
    video = write_video(tmp_path / "clip.mov", Clip(2.0), timecode="23:59:59:20")
    written = write_timeline(video, song, MOMENT, tmp_path / "cut.edl")
    assert "23:59:59:20 00:00:01:20 00:00:00:00" in written.path.read_text()
