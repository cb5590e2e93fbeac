"""Likeness of tracks: formats, levels and delays of one recording against everything else.

The margins are wide: formats of one recording reach 0.98 and more, versions stay below 0.9.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from media_files import write_audio
from mgsv.library.recordings import CURVES_ALIKE, WAVES_ALIKE
from mgsv.media.audio import read_audio
from mgsv.media.likeness import WAVE_RATE, Curves, wave_likeness
from mgsv.media.rhythm import analyse_rhythm
from tunes import tune

RATE = 48_000
Samples = NDArray[np.float32]


def song(seed: int, seconds: float = 30.0) -> Samples:
    low = tune(seed, seconds)
    at = np.arange(round(seconds * RATE)) * 8_000 / RATE
    return np.interp(at, np.arange(len(low)), low).astype(np.float32)


def likeness(one: Path, other: Path) -> tuple[float, float]:
    """Of the curves, and of the waveforms."""
    rhythms = (analyse_rhythm(read_audio(path).samples) for path in (one, other))
    a, b = (Curves(rhythm.onset, rhythm.energy) for rhythm in rhythms)
    waves = (read_audio(path, WAVE_RATE).samples for path in (one, other))
    return a.likeness(b), wave_likeness(*waves, a.lag(b))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("songs")


@pytest.fixture(scope="module")
def original(folder: Path) -> Path:
    return write_audio(folder / "original.wav", song(1), RATE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "codec"), [("mp3", "mp3"), ("m4a", "aac"), ("opus", "opus"), ("flac", "flac")]
)
def test_formats_of_one_recording_are_alike(
    folder: Path, original: Path, ending: str, codec: str
) -> None:
    other = write_audio(folder / f"same.{ending}", song(1), RATE, codec)
    curves, waves = likeness(original, other)
    assert curves > 0.9 > CURVES_ALIKE and waves > 0.98 > WAVES_ALIKE


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda x: 2 * x,
        lambda x: x / 2,
        lambda x: -x,
        lambda x: np.concatenate([np.zeros(round(0.0373 * RATE), np.float32), x]),
        lambda x: x[round(1.2345 * RATE) :],
        lambda x: np.concatenate([x, np.zeros(2 * RATE, np.float32)]),
    ],
    ids=["+6 dB", "-6 dB", "inverted", "37.3 ms later", "1.2345 s cut off", "2 s of silence"],
)
def test_levels_and_lags_make_no_difference(folder: Path, original: Path, change) -> None:
    other = write_audio(folder / "changed.wav", change(song(1)).astype(np.float32), RATE)
    for pair in ((original, other), (other, original)):
        curves, waves = likeness(*pair)
        assert curves > 0.8 and waves > 0.98


@pytest.mark.slow
@pytest.mark.parametrize("speed", [0.98, 0.99, 1.01, 1.02])
def test_another_speed_is_another_track(folder: Path, original: Path, speed: float) -> None:
    at = np.arange(0, 30 * RATE - 1, speed)
    faster = np.interp(at, np.arange(30 * RATE), song(1)).astype(np.float32)
    other = write_audio(folder / "speed.wav", faster, RATE)
    assert min(likeness(original, other)) < CURVES_ALIKE


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.0, -6.0])
def test_a_version_with_another_voice_is_another_track(
    folder: Path, original: Path, level: float
) -> None:
    """The accompaniment, and so the rhythm, is the same."""
    mixed = song(1) + 10 ** (level / 20) * song(2)
    other = write_audio(folder / "voice.wav", mixed, RATE)
    assert likeness(original, other)[1] < 0.92 < WAVES_ALIKE


@pytest.mark.slow
def test_other_music_is_not_alike(folder: Path, original: Path) -> None:
    for seed in (2, 3, 4):
        other = write_audio(folder / "other.wav", song(seed), RATE)
        curves, waves = likeness(original, other)
        assert curves < 0.4 and waves < 0.4


def test_silence_and_scraps_are_like_nothing() -> None:
    for count in (0, 1, 100, 1000):
        silence = np.zeros(count, np.float32)
        curves = Curves(silence, silence)
        assert curves.likeness(curves) == 0
        assert wave_likeness(silence, silence, 0.0) == 0
