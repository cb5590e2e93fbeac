"""The file a rendering leaves: whole or none, in any place, under any name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from media_files import Clip, write_audio, write_video
from mgsv.errors import ConfigError, OutputError
from mgsv.media import render as render_module
from mgsv.media.aac import AacSpool
from mgsv.media.render import render
from mgsv.media.soundtrack import SoundOptions
from mgsv.moment import Moment
from render_support import (
    left_in,
    music,
    read_times,
)


def test_what_exists_is_overwritten_only_on_request(tmp_path: Path, shelf: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"mine")
    job = shelf / "clip.mp4", shelf / "track.flac", Moment(0, 2), out
    with pytest.raises(OutputError, match="exists already"):
        render(*job)
    assert out.read_bytes() == b"mine"
    render(*job, overwrite=True)
    assert len(read_times(out)) == 50
    assert left_in(tmp_path) == {"out.mp4"}


def test_what_comes_to_exist_meanwhile_is_not_overwritten(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.mp4"
    packets = AacSpool.packets
    monkeypatch.setattr(AacSpool, "packets", lambda *a: (out.write_bytes(b"mine"), packets(*a))[1])
    with pytest.raises(OutputError, match="exists already"):
        render(shelf / "clip.mp4", shelf / "track.flac", Moment(0, 2), out)
    assert out.read_bytes() == b"mine"
    assert left_in(tmp_path) == {"out.mp4"}


@pytest.mark.sampled
@pytest.mark.parametrize("link", ["same", "symbolic", "hard"])
@pytest.mark.parametrize("which", ["clip.mp4", "track.mp4"])
def test_an_input_is_never_the_output(tmp_path: Path, link: str, which: str) -> None:
    write_video(tmp_path / "clip.mp4", Clip(seconds=0.5))
    write_audio(tmp_path / "track.mp4", music(2), codec="aac")
    target, out = tmp_path / which, tmp_path / "out.mp4"
    before = target.read_bytes()
    if link == "same":
        out = tmp_path / "." / which
    elif link == "symbolic":
        out.symlink_to(target)
    else:
        out.hardlink_to(target)
    with pytest.raises(OutputError, match="the input itself"):
        render(tmp_path / "clip.mp4", tmp_path / "track.mp4", Moment(0, 1), out, overwrite=True)
    assert target.read_bytes() == before


def test_places_where_nothing_can_be_written(tmp_path: Path, shelf: Path) -> None:
    job = shelf / "clip.mp4", shelf / "track.flac", Moment(0, 2)
    with pytest.raises(OutputError, match="folder it should go to does not exist"):
        render(*job, tmp_path / "missing" / "out.mp4")
    with pytest.raises(ConfigError, match=r"end the output's name in \.mp4"):
        render(*job, tmp_path / "out.avi")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(OutputError, match="a folder of this name"):
        render(*job, tmp_path / "folder.mp4", overwrite=True)
    with pytest.raises(OutputError, match="cannot be written"):
        render(*job, Path("/proc/out.mp4"))
    for bad in ({"loudness": 3.0}, {"true_peak": float("nan")}, {"fade": -1.0}):
        with pytest.raises(ConfigError, match=next(iter(bad))):
            SoundOptions(**bad)
    assert left_in(tmp_path) == {"folder.mp4"}


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_folder_that_is_read_only(tmp_path: Path, shelf: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        render(shelf / "clip.mp4", shelf / "track.flac", Moment(0, 2), tmp_path / "out.mp4")
    tmp_path.chmod(0o700)


FULL_DISK = """
import resource, sys
from mgsv.errors import OutputError
from mgsv.media.render import render
from mgsv.media.soundtrack import SoundOptions
from mgsv.moment import Moment
video, track, output, limit = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    render(video, track, Moment(0, 2), output)
except OutputError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("room", [10_000, 300_000, 900_000])
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, shelf: Path, room: int) -> None:
    """The first limits stop the work files, the last one the result (noise: 2 MB of packets)."""
    clip = tmp_path / "clip.mp4"
    noise = np.random.default_rng(0)
    paint = Clip(
        seconds=2.0, width=320, height=240,
        paint=lambda _t: noise.integers(0, 256, (240, 320, 3), np.uint8),
    )  # fmt: skip
    write_video(clip, paint)
    assert clip.stat().st_size > 1_500_000
    folder = tmp_path / "out"
    folder.mkdir()
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, clip, shelf / "track.flac", folder / "o.mp4", str(room)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "cannot be written (File too large)" in result.stdout
    assert result.stdout.count("\n") == 1
    assert result.stderr == ""
    assert left_in(folder) == set()


def test_an_interrupt_before_writing_leaves_nothing_behind(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = render_module.make_soundtrack

    def interrupted(*arguments: Any, **options: Any) -> None:
        make(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(render_module, "make_soundtrack", interrupted)
    with pytest.raises(KeyboardInterrupt):
        render(shelf / "clip.mp4", shelf / "track.flac", Moment(0, 2), tmp_path / "out.mp4")
    assert left_in(tmp_path) == set()


def test_an_interrupt_while_writing_leaves_nothing_behind(
    tmp_path: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packets = AacSpool.packets

    def interrupted(spool: AacSpool, stream: av.AudioStream) -> Iterator[av.Packet[av.AudioStream]]:
        for number, packet in enumerate(packets(spool, stream)):
            if number == 50:
                assert len(left_in(tmp_path)) == 1  # the unfinished file, under its passing name
                raise KeyboardInterrupt
            yield packet

    monkeypatch.setattr(AacSpool, "packets", interrupted)
    with pytest.raises(KeyboardInterrupt):
        render(shelf / "clip.mp4", shelf / "track.flac", Moment(0, 2), tmp_path / "out.mp4")
    assert left_in(tmp_path) == set()


def test_strange_names(tmp_path: Path, shelf: Path) -> None:
    names = ["-o 🎵\n.mp4", os.fsdecode(b"caf\xe9.mp4"), "concat:x.mp4"]
    for name in names:
        report = render(shelf / "clip.mp4", shelf / "track.flac", Moment(0, 2), tmp_path / name)
        assert report.path == tmp_path / name
    assert left_in(tmp_path) == set(names)


def test_the_result_has_the_usual_permissions(tmp_path: Path, shelf: Path) -> None:
    out = render(shelf / "clip.mp4", shelf / "track.flac", Moment(0, 2), tmp_path / "o.mp4").path
    (tmp_path / "plain").touch()
    assert out.stat().st_mode == (tmp_path / "plain").stat().st_mode


MEMORY = """
import sys
from pathlib import Path
from mgsv.media.render import render
from mgsv.media.soundtrack import SoundOptions
from mgsv.moment import Moment
video, track, output, seconds = sys.argv[1:]
render(video, track, Moment(0, float(seconds)), output, sound=SoundOptions(keep_audio=True))
# Not getrusage, whose peak begins with that of the process that started this one.
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(int(status["VmHWM"].split()[0]) // 1024)
"""


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    peaks: list[int] = []
    for seconds in (20, 80):
        sound = np.tile(music(10, 16_000)[0], seconds // 10)
        clip = write_video(
            tmp_path / f"{seconds}.mp4", Clip(seconds, rate=5, width=64, height=48),
            audio=sound, audio_rate=16_000,
        )  # fmt: skip
        track = write_audio(tmp_path / f"{seconds}.flac", sound, 16_000, "flac")
        command = [
            sys.executable,
            "-c",
            MEMORY,
            clip,
            track,
            tmp_path / f"o{seconds}.mp4",
            str(seconds),
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(result.stdout))
    assert peaks[1] - peaks[0] < 10, peaks  # 80 s of stereo floats would be 31 MB
