"""When pictures are shown whose timestamps are missing or have holes."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from media_files import Clip, write_video
from mgsv.media.timing import FrameClock

TICKS = 90_000  # per second
PICTURE = 3600  # ticks: 25 pictures per second


def placed(path: Path, times: list[int | None]) -> tuple[list[int | None], Fraction]:
    """Where pictures of such timestamps are placed, and where the last one ends."""
    with av.open(str(path)) as container:
        clock = FrameClock(container.streams.video[0])
        places = []
        for time in times:
            frame = av.VideoFrame(16, 16)
            frame.pts, frame.duration = time, PICTURE
            places.append(clock.place(frame))
    return places, clock.end


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("timing") / "clip.mp4"
    return write_video(path, Clip(seconds=0.2), time_base=Fraction(1, TICKS))


def test_a_picture_without_a_time_follows_the_one_before(stream: Path) -> None:
    places, end = placed(stream, [0, PICTURE, None, None, 5 * PICTURE])
    assert places == [0, PICTURE, 2 * PICTURE, 3 * PICTURE, 5 * PICTURE]
    assert end == 6 * PICTURE


def test_a_picture_without_a_time_does_not_repeat_a_hole(stream: Path) -> None:
    """Damage took seven pictures, and the last one comes out of the decoder without its time."""
    places, end = placed(stream, [0, PICTURE, 9 * PICTURE, None])
    assert places == [0, PICTURE, 9 * PICTURE, 10 * PICTURE]
    assert end == 11 * PICTURE
