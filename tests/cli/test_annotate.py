"""`mgsv annotate` on small videos: rows, what is left out and why, and the file it writes.

Tolerances: edges of matches are known to a landmark's hop of 16 ms, and a lossy codec's delay to a
frame of 21 ms.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from media_files import Clip, write_video
from mgsv.annotate import LandmarkIndex, Match, locate
from mgsv.data.annotations import COLUMNS, read_annotations
from mgsv.media.audio import read_audio
from mgsv.media.pictureclock import read_picture_clock
from mgsv.media.video import VideoScan
from subprocesses import mgsv_here
from tunes import tune, write_tunes

RATE = 48_000


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `music`, two tunes of 25 s, and a library of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MGSV_LIBRARY", str(tmp_path / "library"))
    write_tunes(tmp_path / "music", range(2))
    return tmp_path


def music(seed: int, start: float, end: float) -> NDArray[np.float32]:
    samples = tune(seed, 25)
    at = np.arange(round(start * RATE), round(end * RATE)) * 8_000 / RATE
    return np.interp(at, np.arange(len(samples)), samples).astype(np.float32)


def video(path: Path, sound: NDArray[np.float32] | None, seconds: float = 0, **more: Any) -> Path:
    seconds = seconds or (0 if sound is None else len(sound) / RATE)
    clip = Clip(seconds=seconds, rate=5, width=64, height=48, colours=[(80, 80, 80)])
    return write_video(path, clip, audio=sound, audio_rate=RATE, **more)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_per_moment(here: Path) -> None:
    video(here / "clip.mp4", np.concatenate([music(0, 3, 9), music(1, 12, 19)]))
    done = mgsv_here("annotate", "clip.mp4", "-m", "music", "-o", "uses.csv", "--category", "Pets")
    assert done.returncode == 0, done.stderr
    first, second = rows(here / "uses.csv")
    assert list(first) == [*COLUMNS, "confidence"]
    assert (first["video_id"], second["video_id"]) == ("clip", "clip.2")
    assert (first["music_id"], second["music_id"]) == ("tune0", "tune1")
    assert Path(first["music_path"]) == here / "music" / "tune0.wav"
    times = ("video_start", "video_end", "music_start", "music_end")
    assert [float(first[t]) for t in times] == pytest.approx([0, 6, 3, 9], abs=0.02)
    assert [float(second[t]) for t in times] == pytest.approx([6, 13, 12, 19], abs=0.02)
    assert float(first["confidence"]) > 0.9
    assert (first["video_width"], first["video_frame_rate"]) == ("64", "5")
    assert first["video_category"] == "Pets"
    assert len(read_annotations(here / "uses.csv")) == 2
    assert "2 moments in 1 videos" in done.stdout


@pytest.mark.slow
def test_what_is_no_video_and_no_music_is_counted(here: Path) -> None:
    videos = here / "videos"
    videos.mkdir()
    video(videos / "clip.mp4", music(0, 3, 9))
    for name in ("song.mp3", "project.prproj", "cover.jpg", ".hidden.mp3"):
        (videos / name).write_bytes(b"x")
    (here / "music" / "tune.mid").write_bytes(b"x")
    done = mgsv_here("annotate", "videos", "-m", "music", "-o", "uses.csv")
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "left out: 2 files that are not videos: 1 .mp3, 1 .prproj (name a file itself to use it)",
        "left out: 1 file that is not music: 1 .mid (name a file itself to use it)",
    ]
    (videos / "clip.mp4").unlink()
    done = mgsv_here("annotate", "videos", "-m", "music", "-o", "more.csv")
    assert done.returncode == 1 and "no videos, only 1 .mp3, 1 .prproj: " in done.stderr


@pytest.mark.slow
def test_what_is_left_out_is_counted_and_explained(here: Path) -> None:
    videos = here / "videos"
    videos.mkdir()
    good = video(videos / "a.mp4", music(0, 3, 10))
    shutil.copy(good, videos / "copy.mp4")
    video(videos / "brief.mp4", music(0, 3, 5))
    video(videos / "moment.mp4", np.concatenate([music(0, 3, 6), music(77, 0, 6)]))
    video(videos / "other.mp4", music(78, 0, 8))
    video(videos / "picture.mp4", None, seconds=5)
    video(videos / "silent.mp4", np.zeros(5 * RATE, np.float32))
    video(videos / "long.mp4", np.zeros(15 * RATE, np.float32))
    (videos / "broken.mp4").write_bytes(b"x" * 200)
    given = ("videos", "gone.mp4", "videos/a.mp4")
    arguments = ("annotate", *given, "-m", "music", "--max-video", "14", "--json")
    done = mgsv_here(*arguments, "-o", "uses.csv")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert {reason: one["count"] for reason, one in document["left_out"].items()} == {
        "same video": 2,
        "short video": 1,
        "long video": 1,
        "no sound": 1,
        "silent": 1,
        "no track": 1,
        "short moment": 1,
    }
    assert all(one["meaning"] for one in document["left_out"].values())
    assert [Path(one["video"]).name for one in document["moments"]] == ["a.mp4"]
    assert [Path(one["path"]).name for one in document["failed"]] == ["broken.mp4", "gone.mp4"]
    assert len(document["dropped"]) == 8
    assert done.stderr.count("left out: ") == 2
    assert len(rows(here / "uses.csv")) == 1
    plain = mgsv_here(*arguments[:-1], "-o", "again.csv")
    assert plain.stderr.count("\n") == plain.stderr.count("left out: ") == 10
    assert "2 same video" in plain.stdout and "2 unreadable" in plain.stdout


@pytest.mark.slow
def test_unsure_matches_are_left_out(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsure(index: LandmarkIndex, samples: NDArray[np.float32]) -> list[Match]:
        return [replace(match, confidence=0.4) for match in locate(index, samples)]

    video(here / "clip.mp4", music(0, 3, 9))
    monkeypatch.setattr(sys.modules["mgsv.annotate.listen"], "locate", unsure)
    command = ("annotate", "clip.mp4", "-m", "music", "-o", "uses.csv")
    done = mgsv_here(*command)
    assert done.returncode == 1
    assert "less sure than --min-confidence (tune0.wav at 00:00.0–00:06.0, 0.40)" in done.stderr
    assert "was not written" in done.stderr and not (here / "uses.csv").exists()
    done = mgsv_here(*command, "--min-confidence", "0.3", "--min-moment", "30")
    assert done.returncode == 1
    assert "shorter than --min-moment (tune0.wav" in done.stderr
    assert mgsv_here(*command, "--min-confidence", "0.4").returncode == 0
    assert float(rows(here / "uses.csv")[0]["confidence"]) == 0.4


@pytest.mark.slow
def test_a_copy_encoded_anew_is_left_out(here: Path) -> None:
    """Smaller, slower and in another format; a template's other video and another cut stay."""
    sound = music(0, 3, 11)

    def clip(width: int, height: int, rate: float, seed: int) -> Clip:
        size = {"width": width, "height": height}
        return Clip(seconds=8, rate=rate, cuts=(2.5, 4.9), speed=lambda _: 0.02, seed=seed, **size)

    write_video(here / "1.mp4", clip(160, 96, 10, 1), audio=sound, audio_rate=RATE)
    codecs = {"codec": "mpeg4", "audio_codec": "opus"}
    write_video(here / "2.mkv", clip(106, 64, 8, 1), audio=sound / 2, audio_rate=RATE, **codecs)
    write_video(here / "3.mp4", clip(160, 96, 10, 2), audio=sound, audio_rate=RATE)
    other = music(0, 3.3, 11.3)
    write_video(here / "4.mp4", clip(160, 96, 10, 1), audio=other, audio_rate=RATE)
    videos = [here / name for name in ("1.mp4", "2.mkv", "3.mp4", "4.mp4")]
    done = mgsv_here("annotate", *videos, "-m", "music", "-o", "uses.csv")
    assert done.returncode == 0, done.stderr
    assert [row["video_id"] for row in rows(here / "uses.csv")] == ["1", "3", "4"]
    (line,) = done.stderr.splitlines()
    assert "2.mkv: another video shows the same pictures" in line and "1.mp4)" in line
    assert "1 same moment" in done.stdout


@pytest.mark.slow
def test_an_existing_file_is_kept(here: Path) -> None:
    video(here / "clip.mp4", music(0, 3, 9))
    (here / "uses.csv").write_text("mine")
    command = ("annotate", "clip.mp4", "-m", "music", "-o", "uses.csv")
    done = mgsv_here(*command)
    assert done.returncode == 1 and "exists already" in done.stderr
    assert (here / "uses.csv").read_text() == "mine"
    assert mgsv_here(*command, "--overwrite").returncode == 0
    assert len(rows(here / "uses.csv")) == 1


@pytest.mark.slow
def test_names_that_stand_twice_and_are_not_utf8(here: Path) -> None:
    for folder, (start, seed) in {"x": (3, 0), "y": (8, 1)}.items():
        (here / folder).mkdir()
        video(here / folder / "clip.mp4", music(seed, start, start + 6))
        (here / "music" / folder).mkdir()
        write_tunes(here / "music" / folder, range(5 + seed, 6 + seed))
    odd = here / "music" / "odd\udcff.wav"
    (here / "music" / "tune0.wav").rename(odd)
    (here / "music" / "y" / "tune6.wav").rename(here / "music" / "y" / "tune1.wav")
    done = mgsv_here("annotate", "x", "y", "-m", "music", "-o", "uses.csv")
    assert done.returncode == 0, done.stderr
    text = (here / "uses.csv").read_bytes()
    assert b"odd\xff.wav" in text
    assert [line.split(b",")[:2] for line in text.splitlines()[1:]] == [
        [b"clip", b"odd\xff"],
        [b"clip.2", b"tune1"],
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("-o", "uses.csv"), "--music is missing"),
        (("-m", "music", "-o", "uses.txt"), "uses.txt"),
        (("-m", "nowhere", "-o", "uses.csv"), "nowhere: no such file"),
        (("-m", "music", "-o", "no/uses.csv"), "folder it should go to does not exist"),
        (("-m", "music", "-o", "uses.csv", "--min-confidence", "2"), "--min-confidence 2.0"),
        (("-m", "music", "-o", "uses.csv", "--min-moment", "nan"), "--min-moment nan"),
    ],
)
def test_bad_options(here: Path, arguments: tuple[str, ...], text: str) -> None:
    video(here / "clip.mp4", music(0, 3, 9))
    done = mgsv_here("annotate", "clip.mp4", *arguments)
    assert done.returncode == 1
    assert text in done.stderr and done.stderr.count("\n") == 1
    assert not list(here.glob("uses*"))


@pytest.mark.slow
def test_times_are_the_pictures(here: Path) -> None:
    """The sound begins 0.4 s after the first picture."""
    path = video(here / "late.mkv", music(0, 5, 12), seconds=8, start=2.0, audio_delay=0.4)
    start = read_audio(path).start
    assert start is not None
    delay = read_picture_clock(path).place(start)
    assert delay == pytest.approx(0.4, abs=0.03)
    assert mgsv_here("annotate", path, "-m", "music", "-o", "uses.csv").returncode == 0
    (row,) = rows(here / "uses.csv")
    apart = float(row["music_start"]) - float(row["video_start"])
    assert apart == pytest.approx(5 - delay, abs=0.03)
    assert float(row["video_start"]) == pytest.approx(0.4, abs=0.05)


@pytest.mark.slow
def test_a_hole_in_the_sound(here: Path) -> None:
    """The microphone was muted for 14 s between the two uses."""
    sound = np.concatenate([music(0, 3, 10), np.zeros(14 * RATE, np.float32), music(1, 12, 20)])
    path = video(here / "muted.mp4", sound, muted=[(7.1, 20.9)])
    assert mgsv_here("annotate", path, "-m", "music", "-o", "uses.csv").returncode == 0
    first, second = rows(here / "uses.csv")
    times = ("video_start", "video_end", "music_start", "music_end")
    assert [float(first[t]) for t in times] == pytest.approx([0, 7, 3, 10], abs=0.05)
    assert [float(second[t]) for t in times] == pytest.approx([21, 29, 12, 20], abs=0.05)


@pytest.mark.slow
def test_sound_that_starts_long_after_the_picture(here: Path) -> None:
    path = video(here / "late.mp4", music(0, 5, 12), seconds=22, audio_delay=14.0)
    assert mgsv_here("annotate", path, "-m", "music", "-o", "uses.csv").returncode == 0
    (row,) = rows(here / "uses.csv")
    times = ("video_start", "video_end", "music_start", "music_end")
    assert [float(row[t]) for t in times] == pytest.approx([14, 21, 5, 12], abs=0.05)
    assert float(row["video_total_duration"]) == pytest.approx(22, abs=0.01)


@pytest.mark.slow
def test_the_pictures_there_are_count(here: Path) -> None:
    """A copy that broke off: its header promises 20 s, and sound beyond its pictures is no use."""
    path = video(here / "whole.mkv", music(0, 3, 23), seconds=20)
    data = path.read_bytes()
    (here / "cut.mkv").write_bytes(data[: len(data) * 3 // 5])
    seconds = VideoScan(here / "cut.mkv")
    assert list(seconds) == [] and seconds.info.duration < 15
    assert mgsv_here("annotate", "cut.mkv", "-m", "music", "-o", "uses.csv").returncode == 0
    (row,) = rows(here / "uses.csv")
    there = seconds.info.duration
    assert float(row["video_total_duration"]) == pytest.approx(there, abs=0.001)
    assert float(row["video_end"]) <= there + 0.001
    assert int(row["video_total_frames"]) == pytest.approx(5 * there, abs=1)
    command = ("annotate", "cut.mkv", "-m", "music", "--min-video", "16", "-o", "none.csv")
    assert "shorter than --min-video" in mgsv_here(*command).stderr


@pytest.mark.slow
def test_music_on_another_sound_track(here: Path) -> None:
    """Commentary on the first, the music on the second, a third that is silent."""
    voice = tune(99, 8)
    at = np.arange(8 * RATE) * 8_000 / RATE
    speech = np.interp(at, np.arange(len(voice)), voice).astype(np.float32)
    silence = np.zeros(8 * RATE, np.float32)
    path = video(here / "film.mkv", speech, more_audio=[music(1, 4, 12), silence])
    done = mgsv_here("annotate", path, "-m", "music", "-o", "uses.csv", "--json")
    assert done.returncode == 0, done.stderr
    (moment,) = json.loads(done.stdout)["moments"]
    assert (moment["sound_track"], moment["sound_tracks"]) == (2, 3)
    assert (moment["video_start"], moment["music_start"]) == pytest.approx((0, 4), abs=0.02)
    done = mgsv_here("annotate", path, "-m", "music", "-o", "again.csv")
    assert ", sound track 2 of 3" in done.stdout


@pytest.mark.slow
def test_what_two_sound_tracks_have_in_common_is_one_use(here: Path) -> None:
    """Under a voice on the first; and the second changes to another track."""
    first = np.concatenate([music(0, 3, 9), np.zeros(7 * RATE, np.float32)])
    second = np.concatenate([music(0, 3, 9), music(1, 12, 19)])
    path = video(here / "film.mkv", first, more_audio=[second])
    done = mgsv_here("annotate", path, "-m", "music", "-o", "uses.csv", "--json")
    found = json.loads(done.stdout)["moments"]
    assert [(one["music_id"], one["sound_track"]) for one in found][1:] == [("tune1", 2)]
    assert [one["music_id"] for one in found] == ["tune0", "tune1"]


@pytest.mark.slow
def test_a_sound_track_that_cannot_be_read_is_noted(here: Path) -> None:
    """As the spatial sound of a telephone, beside a plain track."""
    path = video(here / "film.mkv", music(0, 3, 9), more_audio=[music(1, 0, 6)])
    data = path.read_bytes()
    at = data.rindex(b"A_AAC")
    path.write_bytes(data[:at] + b"A_XXX" + data[at + 5 :])
    done = mgsv_here("annotate", path, "-m", "music", "-o", "uses.csv")
    assert done.returncode == 0
    assert "film.mkv: sound track 2 of 2 was not listened to: its sound codec" in done.stderr
    assert [row["music_id"] for row in rows(here / "uses.csv")] == ["tune0"]


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--min-video", "5", "--max-video", "1"), "--min-video 5 is more than --max-video 1"),
        (("--min-moment", "inf"), "--min-moment inf"),
    ],
)
def test_limits_that_nothing_can_pass(here: Path, flags: tuple[str, ...], named: str) -> None:
    done = mgsv_here("annotate", "clip.mp4", "-m", "music", "-o", "uses.csv", *flags)
    assert done.returncode == 1 and named in done.stderr and done.stderr.count("\n") == 1
