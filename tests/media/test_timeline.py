"""Timelines of real files, read back by readers of the tests' own, and by OpenTimelineIO."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit
from xml.etree import ElementTree

import av
import numpy as np
import pytest

from media_files import Clip, sine, write_audio, write_video
from mgsv.errors import ConfigError, MediaError, OutputError
from mgsv.media.soundtrack import SoundOptions
from mgsv.media.timeline import FORMATS, Known, write_timeline
from mgsv.media.timeline.timecode import COUNTED
from mgsv.media.video import VideoScan
from mgsv.moment import Moment
from timeline_support import NTSC, NTSC_30, Played, ntsc_video, read

MOMENT = Moment(7.5, 9.5)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A clip, and a track of 10 s."""
    folder = tmp_path_factory.mktemp("job")
    video = ntsc_video(folder / "a clip 🎬.mp4")
    return video, write_audio(folder / os.fsdecode(b"caf\xe9 & #1.wav"), sine(10, 44_100), 44_100)


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_audio(tmp_path_factory.mktemp("song") / "song.wav", sine(10, 48_000), 48_000)


def in_format(
    job: tuple[Path, Path], path: Path, rate: Fraction, **options: object
) -> list[Played]:
    write_timeline(*job, MOMENT, path, **options)  # type: ignore[arg-type]
    return read(path, rate)


@pytest.mark.sampled
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("start", [0.0, 1.23456, 7.5])
def test_both_files_lie_in_place(
    tmp_path: Path, job: tuple[Path, Path], start: float, suffix: str
) -> None:
    report = write_timeline(*job, Moment(start, start + 9), tmp_path / f"cut{suffix}")
    picture, music = read(report.path, NTSC_30)
    assert report.frame_rate == pytest.approx(30_000 / 1001) and not report.notes
    assert (picture.start, picture.seconds) == (0, 60 / NTSC_30)
    unit = 1 / 44_100 if suffix == ".otio" else 1 / NTSC_30
    assert abs(music.start - start) <= unit / 2
    assert abs(music.seconds - min(60 / NTSC_30, 10 - start)) <= unit
    if suffix == ".edl":
        return
    assert (picture.begin, picture.whole) == (0, 60 / NTSC_30)
    assert music.whole == (10 if suffix == ".otio" else Fraction(299) / NTSC_30)
    for played, file in ((picture, job[0]), (music, job[1])):
        url = urlsplit(played.where)
        assert (url.scheme, url.query, url.fragment) == ("file", "", "")
        assert url.netloc == ("localhost" if suffix == ".xml" else "")
        assert unquote_to_bytes(url.path) == os.fsencode(file)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".edl", ".xml"])
@pytest.mark.parametrize("rate", [*COUNTED, Fraction(25, 2), Fraction(15), 90 * NTSC, Fraction(90)])
def test_music_up_to_the_end_of_its_track_is_as_long_as_the_picture(
    tmp_path: Path, song: Path, rate: Fraction, suffix: str
) -> None:
    """Whatever part of a frame the in-point falls on. The clip lasts whole frames."""
    scan = VideoScan(video := write_video(tmp_path / "clip.mp4", Clip(seconds=0.5, rate=20)))
    list(scan)
    own = next(own for own in (rate, 2 * rate, rate / 3) if own in COUNTED)
    seconds = 18 / own
    for eighth in range(8):
        track = (Fraction(200) + Fraction(eighth, 8)) / own
        start = track - seconds
        output = tmp_path / f"{eighth}{suffix}"
        scanned = replace(scan.info, frame_rate=float(rate), duration=float(seconds))
        written = write_timeline(
            *(video, song, Moment(float(start), float(track)), output),
            known=Known(scanned, float(track)),
        )
        assert written.frame_rate == pytest.approx(float(own))
        picture, music = read(output, own)
        assert picture.seconds == music.seconds == seconds
        assert abs(music.start - start) < 1 / own


def gif(path: Path, centiseconds: int, pictures: int = 20) -> Path:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("gif", rate=Fraction(100, centiseconds))
        stream.width = stream.height = 32
        stream.pix_fmt = "rgb8"
        stream.codec_context.time_base = Fraction(1, 100)
        for n in range(pictures):
            image = np.full((32, 32, 3), 10 * n, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="rgb8")
            frame.pts, frame.time_base = centiseconds * n, Fraction(1, 100)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


@pytest.mark.sampled
@pytest.mark.parametrize("suffix", [".edl", ".xml"])
@pytest.mark.parametrize(
    ("rate", "counted"),
    [
        ("1", 24),
        ("5", 25),
        ("8", 24),
        ("10", 30),
        ("12", 24),
        ("12.5", 25),
        ("15", 30),
        ("120", 60),
    ],
)
def test_a_rate_without_timecode_is_counted_at_another(
    tmp_path: Path, song: Path, rate: str, counted: int, suffix: str
) -> None:
    own = Fraction(rate)
    clip = Clip(seconds=float(6 / own), rate=float(own), width=32, height=32)
    video = write_video(tmp_path / "clip.mp4", clip, time_base=Fraction(1, 600))
    report = write_timeline(video, song, Moment(0.5, 9), tmp_path / f"cut{suffix}")
    assert report.frame_rate == counted
    (note,) = report.notes
    assert f"the clip's {rate} frames per second" in note and f"has {counted}" in note
    picture, music = read(report.path, Fraction(counted))
    assert (picture.start, picture.seconds) == (0, 6 / own)
    assert abs(music.start - Fraction(1, 2)) <= Fraction(1, 2 * counted)


@pytest.mark.sampled
@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("centiseconds", [10, 7, 3])
def test_a_gif(tmp_path: Path, song: Path, centiseconds: int, suffix: str) -> None:
    video = gif(tmp_path / "clip.gif", centiseconds)
    report = write_timeline(video, song, MOMENT, tmp_path / f"cut{suffix}")
    rate = (
        Fraction(100, centiseconds) if suffix == ".otio" else {10: 30, 7: 60, 3: 60}[centiseconds]
    )
    assert report.frame_rate == pytest.approx(float(rate))
    picture, _ = read(report.path, Fraction(rate))
    assert abs(picture.seconds - Fraction(20 * centiseconds, 100)) <= Fraction(1, 2) / rate


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_variable_rate(tmp_path: Path, song: Path, suffix: str) -> None:
    times = [0.0, 0.1, 0.5, 0.533, 1.0, 1.7, 1.8, 1.9]
    video = write_video(tmp_path / "clip.mkv", Clip(rate=30), times=times)
    report = write_timeline(video, song, MOMENT, tmp_path / f"cut{suffix}")
    picture, music = read(report.path, Fraction(report.frame_rate).limit_denominator(1001))
    assert abs(picture.seconds - Fraction(1.9 + 1 / 30)) <= 0.04 / 2 + 1 / report.frame_rate
    assert abs(music.start - Fraction(7.5)) <= 0.5 / report.frame_rate


class TestLengths:
    """By decoding: what a header claims is no reason to cut, or to go on."""

    def test_music_that_is_longer_than_its_header_says(
        self, tmp_path: Path, job: tuple[Path, Path]
    ) -> None:
        noise = np.random.default_rng(0).normal(0, 0.2, 441_000).astype(np.float32)
        loud_then_quiet = np.concatenate([noise, np.zeros(30 * 44_100, np.float32)])
        track = write_audio(tmp_path / "a.aac", loud_then_quiet, codec="aac")
        with av.open(str(track)) as file:
            assert file.duration / 1e6 < 33
        for start in (35.0, 37.0):
            written = write_timeline(
                job[0], track, Moment(start, start + 3), tmp_path / f"{start}.otio"
            )
            _, music = read(written.path, NTSC_30)
            assert abs(music.start - Fraction(start)) < 1e-4
            assert abs(music.seconds - 60 / NTSC_30) < 1e-4
            assert abs(music.whole - 40) < 0.1

    def test_music_that_is_shorter(self, tmp_path: Path, job: tuple[Path, Path]) -> None:
        quiet_then_loud = np.zeros(30 * 44_100, np.float32)
        noise = np.random.default_rng(0).normal(0, 0.2, 441_000).astype(np.float32)
        track = write_audio(
            tmp_path / "a.aac", np.concatenate([quiet_then_loud, noise]), codec="aac"
        )
        with av.open(str(track)) as file:
            assert file.duration / 1e6 > 50
        written = write_timeline(job[0], track, Moment(39, 42), tmp_path / "cut.otio")
        assert abs(read(written.path, NTSC_30)[1].seconds - 1) < 0.1
        with pytest.raises(MediaError, match=r"the track ends at 00:40\.0"):
            write_timeline(job[0], track, Moment(45, 48), tmp_path / "late.otio")

    def test_pictures_that_start_late(self, tmp_path: Path, song: Path) -> None:
        """Matroska has one duration for all; the sound starts 1.5 s before the pictures."""
        video = write_video(
            tmp_path / "late.mkv", Clip(2.0), start=1.5, audio=sine(3.5, 48_000), audio_delay=-1.5
        )
        written = write_timeline(video, song, MOMENT, tmp_path / "cut.edl")
        assert [played.seconds for played in read(written.path, Fraction(25))] == [2, 2]

    def test_pictures_that_were_cut_off(self, tmp_path: Path, song: Path) -> None:
        whole = write_video(tmp_path / "whole.mkv", Clip(4.0))
        cut = tmp_path / "cut.mkv"
        cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        with av.open(str(cut)) as file:
            pictures = sum(1 for _ in decodable(file))
            assert file.duration == 4_000_000
        assert pictures < 80
        written = write_timeline(cut, song, Moment(1, 9), tmp_path / "cut.edl")
        for played in read(written.path, Fraction(25)):
            assert played.seconds == Fraction(pictures, 25)

    def test_what_is_known_is_not_measured_again(
        self, tmp_path: Path, job: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scan = VideoScan(job[0])
        list(scan)
        info = replace(scan.info, duration=1.001)
        monkeypatch.setattr(VideoScan, "__iter__", None)
        monkeypatch.setattr("mgsv.media.timeline.sources.decoded_seconds", None)
        written = write_timeline(*job, Moment(2, 9), tmp_path / "cut.otio", known=Known(info, 2.5))
        picture, music = read(written.path, NTSC_30)
        assert (picture.seconds, music.seconds) == (30 / NTSC_30, Fraction(1, 2))


def decodable(file: av.container.InputContainer) -> Iterator[av.VideoFrame]:
    try:
        yield from file.decode(video=0)
    except av.FFmpegError:
        return


class TestOwnSound:
    @pytest.mark.slow
    @pytest.mark.parametrize("suffix", FORMATS)
    def test_it_comes_along_where_it_is_kept(
        self, tmp_path: Path, job: tuple[Path, Path], suffix: str
    ) -> None:
        video = ntsc_video(tmp_path / "clip.mov", "14:23:11;05")
        path = tmp_path / f"cut{suffix}"
        picture, own, music = in_format(
            (video, job[1]), path, NTSC_30, sound=SoundOptions(keep_audio=True)
        )
        assert [played.channel for played in (picture, own, music)] == ["V", "A", "A"]
        assert own.where == picture.where
        assert abs(own.start - picture.start) <= Fraction(1, 96_000)
        assert abs(own.seconds - picture.seconds) <= Fraction(1, 96_000)
        assert music.name != own.name == picture.name == "clip.mov"
        (tmp_path / "without").mkdir()
        path = tmp_path / "without" / f"cut{suffix}"
        assert in_format((video, job[1]), path, NTSC_30) == [picture, music]

    def test_each_has_a_channel_of_an_edl(self, tmp_path: Path, job: tuple[Path, Path]) -> None:
        report = write_timeline(
            *job, MOMENT, tmp_path / "cut.edl", sound=SoundOptions(keep_audio=True)
        )
        events = [line.split() for line in report.path.read_text().splitlines() if line[:1] == "0"]
        assert [event[:4] for event in events] == [
            ["001", "AX", "V", "C"],
            ["002", "AX", "A", "C"],
            ["003", "AX", "A2", "C"],
        ]

    def test_a_silent_clip_is_noted(self, tmp_path: Path, song: Path) -> None:
        video = write_video(tmp_path / "clip.mp4")
        report = write_timeline(
            video, song, MOMENT, tmp_path / "cut.otio", sound=SoundOptions(keep_audio=True)
        )
        assert report.notes == ("the clip has no sound of its own",)
        assert len(read(report.path, Fraction(25))) == 2


@pytest.mark.sampled
@pytest.mark.parametrize("suffix", FORMATS)
def test_music_enters_later_on_the_nearest_frame(
    tmp_path: Path, job: tuple[Path, Path], suffix: str
) -> None:
    video = ntsc_video(tmp_path / "clip.mov")
    sound = SoundOptions(music_at=0.51, keep_audio=True)
    at = Fraction(15) / NTSC_30  # frame 15.28 of the timeline
    picture, own, music = in_format(
        (video, job[1]), tmp_path / f"cut{suffix}", NTSC_30, sound=sound
    )
    assert (picture.at, own.at) == (0, 0)
    assert abs(music.at - at) <= Fraction(1, 96_000)
    assert abs(music.at + music.seconds - picture.seconds) <= Fraction(1, 48_000)
    assert abs(music.start - Fraction(MOMENT.start)) <= 1 / (2 * NTSC_30)


def test_music_cannot_enter_after_the_clip(tmp_path: Path, job: tuple[Path, Path]) -> None:
    video = ntsc_video(tmp_path / "clip.mov")
    with pytest.raises(ConfigError, match=r"`music_at` 2.5: the clip ends at 2\.00 s"):
        write_timeline(
            video, job[1], MOMENT, tmp_path / "cut.otio", sound=SoundOptions(music_at=2.5)
        )
    assert not (tmp_path / "cut.otio").exists()


def test_xml_describes_the_files(tmp_path: Path, job: tuple[Path, Path]) -> None:
    clip = Clip(1.0, rate=float(NTSC_30), width=160, height=96)
    stereo = np.stack([sine(1.0, 44_100), sine(1.0, 44_100)])
    video = write_video(
        tmp_path / "a b\x07.mov", clip, rotation=90, pixel_aspect=Fraction(3, 2),
        time_base=Fraction(1, 30_000), audio=stereo, audio_rate=44_100,
    )  # fmt: skip
    report = write_timeline(
        video, job[1], MOMENT, tmp_path / "cut.xml", sound=SoundOptions(keep_audio=True)
    )
    root = ElementTree.parse(report.path).getroot()
    files = {file.findtext("name"): file for file in root.iter("file") if len(file)}
    assert list(files) == ["a b\\x07.mov", "caf\\udce9 & #1.wav"]
    picture, music = files.values()
    for shape in (*root.iterfind("sequence/media/video/format"), picture.find("media/video")):
        assert shape is not None
        path = "samplecharacteristics"
        assert (shape.findtext(f"{path}/width"), shape.findtext(f"{path}/height")) == ("96", "240")
        assert shape.findtext(f"{path}/rate/timebase") == "30"
        assert shape.findtext(f"{path}/rate/ntsc") == "TRUE"
    for file, channels in ((picture, "2"), (music, "1")):
        assert file.findtext("media/audio/samplecharacteristics/samplerate") == "44100"
        assert file.findtext("media/audio/channelcount") == channels
    # A track per channel; the clip's picture and channels stay together when they are moved.
    tracks = root.findall("sequence/media/audio/track")
    kinds = [(t.get("premiereTrackType"), t.get("currentExplodedTrackIndex")) for t in tracks]
    assert kinds == [("Stereo", "0"), ("Stereo", "1"), ("Mono", "0")]
    clips = {clip.get("id"): clip for clip in root.iter("clipitem")}
    links = [
        [link.findtext("linkclipref") for link in clip.findall("link")] for clip in clips.values()
    ]
    first = list(clips)[:3]
    assert links == [first, first, first, []]


def test_opentimelineio_reads_all(tmp_path: Path, job: tuple[Path, Path]) -> None:
    """The reference reader of `.otio`, and that of the XML where it is installed."""
    library = pytest.importorskip("opentimelineio")
    video = ntsc_video(tmp_path / "clip.mov", "14:23:11;05")
    names = {".otio": "otio_json", ".xml": "fcp_xml", ".edl": "cmx_3600"}
    known = [s for s in FORMATS if names[s] in library.adapters.available_adapter_names()]
    for suffix in known:
        path = tmp_path / f"cut{suffix}"
        ours = in_format(
            (video, job[1]), path, NTSC_30, sound=SoundOptions(keep_audio=suffix != ".edl")
        )
        options = {"rate": 30_000 / 1001} if suffix == ".edl" else {}
        timeline = library.adapters.read_from_file(str(path), **options)
        theirs = [clip for track in timeline.tracks for clip in track.find_clips()]
        assert len(ours) == len(theirs)
        for played, clip in zip(ours, theirs, strict=True):
            used = clip.source_range
            assert abs(used.start_time.to_seconds() - played.start) < 1e-6
            assert abs(used.duration.to_seconds() - played.seconds) < 1e-6
            assert clip.name == played.name
            if suffix != ".edl":
                media = clip.media_reference
                assert abs(media.available_range.start_time.to_seconds() - played.begin) < 1e-6
                assert media.target_url == played.where
        picture = theirs[0].source_range.start_time
        assert picture.to_timecode() == "14:23:11;05"
    if known != list(FORMATS):
        pytest.skip("its plug-ins for EDL and XML are not installed; .otio was read")


def test_nothing_need_be_installed_for_any_format(
    tmp_path: Path, job: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentimelineio", None)
    for suffix in FORMATS:
        assert write_timeline(*job, MOMENT, tmp_path / f"cut{suffix}").path.stat().st_size


def test_an_edl_names_files_as_premiere_reads_them(tmp_path: Path, job: tuple[Path, Path]) -> None:
    """It takes no names where there is a FROM CLIP or FROM FILE comment."""
    path = write_timeline(*job, MOMENT, tmp_path / "cut.edl").path
    comments = [line for line in path.read_text("utf-8").splitlines() if line[:1] == "*"]
    assert comments == [
        "* FROM CLIP NAME:  a clip 🎬.mp4",
        f"* SOURCE FILE: {job[0]}",
        "* FROM CLIP NAME:  caf\\udce9 & #1.wav",
        f"* SOURCE FILE: {job[1].parent}/caf\\udce9 & #1.wav",
    ]


def test_files_are_safe(tmp_path: Path, job: tuple[Path, Path]) -> None:
    out = tmp_path / "cut.otio"
    out.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        write_timeline(*job, Moment(1, 2), out)
    with pytest.raises(ConfigError, match=r"\.otio, \.edl, \.xml"):
        write_timeline(*job, Moment(1, 2), tmp_path / "cut.aaf")
    for late in (10.0, 11.0):
        with pytest.raises(MediaError, match=r"track ends at 00:10\.0"):
            write_timeline(*job, Moment(late, 12), tmp_path / "new.otio")
    with pytest.raises(ConfigError, match="starts at -1 s"):
        write_timeline(*job, Moment(-1, 2), tmp_path / "new.otio")
    assert out.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [out]
    write_timeline(*job, Moment(1, 2), out, overwrite=True)
    assert json.loads(out.read_text())["OTIO_SCHEMA"] == "Timeline.1"
