"""Known answers: clips cut for one moment of one real track must lead back to it."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

import mgsv
import real_media
from mgsv.media.audio import read_audio
from planted_clips import write_planted_clip

SECONDS = 12.0
TOLERANCE = 0.1


@pytest.mark.slow
def test_sync_finds_the_planted_track_and_moment(
    bundled: mgsv.Library, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = []
    for path in real_media.bgm_tracks():
        found, start = _ground_planted(path, bundled, tmp_path)
        right = found.track.path.name == path.name
        outcomes.append((path.name, right, found.start - start, found.score))
    hits = sum(right and abs(error) <= TOLERANCE for _, right, error, _ in outcomes)
    with capsys.disabled():
        print(
            f"\nplanted clips: right track, start within {TOLERANCE} s: {hits} of {len(outcomes)}"
        )
        for name, right, error, score in outcomes:
            if not right or abs(error) > TOLERANCE:
                track = "right" if right else "wrong"
                print(f"  missed: {name}: {track} track, {error:+.2f} s, score {score:.2f}")
    assert len(outcomes) == 28
    assert hits >= 24


@pytest.mark.slow
@pytest.mark.parametrize("name", ["1918.mp3", "funkyrobot.mp3"])
def test_sync_finds_a_moment_of_a_long_track(
    name: str, bundled: mgsv.Library, tmp_path: Path
) -> None:
    path = next(path for path in real_media.long_tracks() if path.name == name)
    found, start = _ground_planted(path, bundled, tmp_path)
    assert found.track.path.name == name
    assert abs(found.start - start) <= TOLERANCE


def _ground_planted(
    path: Path, library: mgsv.Library, folder: Path
) -> tuple[mgsv.RankedMoment, float]:
    audio = read_audio(path)
    rng = np.random.default_rng(zlib.crc32(path.name.encode()))
    start = float(rng.uniform(0, audio.duration - SECONDS))
    clip = folder / f"{path.stem}.mp4"
    write_planted_clip(clip, audio.samples, audio.rate, start, SECONDS, rng)
    return mgsv.ground(clip, library, top=1)[0], start
