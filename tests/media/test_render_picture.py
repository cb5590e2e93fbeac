"""The picture of a rendered file: every codec, turned, late, of uneven times."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from edit_lists import Edit, set_edits
from ffmpeg_tools import ffmpeg, ffprobe, shown
from media_files import Clip, write_video
from mgsv.media.render import render
from mgsv.moment import Moment
from render_support import RATE, read_packets, read_sound, read_times


@pytest.mark.sampled
@pytest.mark.parametrize(
    ("codec", "source", "target", "copied"),
    [
        ("h264", ".mp4", ".mp4", True),
        ("h264", ".mkv", ".mp4", True),
        ("h264", ".mkv", ".mkv", True),
        ("h264", ".mp4", ".mov", True),
        ("hevc", ".mp4", ".mp4", True),
        ("hevc", ".mkv", ".mp4", True),
        ("mpeg4", ".mp4", ".mp4", True),
        ("mpeg4", ".avi", ".mp4", True),
        ("vp9", ".mkv", ".mkv", True),
        ("vp9", ".webm", ".mp4", False),
        ("mpeg2video", ".mkv", ".mp4", False),
        ("ffv1", ".mkv", ".mp4", False),
    ],
)
def test_picture_of_every_codec(
    tmp_path: Path, shelf: Path, codec: str, source: str, target: str, copied: bool
) -> None:
    base = Fraction(1, 25) if codec in ("mpeg4", "mpeg2video") else Fraction(1, 12_800)
    clip = write_video(
        tmp_path / f"clip{source}", Clip(seconds=2.0, cuts=(1.0,)), codec=codec, time_base=base
    )
    report = render(clip, shelf / "track.flac", Moment(1.0, 3.0), tmp_path / f"out{target}")
    assert report.copied_video is copied
    assert abs(report.duration - 2.0) <= 1 / 25
    if copied:
        assert read_packets(report.path) == read_packets(clip)
    before = read_times(clip)
    np.testing.assert_allclose(read_times(report.path), before - before[0], atol=2e-3)
    assert abs(read_sound(report.path).shape[1] / RATE - 2.0) <= 1 / 25


@pytest.mark.parametrize("codec", ["h264", "vp9"])
def test_uneven_times_and_a_late_start_are_kept(tmp_path: Path, shelf: Path, codec: str) -> None:
    times = np.cumsum([0.0, *np.random.default_rng(1).choice([0.02, 0.05, 0.11], 40)])
    clip = write_video(
        tmp_path / "clip.mkv", Clip(seconds=3), codec=codec, times=times.tolist(), start=1.5
    )
    report = render(clip, shelf / "track.flac", Moment(1.0, 9.0), tmp_path / "out.mp4")
    assert report.copied_video is (codec == "h264")
    np.testing.assert_allclose(read_times(report.path), times, atol=1.1e-3)


@pytest.mark.parametrize("codec", ["h264", "vp9"])
@pytest.mark.parametrize(
    ("rotation", "mirrored"), [(90, False), (180, False), (270, False), (90, True)]
)
def test_a_turned_picture_is_shown_as_before(
    tmp_path: Path, shelf: Path, codec: str, rotation: int, mirrored: bool
) -> None:
    corners = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
    picture = np.kron(corners, np.ones((48, 80, 1), np.uint8))
    clip = write_video(
        tmp_path / "clip.mp4",
        Clip(seconds=0.5, paint=lambda _time: picture),
        codec=codec,
        rotation=rotation,
        mirrored=mirrored,
    )
    report = render(clip, shelf / "track.flac", Moment(1.0, 1.5), tmp_path / "out.mp4")
    shown = picture[:, ::-1] if mirrored else picture
    shown = np.rot90(shown, -rotation // 90)
    with av.open(str(report.path)) as container:
        frame = next(iter(container.decode(video=0)))
        if report.copied_video:
            with av.open(str(clip)) as source:
                original = next(iter(source.decode(video=0)))
                assert bytes(frame.side_data["DISPLAYMATRIX"]) == bytes(
                    original.side_data["DISPLAYMATRIX"]
                )
        else:
            assert "DISPLAYMATRIX" not in frame.side_data
            image = frame.to_ndarray(format="rgb24").astype(int)
            assert image.shape == shown.shape
            for row in (0.25, 0.75):
                for column in (0.25, 0.75):
                    at = int(row * shown.shape[0]), int(column * shown.shape[1])
                    assert np.abs(image[at] - shown[at].astype(int)).max() < 40


def test_odd_sides_are_cut_to_even_when_encoding(tmp_path: Path, shelf: Path) -> None:
    clip = write_video(tmp_path / "c.webm", Clip(seconds=0.5, width=161, height=97), codec="vp9")
    report = render(clip, shelf / "track.flac", Moment(1.0, 1.5), tmp_path / "out.mp4")
    with av.open(str(report.path)) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (160, 96)


# Fields


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "order", "coding"),
    [
        ("dv.avi", "bff", ("-c:v", "dvvideo")),
        ("hdv.ts", "tff", ("-c:v", "mpeg2video", "-flags", "+ildct+ilme", "-q:v", 2)),
        ("avc.ts", "tff", ("-c:v", "libx264", "-flags", "+ildct+ilme", "-crf", 10)),
    ],
)
def test_fields_become_whole_pictures(
    tmp_path: Path, shelf: Path, name: str, order: str, coding: tuple[object, ...]
) -> None:
    clip = tmp_path / name
    moving = "testsrc2=size=720x576:rate=50:duration=0.4,crop=720:288:0:n*8,scale=720:576"
    fields = f"{moving},format=yuv420p,interlace=scan={order}:lowpass=off"
    ffmpeg("-f", "lavfi", "-i", fields, "-r", 25, *coding, clip)
    if name == "avc.ts":  # which would be copied, fields and all
        twice = tmp_path / "twice.mp4"
        ffmpeg("-i", clip, "-c", "copy", twice)
        clip = set_edits(twice, [Edit(0.2, 0.16)])
    suffix = ".mkv" if name == "avc.ts" else ".mp4"
    report = render(clip, shelf / "track.flac", Moment(1.0, 2.0), tmp_path / f"out{suffix}")
    assert not report.copied_video
    assert "its interlaced pictures were made progressive" in report.notes
    pictures = ffprobe(report.path, "-select_streams", "v", "-show_frames")["frames"]
    assert not any(picture["interlaced_frame"] for picture in pictures)
    assert len(pictures) == len(shown(clip))
    assert combing(report.path) < 0.5 * combing(clip)


@pytest.mark.slow
def test_fields_that_are_copied_stay_marked(tmp_path: Path, shelf: Path) -> None:
    clip = tmp_path / "clip.ts"
    source = ("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=50:duration=0.4,interlace")
    ffmpeg(*source, "-c:v", "libx264", "-flags", "+ildct+ilme", "-pix_fmt", "yuv420p", clip)
    for suffix in (".mp4", ".mov", ".mkv"):
        report = render(clip, shelf / "track.flac", Moment(1.0, 2.0), tmp_path / f"out{suffix}")
        assert report.copied_video
        pictures = ffprobe(report.path, "-select_streams", "v", "-show_frames")["frames"]
        assert all(picture["interlaced_frame"] for picture in pictures)


def combing(path: Path) -> float:
    """How much more each line differs from the next than from the one after, in grey levels."""
    raw = ffmpeg("-i", path, "-f", "rawvideo", "-pix_fmt", "gray", "-")
    lines = np.frombuffer(raw, np.uint8).reshape(-1, 576, 720).astype(float)[1:-1]
    near, far = lines[:, 1:-1] - lines[:, :-2], lines[:, 2:] - lines[:, :-2]
    return float(np.maximum(np.abs(near) - np.abs(far), 0).mean())


# How long pictures stay


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_the_last_picture_stays_as_long_as_in_the_clip(
    tmp_path: Path, shelf: Path, suffix: str
) -> None:
    write_video(tmp_path / "c.mkv", Clip(seconds=3), times=[0, 0.4, 0.8, 1.2], codec="ffv1")
    clip = tmp_path / "clip.gif"
    ffmpeg("-i", tmp_path / "c.mkv", "-final_delay", 250, clip)
    report = render(clip, shelf / "track.flac", Moment(1.0, 9.0), tmp_path / f"out{suffix}")
    assert report.duration == pytest.approx(3.7)
    np.testing.assert_allclose(read_times(report.path), [0, 0.4, 0.8, 1.2], atol=2e-3)
    answer = ffprobe(report.path, "-show_format", "-show_packets", "-select_streams", "v")
    assert float(answer["format"]["duration"]) == pytest.approx(3.7, abs=0.03)
    last = max(answer["packets"], key=lambda packet: float(packet["pts_time"]))
    assert float(last["duration_time"]) == pytest.approx(2.5, abs=2e-3)
    assert read_sound(report.path).shape[1] / RATE == pytest.approx(3.7, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["h264", "vp9"])
def test_picture_and_sound_end_together(tmp_path: Path, shelf: Path, codec: str) -> None:
    """Whether the last packet says how long it lasts or not."""
    source, clip = tmp_path / "source.mkv", tmp_path / "clip.mp4"
    write_video(source, Clip(seconds=1.0, rate=10), codec=codec)
    ffmpeg("-i", source, "-c", "copy", clip)
    data = clip.read_bytes()
    steps = data.rindex(b"stts") + 12  # one entry: all pictures last as long
    count, ticks = (int.from_bytes(data[steps + n : steps + n + 4]) for n in (0, 4))
    assert (int.from_bytes(data[steps - 4 : steps]), count) == (1, 10)
    report = render(clip, shelf / "track.flac", Moment(1.0, 9.0), tmp_path / "whole.mp4")
    assert seconds_of(report.path) == pytest.approx([1.0, 1.0], abs=0.03)
    # The last of the ten without a length, as recorders that stop there write it.
    two = b"".join(n.to_bytes(4) for n in (2, count - 1, ticks, 1, 0))
    data = data[: steps - 4] + two + data[steps + 8 :]
    for box in (b"stts", b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        at = data.rindex(box, 0, steps) - 4
        size = int.from_bytes(data[at : at + 4]) + 8
        data = data[:at] + size.to_bytes(4) + data[at + 4 :]
    clip.write_bytes(data)
    report = render(clip, shelf / "track.flac", Moment(1.0, 9.0), tmp_path / "open.mp4")
    assert seconds_of(report.path) == pytest.approx([1.0, 1.0], abs=0.03)


def seconds_of(path: Path) -> list[float]:
    """How long picture and sound last."""
    streams = ffprobe(path, "-show_streams")["streams"]
    return [float(stream["duration"]) for stream in streams[:2]]
