"""The ending given to a picture track, as ffmpeg and mediainfo read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ffmpeg_tools import ffmpeg, ffprobe, shown
from mgsv.media.edit_list import end_picture


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_the_picture_ends_where_it_should(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    source = ("-f", "lavfi", "-i", "testsrc2=size=160x96:rate=10:duration=3")
    sound = ("-f", "lavfi", "-i", "sine=duration=2")
    ffmpeg(*source, *sound, "-pix_fmt", "yuv420p", path)
    with path.open("r+b") as file:
        end_picture(file, 1.25)
    assert [round(p.time, 3) for p in shown(path)] == [n / 10 for n in range(13)]
    answer = ffprobe(path, "-show_format")
    assert float(answer["format"]["duration"]) == pytest.approx(2.0, abs=0.05)
