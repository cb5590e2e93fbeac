"""Clips whose pictures are damaged are rendered as a player shows them."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from library_support import write_tone
from media_files import Clip, write_video
from mgsv.media.render import render
from mgsv.moment import Moment


def wiped(path: Path, first: int) -> Path:
    """The pictures from number `first` on cannot be decoded."""
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for place, size in places[first:]:
        assert place is not None
        data[place : place + size] = bytes(size)
    path.write_bytes(data)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["mov", "mp4"])
def test_the_last_good_picture_stays_until_the_end(tmp_path: Path, ending: str) -> None:
    whole = write_video(tmp_path / f"clip.{ending}", Clip(seconds=3, rate=10), codec="mjpeg")
    clip = wiped(whole, 21)
    track = write_tone(tmp_path / "tone.wav", seconds=5)
    report = render(clip, track, Moment(0, 3), tmp_path / "out.mp4")
    with av.open(str(report.path)) as container:
        (stream,) = container.streams.video
        assert stream.time_base is not None
        assert stream.duration * stream.time_base == pytest.approx(3.0, abs=0.05)
        pictures = [f.to_ndarray(format="gray") for f in container.decode(video=0)]
    assert len(pictures) == 30
    for held in pictures[21:]:
        assert abs(held.astype(int) - pictures[20]).mean() < 2
    assert report.duration == pytest.approx(3.0, abs=0.05)
