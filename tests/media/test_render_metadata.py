"""What a clip says of itself, in the rendered file; and in the one for publishing, not."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from edit_lists import Edit, set_edits
from ffmpeg_tools import ffmpeg, ffprobe, shown
from media_files import Clip, write_video
from mgsv.media.render import RenderReport, render
from mgsv.moment import Moment

PLACE = "+48.8577+002.2950+035.1/"
DATE = "2021-03-04T05:06:07.000000Z"
PHONE = {
    "creation_time": DATE,
    "com.apple.quicktime.location.ISO6709": PLACE,
    "com.apple.quicktime.creationdate": "2021-03-04T06:06:07+0100",
    "com.apple.quicktime.make": "Apple",
    "com.apple.quicktime.model": "iPhone 12",
}
FLAT = "+48.8577+002.2950/"
CAMERA = {"creation_time": DATE, "location": FLAT, "make": "Canon", "model": "EOS R"}
TITLED = {"creation_time": DATE, "title": "Ein Tag am Meer ☀", "artist": "Jö", "comment": "gut"}
SUFFIXES = [".mp4", ".mov", ".mkv"]


def write_clip(path: Path, tags: dict[str, str], *more: object, codec: str = "libx264") -> Path:
    """Two seconds of pictures with `tags`, by ffmpeg."""
    said = [part for name, value in tags.items() for part in ("-metadata", f"{name}={value}")]
    free = path.suffix != ".mkv" and any(name.startswith("com.") for name in tags)
    how = ("-movflags", "use_metadata_tags") if free else ()
    source = ("-f", "lavfi", "-i", "testsrc2=size=160x96:rate=25:duration=2")
    ffmpeg(*source, *more, "-c:v", codec, "-pix_fmt", "yuv420p", *said, *how, path)
    return path


def rendered(clip: Path, shelf: Path, suffix: str, **options: Any) -> RenderReport:
    output = clip.with_name(f"out{suffix}")
    return render(clip, shelf / "track.flac", Moment(1.0, 9.0), output, **options)


def tags_of(path: Path) -> dict[str, str]:
    """Names in small letters."""
    tags: dict[str, str] = ffprobe(path, "-show_format")["format"]["tags"]
    return {name.lower(): value for name, value in tags.items()}


def expect(tags: dict[str, str], path: Path) -> None:
    found = tags_of(path)
    assert {name.lower(): value for name, value in tags.items()}.items() <= found.items()


# Tags


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("source", "tags"), [(".mov", PHONE), (".mov", CAMERA), (".mkv", TITLED)])
def test_tags_come_along(
    tmp_path: Path, shelf: Path, source: str, tags: dict[str, str], suffix: str
) -> None:
    report = rendered(write_clip(tmp_path / f"clip{source}", tags), shelf, suffix)
    assert report.copied_video
    expect(tags, report.path)
    told = "the file says where the clip was taken; `strip_metadata` leaves that out"
    assert (told in report.notes) is (tags is not TITLED)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_tags_come_along_where_pictures_are_encoded(
    tmp_path: Path, shelf: Path, suffix: str
) -> None:
    clip = write_clip(tmp_path / "clip.mov", PHONE, codec="png")
    report = rendered(clip, shelf, suffix)
    assert not report.copied_video
    expect(PHONE, report.path)


@pytest.mark.slow
def test_tags_survive_matroska_and_come_back(tmp_path: Path, shelf: Path) -> None:
    """Its names are all capitals; QuickTime's are not."""
    there = rendered(write_clip(tmp_path / "clip.mov", PHONE), shelf, ".mkv")
    back = render(there.path, shelf / "track.flac", Moment(1.0, 9.0), tmp_path / "back.mov")
    found = ffprobe(back.path, "-show_format")["format"]["tags"]
    assert found.items() >= PHONE.items()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_apples_programs_find_a_cameras_tags(tmp_path: Path, shelf: Path, suffix: str) -> None:
    tags = CAMERA | {"title": "Meer", "com.android.version": "11"}
    report = rendered(write_clip(tmp_path / "clip.mov", tags), shelf, suffix)
    apple = {"location.ISO6709": FLAT, "make": "Canon", "model": "EOS R", "title": "Meer"}
    expect({f"com.apple.quicktime.{name}": value for name, value in apple.items()}, report.path)


def test_a_title_stands_where_players_look_for_it(tmp_path: Path, shelf: Path) -> None:
    report = rendered(write_clip(tmp_path / "clip.mp4", TITLED), shelf, ".mp4")
    with av.open(str(report.path)) as container:
        assert container.metadata["title"] == TITLED["title"]
    data = report.path.read_bytes()
    assert b"\xa9nam" in data  # iTunes' field; with free names there would be none
    assert b"mdta" not in data


def test_what_was_true_of_the_source_alone_is_left(tmp_path: Path, shelf: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", {"encoder": "Made /home/jo/secret"} | PHONE)
    report = rendered(clip, shelf, ".mkv")
    assert not {"major_brand", "minor_version", "compatible_brands"} & tags_of(report.path).keys()
    assert b"/home/jo" not in report.path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_tags_of_ten_megabytes(tmp_path: Path, shelf: Path, suffix: str) -> None:
    clip, long = tmp_path / "clip.mkv", "x" * 10_000_000
    write_video(tmp_path / "plain.mkv", Clip(seconds=0.4))
    with av.open(str(tmp_path / "plain.mkv")) as source, av.open(str(clip), "w") as output:
        output.metadata.update({"comment": long, "note": "ß"})
        target = output.add_stream_from_template(source.streams.video[0], opaque=True)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = target
                output.mux(packet)
    expect({"comment": long, "note": "ß"}, rendered(clip, shelf, suffix).path)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_tags_that_are_not_utf_8(tmp_path: Path, shelf: Path, suffix: str) -> None:
    clip = write_clip(tmp_path / "clip.mkv", {"title": "CafE am Meer", "artist": "Jo"})
    clip.write_bytes(clip.read_bytes().replace(b"CafE", b"Caf\xe9"))
    expect({"title": "Caf� am Meer", "artist": "Jo"}, rendered(clip, shelf, suffix).path)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_senseless_tags_do_no_harm(tmp_path: Path, shelf: Path, suffix: str) -> None:
    tags = {"creation_time": "yesterday", "location": "here", "date": "x" * 300, "rotate": "90"}
    report = rendered(write_clip(tmp_path / "clip.mkv", tags), shelf, suffix)
    assert report.copied_video
    assert tags_of(report.path)["date"] == "x" * 300
    with av.open(str(report.path)) as container:
        assert next(container.decode(video=0)).rotation == 0


# Chapters, timecode


def chapters(path: Path) -> list[tuple[str, float, float]]:
    found = ffprobe(path, "-show_chapters")["chapters"]
    return [
        (c["tags"]["title"], round(float(c["start_time"]), 2), round(float(c["end_time"]), 2))
        for c in found
    ]


def write_chapters(path: Path) -> Path:
    path.write_text(
        ";FFMETADATA1\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=Anfang\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=500\nEND=1500\ntitle=Mitte ü\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=1500\nEND=2000\ntitle=Ende\n"
    )
    return path


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_chapters_come_along(tmp_path: Path, shelf: Path, suffix: str) -> None:
    listed = write_chapters(tmp_path / "chapters.txt")
    clip = write_clip(tmp_path / "clip.mp4", {}, "-i", listed, "-map_metadata", 1)
    report = rendered(clip, shelf, suffix)
    assert chapters(report.path) == [
        ("Anfang", 0.0, 0.5), ("Mitte ü", 0.5, 1.5), ("Ende", 1.5, 2.0)
    ]  # fmt: skip
    kinds = [s["codec_type"] for s in ffprobe(report.path, "-show_streams")["streams"]]
    assert "subtitle" not in kinds  # their names are stored as text, but are none


@pytest.mark.slow
def test_chapters_follow_the_pictures_shown(tmp_path: Path, shelf: Path) -> None:
    listed = write_chapters(tmp_path / "chapters.txt")
    clip = write_clip(tmp_path / "clip.mkv", {}, "-i", listed, "-map_metadata", 1)
    late = tmp_path / "late.mkv"  # the pictures start after the file does
    ffmpeg("-itsoffset", 0.7, "-i", clip, "-i", listed, "-map", "0:v", "-map_chapters", 1,
           "-c", "copy", "-copyts", "-avoid_negative_ts", "disabled", late)  # fmt: skip
    assert chapters(rendered(late, shelf, ".mp4").path) == [
        ("Mitte ü", 0.0, 0.8), ("Ende", 0.8, 1.3)
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("rate", "code"), [("25", "14:23:11:05"), ("30000/1001", "01:02:03;04"), ("24", "00:00:00:00")]
)
def test_the_timecode_comes_along(
    tmp_path: Path, shelf: Path, rate: str, code: str, suffix: str
) -> None:
    clip = write_clip(tmp_path / "clip.mov", {"timecode": code}, "-vf", f"fps={rate}")
    report = rendered(clip, shelf, suffix)
    streams = ffprobe(report.path, "-show_streams")["streams"]
    tags = {name.lower(): value for name, value in streams[0]["tags"].items()}
    assert tags["timecode"] == code
    if suffix != ".mkv":
        assert [s["codec_tag_string"] for s in streams if s["codec_type"] == "data"] == ["tmcd"]


@pytest.mark.slow
@pytest.mark.parametrize("code", ["nonsense", "99:99:99:99", "01:02:03;04", "x" * 1000])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_senseless_timecode_does_no_harm(
    tmp_path: Path, shelf: Path, code: str, suffix: str
) -> None:
    clip = write_clip(tmp_path / "clip.mkv", {"timecode": code})
    assert rendered(clip, shelf, suffix).copied_video


# Subtitles

SPOKEN = """1
00:00:00,300 --> 00:00:00,800
Hallo <i>Welt</i>

2
00:00:01,000 --> 00:00:01,500
Zwei & zwanzig ü
in two lines

3
00:00:01,700 --> 00:00:04,000
Länger als der Film
"""


def spoken(path: Path) -> list[tuple[float, float, str]]:
    """Start, end and text of the first subtitles."""
    text = ffmpeg("-copyts", "-i", path, "-map", "0:s:0", "-f", "srt", "-").decode()
    blocks = text.replace("\r", "").strip().split("\n\n")
    found = []
    for block in blocks:
        _, times, *lines = block.split("\n")
        start, end = (
            sum(float(part) * scale for part, scale in zip(
                time.replace(",", ".").split(":"), (3600, 60, 1), strict=True))
            for time in times.split(" --> ")
        )  # fmt: skip
        found.append((round(start, 2), round(end, 2), "\n".join(lines)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("source", "codec"),
    [(".mkv", "srt"), (".mkv", "ass"), (".mkv", "webvtt"), (".mp4", "mov_text")],
)
def test_subtitles_come_along(
    tmp_path: Path, shelf: Path, source: str, codec: str, suffix: str
) -> None:
    (tmp_path / "said.srt").write_text(SPOKEN)
    tagged = ("-metadata:s:s:0", "language=fre", "-disposition:s:0", "default")
    clip = write_clip(
        tmp_path / f"clip{source}", {}, "-i", tmp_path / "said.srt", "-c:s", codec, *tagged
    )
    report = rendered(clip, shelf, suffix)
    assert spoken(report.path) == [
        (0.3, 0.8, "Hallo <i>Welt</i>"),
        (1.0, 1.5, "Zwei & zwanzig ü\nin two lines"),
        (1.7, 2.0, "Länger als der Film"),
    ]
    stream = ffprobe(report.path, "-select_streams", "s", "-show_streams")["streams"][0]
    assert stream["codec_name"] == (
        "mov_text"
        if suffix != ".mkv"
        else {"srt": "subrip", "mov_text": "subrip"}.get(codec, codec)
    )
    if suffix != ".mov":  # whose own codes for languages FFmpeg does not know all of
        assert stream["tags"]["language"] == "fre"
    assert stream["disposition"]["default"] == 1


@pytest.mark.slow
def test_subtitles_stay_in_step_with_a_trimmed_start(tmp_path: Path, shelf: Path) -> None:
    (tmp_path / "said.srt").write_text(SPOKEN)
    clip = write_clip(
        tmp_path / "clip.mkv", {}, "-i", tmp_path / "said.srt", "-c:s", "srt", "-bf", 0
    )
    late = tmp_path / "late.mkv"
    ffmpeg("-itsoffset", 0.9, "-i", clip, "-i", tmp_path / "said.srt", "-map", "0:v", "-map", "1",
           "-c", "copy", "-copyts", "-avoid_negative_ts", "disabled", late)  # fmt: skip
    report = rendered(late, shelf, ".mkv")
    assert spoken(report.path) == [
        (0.1, 0.6, "Zwei & zwanzig ü\nin two lines"), (0.8, 2.0, "Länger als der Film")
    ]  # fmt: skip


def test_subtitles_that_do_not_fit_are_named(tmp_path: Path, shelf: Path) -> None:
    clip = tmp_path / "clip.mkv"
    write_video(tmp_path / "plain.mkv", Clip(seconds=0.4))
    with av.open(str(tmp_path / "plain.mkv")) as source, av.open(str(clip), "w") as output:
        target = output.add_stream_from_template(source.streams.video[0], opaque=True)
        drawn: Any = output.add_mux_stream("hdmv_pgs_subtitle")
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = target
                output.mux(packet)
        packet = av.Packet(b"\x80\0\0")
        packet.stream, packet.pts, packet.dts = drawn, 100, 100
        packet.time_base = Fraction(1, 1000)
        output.mux(packet)
    assert (
        "its subtitles (pgssub) do not fit into .mp4 files" in rendered(clip, shelf, ".mp4").notes
    )
    report = rendered(clip, shelf, ".mkv")
    assert not any("subtitles" in note for note in report.notes)
    streams = ffprobe(report.path, "-show_streams")["streams"]
    assert [s["codec_name"] for s in streams] == ["h264", "aac", "hdmv_pgs_subtitle"]


# For publishing


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("codec", ["libx264", "png"])
def test_a_stripped_file_holds_nothing_private(
    tmp_path: Path, shelf: Path, codec: str, suffix: str
) -> None:
    (tmp_path / "said.srt").write_text("1\n00:00:00,300 --> 00:00:00,800\nGPS 48.8577\n")
    listed = write_chapters(tmp_path / "chapters.txt")
    inputs = ("-i", tmp_path / "said.srt", "-i", listed, "-map", "0", "-map", "1")
    secret = "086f3693b7b34f2c965321492feee5b8+Serial4711"
    hidden = ("-bsf:v", f"h264_metadata=sei_user_data={secret}") if codec == "libx264" else ()
    clip = write_clip(
        tmp_path / "clip.mov",
        PHONE | {"title": "Geheim", "timecode": "14:23:11:05", "encoder": "/home/jo"},
        *inputs, "-map_chapters", 2, "-c:s", "mov_text", *hidden,
        codec=codec,
    )  # fmt: skip
    report = rendered(clip, shelf, suffix, strip_metadata=True)
    data = report.path.read_bytes()
    for told in ("48.8577", "iPhone", "Apple", "Geheim", "Anfang", "Serial4711", "/home/", "2021"):
        assert told.encode() not in data, told
    answer = ffprobe(report.path, "-show_format", "-show_streams", "-show_chapters")
    assert answer["chapters"] == []
    assert [s["codec_type"] for s in answer["streams"]] == ["video", "audio"]
    assert "creation_time" not in str(answer)
    assert "timecode" not in str(answer).lower()
    assert not any("`strip_metadata`" in note for note in report.notes)


@pytest.mark.slow
@pytest.mark.parametrize("source", [".mp4", ".ts", ".mkv"])
def test_stripped_pictures_are_the_same(tmp_path: Path, shelf: Path, source: str) -> None:
    clip = write_clip(tmp_path / f"clip{source}", {})
    for suffix in (".mp4", ".mkv"):
        report = rendered(clip, shelf, suffix, strip_metadata=True)
        assert report.copied_video
        assert [p.md5 for p in shown(report.path)] == [p.md5 for p in shown(clip)]


def test_a_trimmed_phone_clip_keeps_all(tmp_path: Path, shelf: Path) -> None:
    """Copied with an edit list whose end is written afterwards: the rest of the index stays."""
    clip = write_clip(tmp_path / "clip.mov", PHONE, "-bf", 2, "-r", 25)
    set_edits(clip, [Edit(1.0, 0.12)])
    report = rendered(clip, shelf, ".mp4")
    assert report.copied_video
    assert report.duration == pytest.approx(1.0, abs=0.05)
    expect(PHONE, report.path)


@pytest.mark.slow
def test_subtitles_beside_chapters_in_a_mov(tmp_path: Path, shelf: Path) -> None:
    """Both are text tracks in there."""
    (tmp_path / "s.srt").write_text("1\n00:00:00,200 --> 00:00:01,000\nhi\n")
    (tmp_path / "chapters.txt").write_text(
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=2000\ntitle=One\n"
    )
    plain = write_clip(tmp_path / "plain.mp4", {})
    clip = tmp_path / "clip.mov"
    inputs = ("-i", plain, "-i", tmp_path / "chapters.txt", "-i", tmp_path / "s.srt")
    kept = ("-map", "0", "-map", "2", "-map_chapters", "1", "-c", "copy", "-c:s", "mov_text")
    ffmpeg(*inputs, *kept, clip)
    out = rendered(clip, shelf, ".mkv").path
    found = ffprobe(out, "-show_streams", "-show_chapters")
    assert [s["codec_name"] for s in found["streams"]] == ["h264", "aac", "subrip"]
    assert len(found["chapters"]) == 1


@pytest.mark.slow
def test_pictures_that_the_container_refuses_are_encoded(tmp_path: Path, shelf: Path) -> None:
    """B pictures six seconds after the sound: Matroska's decoding times are made up, and wrong."""
    plain = tmp_path / "plain.mp4"
    picture = ("-f", "lavfi", "-i", "testsrc2=size=160x96:rate=25:duration=8")
    sound = ("-f", "lavfi", "-i", "sine=frequency=440:duration=8")
    ffmpeg(
        *picture, *sound, "-c:v", "libx264", "-g", "25", "-bf", "2", "-pix_fmt", "yuv420p", plain
    )
    late = ("-itsoffset", "6", "-i", plain, "-i", plain, "-map", "0:v", "-map", "1:a")
    ffmpeg(*late, "-c", "copy", tmp_path / "late.mkv")
    report = rendered(tmp_path / "late.mkv", shelf, ".mp4")
    counted = ffprobe(report.path, "-show_streams", "-count_packets")["streams"][0]
    assert report.duration == pytest.approx(8.0) and int(counted["nb_read_packets"]) == 200
