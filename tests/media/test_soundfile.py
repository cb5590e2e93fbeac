"""A clip's sound as a file of its own: its length, its place on the track, its loudness."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from media_files import Clip, write_audio, write_video
from mgsv.errors import MediaError, OutputError
from mgsv.media.audio import read_audio
from mgsv.media.isolated import isolate
from mgsv.media.soundfile import write_music_sound, write_own_sound
from mgsv.media.soundtrack import SoundOptions
from mgsv.moment import Moment
from tunes import RATE, tune

TARGET = SoundOptions(loudness=-23.0)
LAG = 0.002
"""Seconds: of a sample at `RATE`, some ten times."""


@pytest.fixture
def track(tmp_path: Path) -> Path:
    return write_audio(tmp_path / "track.wav", tune(3, 12), rate=RATE)


def lag(sound: Path, original: np.ndarray) -> float:
    """Seconds by which the file's sound is late against `original`, both at `RATE`."""
    heard = read_audio(sound, RATE).samples
    size = len(heard) + len(original)
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(original, size))
    at = int(np.argmax(np.fft.irfft(spectrum, size)))
    return (at if at < size / 2 else at - size) / RATE


def ebu(path: Path) -> float:
    """Integrated LUFS by the ffmpeg program's meter."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is missing: the loudness is measured with it")
    done = subprocess.run(
        ["ffmpeg", "-nostats", "-i", str(path), "-af", "ebur128", "-f", "null", "-"],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(re.findall(r"I:\s+(-?[\d.]+) LUFS", done.stderr)[-1])


def test_a_moment_of_a_track_as_long_as_the_picture(tmp_path: Path, track: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", Clip(seconds=4, rate=10))
    write = isolate(write_music_sound, ("video", "track"), "output")
    made = write(clip, track, Moment(5, 9), tmp_path / "sound.m4a", sound=TARGET)
    assert made.seconds == pytest.approx(4)
    assert made.loudness == pytest.approx(-23, abs=0.3)
    assert ebu(made.path) == pytest.approx(-23, abs=0.3)
    assert abs(lag(made.path, tune(3, 12)[5 * RATE : 9 * RATE])) < LAG
    if shutil.which("ffprobe"):
        probe = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(made.path)]
        (stream,) = json.loads(subprocess.run(probe, capture_output=True).stdout)["streams"]
        assert (stream["codec_name"], stream["channels"]) == ("aac", 2)
        assert float(stream["duration"]) == pytest.approx(4, abs=0.03)  # a frame of AAC: 21 ms


def test_the_clips_own_sound_in_step_with_its_picture(tmp_path: Path) -> None:
    """It begins half a second after the picture."""
    own = np.repeat(tune(4, 3.5), 48_000 // RATE)
    clip = write_video(tmp_path / "clip.mp4", Clip(seconds=4, rate=10), audio=own, audio_delay=0.5)
    made = isolate(write_own_sound, ("video",), "output")(clip, tmp_path / "own.m4a", sound=TARGET)
    assert ebu(made.path) == pytest.approx(-23, abs=0.3)
    # The clip's AAC adds up to a frame of its own (21 ms) to what was written.
    assert lag(made.path, tune(4, 3.5)) == pytest.approx(0.5, abs=0.025)


def test_a_clip_without_sound_has_none_of_its_own(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", Clip(seconds=2, rate=10))
    with pytest.raises(MediaError, match="the clip has no sound of its own: give a clip"):
        write_own_sound(clip, tmp_path / "own.m4a")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_what_is_there_stays(tmp_path: Path, track: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", Clip(seconds=2, rate=10))
    (tmp_path / "sound.m4a").write_bytes(b"mine")
    with pytest.raises(OutputError, match="it exists already"):
        write_music_sound(clip, track, Moment(0, 2), tmp_path / "sound.m4a")
    assert (tmp_path / "sound.m4a").read_bytes() == b"mine"
