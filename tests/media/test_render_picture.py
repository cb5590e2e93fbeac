"""The picture of a rendered file: every codec, turned, late, of uneven times."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from media_files import Clip, write_video
from mgsv.media.render import render
from mgsv.moment import Moment
from render_support import RATE, read_packets, read_sound, read_times


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
