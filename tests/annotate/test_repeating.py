"""Tracks that repeat themselves: a use that goes on is one match, at the place that explains it.

Tolerances: as in `test_locate`; a use that slips by samples begins where its longer part says.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from media_files import write_audio
from mgsv.annotate import LandmarkIndex, Match, locate
from mgsv.library.fingerprints import open_fingerprints
from tunes import RATE, tune

Floats = NDArray[np.float32]


def loop(own: float, seconds: int = 60) -> Floats:
    """Bars of 5 s that are the same to the sample, under a part of its own at the level `own`."""
    return np.tile(tune(80, 5), seconds // 5) + np.float32(own) * tune(81, seconds)


def drone(seconds: int = 60) -> Floats:
    """Held tones that swell every 5.1 s, each by itself, and drift apart."""
    rng = np.random.default_rng(82)
    time = np.arange(seconds * RATE) / RATE
    tones = [
        rng.uniform(0.02, 0.1)
        * np.sin(2 * np.pi * pitch * (1 + rng.normal(0, 5e-4)) * time)
        * (1 + 0.3 * np.sin(2 * np.pi * time / 5.1 + rng.uniform(0, 6)))
        for pitch in (55, 82.5, 110, 137.5, 165, 220, 275, 330)
    ]
    return np.sum(tones, axis=0).astype(np.float32)


def index_of(folder: Path, **tracks: Floats) -> LandmarkIndex:
    paths = [write_audio(folder / f"{name}.wav", x, rate=RATE) for name, x in tracks.items()]
    return LandmarkIndex(open_fingerprints([bytes(path) for path in paths], folder / "lib")[0])


def only(matches: list[Match]) -> Match:
    (match,) = matches
    return match


def cut(track: Floats, start: float, end: float, by: int = 0) -> Floats:
    return track[round(start * RATE) + by : round(end * RATE) + by]


@pytest.mark.slow
@pytest.mark.parametrize("slip", [0, 1, 3, 40])
def test_a_use_that_slips_by_samples_goes_on(tmp_path: Path, slip: int) -> None:
    """One sample is enough for the known place to agree no longer; the bars before still do."""
    track = loop(0.2)
    index = index_of(tmp_path, loop=track)
    rest = np.random.default_rng(0).normal(0, 1e-4, RATE // 2).astype(np.float32)
    sound = np.concatenate([cut(track, 11, 26), rest, cut(track, 26.5, 41, slip)])
    match = only(locate(index, sound))
    assert match.music.start == pytest.approx(11, abs=0.001 + slip / RATE)
    assert match.video.duration == pytest.approx(30, abs=0.05)


@pytest.mark.slow
def test_the_place_that_explains_the_sound_throughout(tmp_path: Path) -> None:
    """The bars agree with every other bar; only the quiet part tells one from another."""
    track = loop(0.1)
    index = index_of(tmp_path, loop=track)
    for start in (0.0, 12.5, 20.0):
        match = only(locate(index, cut(track, start, start + 30)))
        assert match.music.start == pytest.approx(start, abs=1e-3)


@pytest.mark.slow
def test_of_two_versions_the_one_that_is_heard(tmp_path: Path) -> None:
    """Both have the bars; one has more of the rest."""
    index = index_of(tmp_path, quiet=loop(0.2), loud=loop(1.0))
    for name, own in (("quiet", 0.2), ("loud", 1.0)):
        match = only(locate(index, cut(loop(own), 7, 31)))
        assert match.track.path.stem == name
        assert match.music.start == pytest.approx(7, abs=1e-3)


@pytest.mark.slow
def test_a_drone(tmp_path: Path) -> None:
    """Held tones agree with themselves a period on (here of 27.5 Hz), nearly as well as at their
    place, and may be laid there.
    """
    track = drone()
    index = index_of(tmp_path, drone=track, tune=tune(83, 60))
    for start in (0.0, 12.5):
        match = only(locate(index, cut(track, start, start + 25)))
        assert match.track.path.stem == "drone"
        assert match.music.start == pytest.approx(start, abs=1 / 27.5 + 1e-3)


def test_another_drone_is_not_it(tmp_path: Path) -> None:
    index = index_of(tmp_path, drone=drone())
    other = np.interp(np.arange(20 * RATE) * 1.06, np.arange(60 * RATE), drone())
    assert [m for m in locate(index, other.astype(np.float32)) if m.confidence > 0.01] == []
