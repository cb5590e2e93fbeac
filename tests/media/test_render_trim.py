"""Exactly the pictures that a player shows of the clip are shown of the rendered file."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edit_lists import Edit, set_edits
from ffmpeg_tools import ffmpeg, ffprobe, shown
from media_files import Clip, sine, write_audio
from mgsv.media.render import render
from mgsv.media.soundtrack import SoundOptions
from mgsv.moment import Moment
from packed_divx import write_packed
from render_support import RATE, lag, read_sound, read_track

FIRST = 0.2  # of x264's pictures with two B pictures: the edit list that its mp4 needs starts there


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 pictures, ten a second, with B pictures and a keyframe every 25, and a sound."""
    path = tmp_path_factory.mktemp("base") / "base.mp4"
    source = ("-f", "lavfi", "-i", "testsrc2=size=160x96:rate=10:duration=6")
    sound = ("-f", "lavfi", "-i", "sine=duration=6")
    coding = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", 25, "-bf", 2)
    ffmpeg(*source, *sound, *coding, "-c:a", "aac", path)
    return path


def same_pictures(clip: Path, result: Path, *, copied: bool) -> int:
    """Check that `result` shows what `clip` shows, from 0 on, and return how many pictures.

    To the bit if copied, else much the same.
    """
    before, after = shown(clip), shown(result)
    start = before[0].time
    assert [p.time for p in after] == pytest.approx([p.time - start for p in before], abs=2e-3)
    if copied:
        assert [p.md5 for p in after] == [p.md5 for p in before]
    else:
        assert np.abs(pixels(clip) - pixels(result)).mean(1).max() < 4
    last_lasts = before[-1].time - before[-2].time
    assert seconds(result) == pytest.approx(before[-1].time - start + last_lasts, abs=0.06)
    return len(after)


def pixels(path: Path) -> NDArray[np.int16]:
    """[pictures, 160 * 96] in grey."""
    raw = ffmpeg(
        *("-i", path, "-map", "0:v:0", "-fps_mode", "passthrough"),
        *("-f", "rawvideo", "-pix_fmt", "gray", "-"),
    )
    return np.frombuffer(raw, np.uint8).astype(np.int16).reshape(-1, 160 * 96)


def seconds(path: Path) -> float:
    """How long all of `path` lasts."""
    return float(ffprobe(path, "-show_format")["format"]["duration"])


WHOLE_GROUPS = [Edit(3.6, FIRST)]
AMID_REFERENCES = [Edit(3.5, FIRST)]
START = [Edit(4.8, FIRST + 1.2)]
BOTH = [Edit(1.7, FIRST + 1.0)]
LATE = [Edit(1.0, None), Edit(2.0, FIRST)]
PARTS = [Edit(1.0, FIRST + 0.5), Edit(1.0, FIRST + 4.0)]
STILL = [Edit(1.0, FIRST + 1.0), Edit(2.0, FIRST + 2.0, 0), Edit(1.0, FIRST + 2.0)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edits", "suffix", "copied"),
    [
        (WHOLE_GROUPS, ".mp4", True),
        (WHOLE_GROUPS, ".mkv", True),
        (AMID_REFERENCES, ".mp4", True),
        (AMID_REFERENCES, ".mov", True),
        (AMID_REFERENCES, ".mkv", False),
        (START, ".mp4", True),
        (START, ".mkv", False),
        (BOTH, ".mp4", True),
        (BOTH, ".mkv", False),
        (LATE, ".mp4", True),
        (LATE, ".mkv", True),
        (PARTS, ".mp4", False),
        (STILL, ".mkv", False),
    ],
)
def test_what_was_trimmed_away_stays_away(
    tmp_path: Path, shelf: Path, base: Path, edits: list[Edit], suffix: str, copied: bool
) -> None:
    clip = set_edits(Path(shutil.copy(base, tmp_path / "clip.mp4")), edits)
    report = render(clip, shelf / "track.flac", Moment(1.0, 9.0), tmp_path / f"out{suffix}")
    assert report.copied_video is copied
    pictures = same_pictures(clip, report.path, copied=copied)
    assert report.duration == pytest.approx(pictures / 10, abs=1e-3)
    assert any("encoded again" in note for note in report.notes) is not copied


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_music_starts_with_the_first_picture_shown(
    tmp_path: Path, shelf: Path, base: Path, suffix: str
) -> None:
    clip = set_edits(Path(shutil.copy(base, tmp_path / "clip.mp4")), START)
    report = render(clip, shelf / "track.flac", Moment(3.21, 8.0), tmp_path / f"out{suffix}")
    assert shown(report.path)[0].time == pytest.approx(0, abs=1e-3)
    asked = read_track(shelf / "track.flac")[:, round(3.21 * RATE) : round(8.0 * RATE)]
    assert abs(lag(read_sound(report.path), asked)) <= 0.002


@pytest.mark.slow
@pytest.mark.parametrize("edits", [BOTH, LATE])
def test_the_clips_own_sound_stays_in_step(tmp_path: Path, base: Path, edits: list[Edit]) -> None:
    """Own sound with the same edits as the picture: what is heard is heard at its picture."""
    marks = tmp_path / "marks.wav"
    own = np.random.default_rng(5).normal(0, 0.1, 6 * RATE).astype(np.float32)
    write_audio(marks, own, RATE)
    clip = tmp_path / "clip.mp4"
    ffmpeg(
        "-i", base, "-i", marks, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "alac", clip
    )
    set_edits(clip, edits)
    sound = [Edit(e.seconds, None if e.start is None else e.start - FIRST, e.rate) for e in edits]
    set_edits(clip, sound, handler=b"soun")
    track = write_audio(tmp_path / "track.wav", 1e-3 * sine(9.0, RATE), RATE)
    report = render(
        clip, track, Moment(0.0, 6.0), tmp_path / "out.mp4", sound=SoundOptions(keep_audio=True)
    )
    heard = read_sound(report.path)
    edit = sound[-1]  # the result begins with the first picture, whatever is before it
    assert edit.start is not None
    start, length = round(edit.start * RATE), round(edit.seconds * RATE)
    assert abs(lag(heard[:, :length], own[None, start : start + length])) <= 0.003


@pytest.mark.slow
def test_a_recording_that_begins_before_its_first_keyframe(
    tmp_path: Path, shelf: Path, base: Path
) -> None:
    whole, clip = tmp_path / "whole.ts", tmp_path / "clip.ts"
    ffmpeg("-i", base, "-c", "copy", "-an", whole)
    clip.write_bytes(whole.read_bytes()[188 * 120 :])
    report = render(clip, shelf / "track.flac", Moment(1.0, 9.0), tmp_path / "out.mkv")
    assert report.copied_video
    same_pictures(clip, report.path, copied=True)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_packed_pictures_come_out_in_order(tmp_path: Path, shelf: Path, suffix: str) -> None:
    clip = write_packed(tmp_path / "clip.avi", Clip(seconds=2, speed=lambda _time: 0.4))
    report = render(clip, shelf / "track.flac", Moment(1.0, 9.0), tmp_path / f"out{suffix}")
    same_pictures(clip, report.path, copied=report.copied_video)
    assert report.duration == pytest.approx(2.0)


@pytest.mark.slow
def test_avi_without_presentation_times(tmp_path: Path, shelf: Path, base: Path) -> None:
    clip = tmp_path / "clip.avi"
    ffmpeg("-i", base, "-c", "copy", "-an", clip)
    report = render(clip, shelf / "track.flac", Moment(1.0, 9.0), tmp_path / "out.mp4")
    assert not report.copied_video
    assert np.abs(pixels(base) - pixels(report.path)).mean() < 4


@pytest.mark.slow
def test_mpeg4_in_avi_is_copied_in_order(tmp_path: Path, shelf: Path) -> None:
    clip = tmp_path / "clip.avi"
    source = ("-f", "lavfi", "-i", "testsrc2=size=160x96:rate=10:duration=2")
    ffmpeg(*source, "-c:v", "mpeg4", "-bf", 2, clip)
    report = render(clip, shelf / "track.flac", Moment(1.0, 9.0), tmp_path / "out.mp4")
    assert report.copied_video
    same_pictures(clip, report.path, copied=True)


@pytest.mark.slow
def test_a_cut_off_file_ends_with_its_last_whole_picture(
    tmp_path: Path, shelf: Path, base: Path
) -> None:
    whole, clip = tmp_path / "whole.mkv", tmp_path / "clip.mkv"
    ffmpeg("-i", base, "-c", "copy", whole)
    data = whole.read_bytes()
    clip.write_bytes(data[: len(data) * 6 // 10])
    report = render(clip, shelf / "track.flac", Moment(1.0, 9.0), tmp_path / "out.mp4")
    assert report.copied_video
    same_pictures(clip, report.path, copied=True)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_picture_that_starts_late_in_matroska(tmp_path: Path, base: Path, suffix: str) -> None:
    """FFmpeg makes up times of decoding for it that go back, as B pictures follow a hole."""
    clip, track = tmp_path / "late.mkv", write_audio(tmp_path / "track.wav", sine(10, RATE), RATE)
    sound = ("-f", "lavfi", "-i", "sine=duration=12")
    ffmpeg("-itsoffset", 6, "-i", base, *sound, "-map", "0:v", "-map", "1:a", "-c:v", "copy", clip)
    report = render(clip, track, Moment(1, 7), tmp_path / f"out{suffix}")
    assert same_pictures(clip, report.path, copied=report.copied_video) == 60
    assert report.duration == pytest.approx(6.0, abs=2e-3)
