"""The clip's own sound under the music: which of several is kept, and the note about it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media_files import Clip, sine, write_audio, write_video
from mgsv.media.audio import read_audio
from mgsv.media.render import render
from mgsv.media.soundtrack import SoundOptions
from mgsv.moment import Moment


def loudest(path: Path) -> float:
    samples = read_audio(path).samples
    return float(np.abs(np.fft.rfft(samples)).argmax() * 16_000 / len(samples))


@pytest.mark.slow
@pytest.mark.parametrize("keep_audio", [True, False])
def test_the_main_one_of_several_sound_tracks_is_kept(tmp_path: Path, keep_audio: bool) -> None:
    own, commentary = sine(3, 48_000, 1000), sine(3, 48_000, 2000)
    clip = write_video(tmp_path / "clip.mkv", Clip(seconds=3), audio=own, more_audio=[commentary])
    track = write_audio(tmp_path / "track.wav", sine(4, 44_100, 300), 44_100)
    done = render(
        clip,
        track,
        Moment(0, 3),
        tmp_path / "out.mp4",
        sound=SoundOptions(keep_audio=keep_audio, duck="sound"),
    )
    said = "of the clip's 2 sound tracks, number 1 is kept"
    assert done.notes == ((said,) if keep_audio else ())
    assert loudest(tmp_path / "out.mp4") == pytest.approx(1000 if keep_audio else 300, abs=1)


def test_a_main_sound_track_that_cannot_be_decoded(tmp_path: Path) -> None:
    """As a telephone's spatial sound; the plain form beside it is what is heard."""
    spatial, plain = sine(3, 48_000, 1000), sine(3, 48_000, 2000)
    clip = write_video(tmp_path / "clip.mkv", Clip(seconds=3), audio=spatial, more_audio=[plain])
    data = clip.read_bytes()
    at = data.index(b"A_AAC")
    clip.write_bytes(data[:at] + b"A_XXX" + data[at + 5 :])
    assert loudest(clip) == pytest.approx(2000, abs=1)
    track = write_audio(tmp_path / "track.wav", sine(4, 44_100, 300), 44_100)
    done = render(
        clip,
        track,
        Moment(0, 3),
        tmp_path / "out.mp4",
        sound=SoundOptions(keep_audio=True, duck="sound"),
    )
    assert done.notes == ("of the clip's 2 sound tracks, number 2 is kept",)
    assert loudest(tmp_path / "out.mp4") == pytest.approx(2000, abs=1)
