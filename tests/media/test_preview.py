"""What is heard and seen of a moment before anything is rendered."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import media_files
from mgsv.errors import ConfigError
from mgsv.jobs import Cancelled, Job
from mgsv.media import isolated
from mgsv.media.audio import read_audio
from mgsv.media.preview import LONGEST
from mgsv.media.soundtrack import SoundOptions
from mgsv.moment import Moment

RATE = 48_000


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    speech = media_files.sine(3.0, RATE, 300.0)
    return media_files.write_video(
        tmp_path / "clip.mp4", media_files.Clip(seconds=3, cuts=(1.0, 2.0)), audio=speech
    )


@pytest.fixture
def track(tmp_path: Path) -> Path:
    """Ten seconds, a higher note in each."""
    notes = [media_files.sine(1.0, RATE, 500.0 + 100 * k) for k in range(10)]
    return media_files.write_audio(tmp_path / "track.wav", np.concatenate(notes), RATE)


def pitch(sound: np.ndarray) -> float:
    """Hz of the strongest note."""
    spectrum = np.abs(np.fft.rfft(sound.mean(axis=1) * np.hanning(len(sound))))
    return float(np.argmax(spectrum)) * RATE / len(sound)


def test_a_preview_begins_where_the_moment_does(clip: Path, track: Path) -> None:
    sound = isolated.preview_sound(clip, track, Moment(4.0, 7.0))
    assert sound.shape == (3 * RATE, 2)
    for second, note in enumerate((900.0, 1000.0, 1100.0)):
        part = sound[int((second + 0.1) * RATE) : int((second + 0.6) * RATE)]
        assert pitch(part) == pytest.approx(note, abs=3)


def test_a_preview_is_as_loud_as_the_rendered_file(clip: Path, track: Path, tmp_path: Path) -> None:
    sound = isolated.preview_sound(clip, track, Moment(4.0, 7.0)) / 32767
    isolated.render(clip, track, Moment(4.0, 7.0), tmp_path / "out.mp4")
    written = read_audio(tmp_path / "out.mp4", RATE).samples
    levels = [
        20 * np.log10(np.sqrt(np.mean(np.square(one[RATE : 2 * RATE]))))
        for one in (sound.mean(axis=1), written)
    ]
    assert levels[0] == pytest.approx(levels[1], abs=0.5)


def test_the_clips_own_sound_is_as_loud_as_wanted(clip: Path, track: Path) -> None:
    def share(own_gain: float) -> float:
        """Of the clip's 300 Hz beside the music's 900 Hz."""
        options = SoundOptions(keep_audio=True, own_gain=own_gain)
        first = isolated.preview_sound(clip, track, Moment(4.0, 7.0), options)[: RATE // 2, 0]
        spectrum = np.abs(np.fft.rfft(first * np.hanning(len(first))))
        return float(spectrum[150] / spectrum[450])

    assert share(-30.0) < 0.2 * share(0.0)


def test_own_gain_has_limits() -> None:
    with pytest.raises(ConfigError, match="own_gain is 50: give -40 to 12 dB"):
        SoundOptions(own_gain=50)


def test_a_track_is_heard_as_it_is(track: Path) -> None:
    sound = isolated.preview_track(track, Moment(2.5, 3.0))
    assert len(sound) == RATE // 2
    assert pitch(sound) == pytest.approx(700, abs=3)


def test_what_is_too_long_is_refused(track: Path) -> None:
    with pytest.raises(ConfigError, match="too long"):
        isolated.preview_track(track, Moment(0, LONGEST + 1))


def test_a_film_strip_shows_the_shots_in_order(tmp_path: Path) -> None:
    colours = ((200, 0, 0), (0, 200, 0), (0, 0, 200))
    clip = media_files.write_video(
        tmp_path / "clip.mp4", media_files.Clip(seconds=3, cuts=(1.0, 2.0), colours=colours)
    )
    strip = Image.open(io.BytesIO(isolated.film_strip(clip, frames=6).tobytes()))
    width = strip.width // 6
    seen = [strip.getpixel(((k + 0.5) * width, 30)) for k in range(6)]
    assert [int(np.argmax(pixel)) for pixel in seen] == [0, 0, 1, 1, 2, 2]


@pytest.mark.slow
def test_a_render_can_be_cancelled(track: Path, tmp_path: Path) -> None:
    """The decoder that writes it is ended in the midst of it."""
    clip = media_files.write_video(
        tmp_path / "clip.mp4", media_files.Clip(seconds=60, width=640, height=360), codec="mpeg4"
    ).rename(tmp_path / "clip.avi")
    job = Job()
    threading.Timer(0.8, job.cancel).start()
    with pytest.raises(Cancelled), isolated.watched(job.check):
        for _ in range(50):
            isolated.render(clip, track, Moment(1, 9), tmp_path / "out.mp4", overwrite=True)
    assert not list(tmp_path.glob("*.part"))
