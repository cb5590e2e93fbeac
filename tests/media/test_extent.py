"""Which pictures are shown and when: packets, scan and ffmpeg's own decoding agree."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from edit_lists import Edit, set_edits
from ffmpeg_tools import ffmpeg, shown
from media_files import Clip, write_audio, write_video
from mgsv.errors import MediaError
from mgsv.media.extent import Extent, Hidden, read_extent
from mgsv.media.video import VideoScan, probe_video
from packed_divx import write_packed

MOVING = Clip(seconds=6, rate=10, speed=lambda _time: 0.2)
FIRST = 0.2  # of x264's pictures with two B pictures: the edit list that its mp4 needs starts there


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 pictures, ten a second, with B pictures and a keyframe every 25."""
    path = tmp_path_factory.mktemp("base") / "base.mp4"
    source = ("-f", "lavfi", "-i", "testsrc2=size=160x96:rate=10:duration=6")
    ffmpeg(*source, *("-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", 25, "-bf", 2), path)
    return path


def one_truth(path: Path) -> Extent:
    """The extent of `path`, after checking that nothing else says otherwise."""
    extent, probed, scan = read_extent(path), probe_video(path), VideoScan(path)
    for _ in scan:
        pass
    assert probed == scan.info
    assert probed.duration == extent.seconds
    assert probed.frame_rate == extent.frame_rate
    return extent


def agrees(path: Path) -> Extent:
    """As `one_truth`, and ffmpeg shows as many pictures, over as long a time."""
    extent, pictures = one_truth(path), shown(path)
    assert extent.pictures == len(pictures)
    last = pictures[-1].time - pictures[0].time
    assert last < extent.seconds <= last + 0.2
    return extent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edits", "seconds", "hidden"),
    [
        ([Edit(3.6, FIRST)], 3.6, Hidden.NONE),
        ([Edit(3.5, FIRST)], 3.5, Hidden.AFTER),
        ([Edit(4.8, FIRST + 1.2)], 4.8, Hidden.BEFORE),
        ([Edit(1.7, FIRST + 1.0)], 1.7, Hidden.BEFORE | Hidden.AFTER),
        ([Edit(1.0, None), Edit(2.0, FIRST)], 2.0, Hidden.NONE),
        ([Edit(1.0, FIRST + 0.5), Edit(1.0, FIRST + 4.0)], 2.0, None),
        ([Edit(1.0, FIRST + 1.0), Edit(2.0, FIRST + 2.0, 0), Edit(1.0, FIRST + 2.0)], 4.0, None),
    ],
)
def test_what_an_edit_list_leaves_out_is_not_counted(
    tmp_path: Path, base: Path, edits: list[Edit], seconds: float, hidden: Hidden | None
) -> None:
    path = set_edits(Path(shutil.copy(base, tmp_path / "clip.mp4")), edits)
    extent = agrees(path)
    assert extent.seconds == pytest.approx(seconds, abs=1e-3)
    assert extent.timed is (hidden is not None)
    if hidden is not None:
        assert extent.hidden == hidden


def test_an_empty_edit_is_a_late_start(tmp_path: Path, base: Path) -> None:
    path = set_edits(
        Path(shutil.copy(base, tmp_path / "clip.mp4")), [Edit(1.0, None), Edit(5.0, FIRST)]
    )
    assert one_truth(path).origin == pytest.approx(1.0)
    scan = VideoScan(path)
    list(scan)
    assert scan.warnings == []


@pytest.mark.sampled
@pytest.mark.parametrize("container", ["mp4", "mkv", "ts", "avi"])
def test_a_file_cut_off(tmp_path: Path, base: Path, container: str) -> None:
    whole, path = tmp_path / f"whole.{container}", tmp_path / f"clip.{container}"
    fast = ("-movflags", "faststart") if container == "mp4" else ()
    ffmpeg("-i", base, "-c", "copy", *fast, whole)
    data = whole.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    assert 3.0 < one_truth(path).seconds < 4.2


def test_pictures_before_the_first_keyframe_are_not_shown(tmp_path: Path, base: Path) -> None:
    """A recording that begins amid a broadcast."""
    whole, path = tmp_path / "whole.ts", tmp_path / "clip.ts"
    ffmpeg("-i", base, "-c", "copy", whole)
    path.write_bytes(whole.read_bytes()[188 * 120 :])
    extent = agrees(path)
    assert extent.pictures == 35  # from the second keyframe on
    assert extent.hidden == Hidden.NONE


def test_open_groups_of_pictures(tmp_path: Path) -> None:
    path = tmp_path / "clip.ts"
    source = ("-f", "lavfi", "-i", "testsrc2=size=160x96:rate=10:duration=6")
    coding = ("-c:v", "libx264", "-g", 25, "-bf", 3, "-x264-params", "open-gop=1")
    ffmpeg(*source, *coding, "-pix_fmt", "yuv420p", path)
    assert agrees(path).pictures == 60


def test_a_clock_that_starts_again(tmp_path: Path, base: Path) -> None:
    once, path = tmp_path / "once.ts", tmp_path / "clip.ts"
    ffmpeg("-i", base, "-c", "copy", once)
    path.write_bytes(once.read_bytes() * 2)
    extent = one_truth(path)
    assert (extent.pictures, extent.timed) == (120, False)
    assert extent.seconds == pytest.approx(12.0, abs=0.01)


@pytest.mark.parametrize("name", ["clip.h264", "clip.avi"])
def test_pictures_without_times(tmp_path: Path, base: Path, name: str) -> None:
    """An elementary stream has none; AVI has the order of decoding only."""
    path = tmp_path / name
    ffmpeg("-i", base, "-c", "copy", path)
    extent = one_truth(path)
    assert (extent.pictures, extent.timed) == (60, False)
    assert extent.seconds == pytest.approx(6.0, abs=0.06)


def test_packed_pictures(tmp_path: Path) -> None:
    path = write_packed(tmp_path / "clip.avi", Clip(seconds=1, speed=lambda _time: 0.5))
    extent = agrees(path)
    assert (extent.pictures, extent.seconds, extent.timed) == (25, 1.0, False)


def test_a_last_picture_that_stays(tmp_path: Path) -> None:
    path = tmp_path / "clip.gif"
    write_video(tmp_path / "clip.mkv", MOVING, times=[0.0, 0.5, 1.0, 1.5], codec="ffv1")
    ffmpeg("-i", tmp_path / "clip.mkv", "-final_delay", 250, path)
    extent = one_truth(path)
    assert extent.seconds == pytest.approx(4.0)
    assert extent.frame_rate == pytest.approx(1.0)


def test_a_late_start_does_not_count(tmp_path: Path) -> None:
    for container in ("mp4", "mkv", "ts"):
        path = write_video(tmp_path / f"clip.{container}", MOVING, start=2.0)
        assert one_truth(path).seconds == pytest.approx(6.0, abs=2e-3)


@pytest.fixture(scope="module", params=[0, 2], ids=["no B", "B"])
def late(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sound for 10 s, a picture for the last 4 s of them, with or without B pictures."""
    path = tmp_path_factory.mktemp("late") / "late.mkv"
    picture = ("-itsoffset", 6, "-f", "lavfi", "-i", "testsrc2=size=160x96:rate=10:duration=4")
    sound = ("-f", "lavfi", "-i", "sine=duration=10")
    coded = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", request.param, "-c:a", "aac")
    ffmpeg(*picture, *sound, *coded, "-fps_mode", "passthrough", path)
    return path


@pytest.mark.sampled
@pytest.mark.parametrize("container", ["mp4", "mov", "mkv", "ts", "flv", "nut", "mxf"])
def test_a_picture_that_starts_late_is_whole(tmp_path: Path, late: Path, container: str) -> None:
    path = tmp_path / f"clip.{container}"
    if container == "mxf":
        ffmpeg("-i", late, "-c:v", "mpeg2video", "-r", 25, "-c:a", "pcm_s16le", "-ar", 48_000, path)
    else:
        ffmpeg("-i", late, "-c", "copy", path)
    scan = VideoScan(path)
    list(scan)
    assert scan.warnings == []
    if container != "mxf":  # which has no late start: ffmpeg fills it with pictures
        assert scan.info.duration == pytest.approx(4.0, abs=0.1)


@pytest.mark.sampled
@pytest.mark.parametrize("container", ["mp4", "mkv", "flv"])
def test_a_picture_that_starts_late_and_is_cut_off_is_noted(
    tmp_path: Path, late: Path, container: str
) -> None:
    path = tmp_path / f"clip.{container}"
    ffmpeg("-i", late, "-c", "copy", "-movflags", "faststart", path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    scan = VideoScan(path)
    list(scan)
    assert scan.info.duration < 3.5
    assert re.search(r"of the (3\.9|4\.0) s it promises", scan.warnings[-1])


def test_no_picture(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "sound.wav", np.zeros(8000, np.float32), 8000)
    with pytest.raises(MediaError, match="no moving picture"):
        read_extent(path)


def test_times_below_zero(tmp_path: Path, base: Path) -> None:
    """As a clock has them that runs over: the first picture is the first all the same."""
    path = tmp_path / "clip.ts"
    early = ("-output_ts_offset", -9, "-avoid_negative_ts", "disabled")
    ffmpeg("-i", base, "-c", "copy", *early, path)
    extent = one_truth(path)
    assert extent.origin < -6
    assert (extent.pictures, extent.seconds) == (60, pytest.approx(6.0, abs=2e-3))
