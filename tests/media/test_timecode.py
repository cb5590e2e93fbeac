"""Timecode and frame rates, and that every format keeps times, for any rate and start."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mgsv.errors import ConfigError
from mgsv.media.timeline.edl import edl_text
from mgsv.media.timeline.model import Lane, Sound, SourceFile, Stretch, Timeline
from mgsv.media.timeline.otio import otio_text
from mgsv.media.timeline.timecode import counted, frame_number, may_drop, meant, parse, written
from mgsv.media.timeline.xmeml import xmeml_text
from timeline_support import NTSC, drop_frame_labels, frame_of, read

WRITERS = {".edl": edl_text, ".xml": xmeml_text, ".otio": otio_text}
CONSTANT = [
    *(Fraction(n) for n in (1, 2, 5, 6, 8, 10, 12, 15, 16, 20, 24, 25, 30, 48, 50, 60)),
    *(Fraction(n) for n in (72, 90, 100, 120, 144, 240, 1000)),
    *(Fraction(25, 2), Fraction(15, 2), Fraction(100, 7), Fraction(1, 5)),
    *(n * NTSC for n in (12, 15, 24, 30, 48, 60, 120, 240)),
]
ANY_RATE = st.one_of(
    st.sampled_from(CONSTANT),
    st.fractions(Fraction(1, 10), 300, max_denominator=1001),
)


@pytest.mark.slow
@pytest.mark.parametrize("base", [30, 60])
def test_drop_frame_numbers_are_those_that_counting_gives(base: int) -> None:
    labels = drop_frame_labels(base)
    rate = base * NTSC
    assert len(labels) == 599.4 * base
    for hours, ten_minutes in ((0, 0), (14, 2), (23, 5)):
        first = (6 * hours + ten_minutes) * len(labels)
        for label, number in labels.items():
            code = f"{hours:02d}:{ten_minutes}{label}"
            assert written(first + number, rate, drop=True) == code
            parsed = parse(code)
            assert parsed is not None
            assert frame_number(parsed, base) == first + number
    assert written(144 * len(labels), rate, drop=True) == "00:00:00;00"


@pytest.mark.parametrize(
    "text",
    ["", "14:23:11", "24:00:00:00", "14:60:00:00", "1:2:3:4", "-1:00:00:00", "now", "٠٠:٠٠:٠٠:٠٠"],
)
def test_what_is_no_timecode_is_none(text: str) -> None:
    assert parse(text) is None


def test_numbers_are_dropped_at_ntsc_rates_alone() -> None:
    rates = [24 * NTSC, Fraction(25), 30 * NTSC, Fraction(30), 60 * NTSC, Fraction(60)]
    assert [may_drop(rate) for rate in rates] == [False, False, True, False, True, False]


@pytest.mark.parametrize(
    ("rate", "wanted"),
    [
        *((Fraction(rate), Fraction(rate)) for rate in (24, 25, 30, 48, 50, 60)),
        *((rate * NTSC, rate * NTSC) for rate in (24, 30, 48, 60)),
        *((Fraction(1), Fraction(24)), (Fraction(8), Fraction(24)), (Fraction(12), Fraction(24))),
        *((Fraction(10), Fraction(30)), (Fraction(15), Fraction(30)), (Fraction(5), Fraction(25))),
        *((Fraction(25, 2), Fraction(25)), (Fraction(20), Fraction(60)), (15 * NTSC, 30 * NTSC)),
        *(
            (Fraction(120), Fraction(60)),
            (Fraction(240), Fraction(60)),
            (Fraction(100), Fraction(50)),
        ),
        *((120 * NTSC, 60 * NTSC), (Fraction(90), Fraction(30)), (Fraction(18), Fraction(60))),
        *((Fraction(100, 7), Fraction(60)), (Fraction(90_001), Fraction(60))),
    ],
)
def test_the_rate_that_is_counted(rate: Fraction, wanted: Fraction) -> None:
    assert counted(rate) == wanted


@given(ANY_RATE)
def test_no_other_rate_moves_pictures_less(rate: Fraction) -> None:
    """How far each picture lies from a frame, for all that timecode counts."""
    chosen = counted(rate)
    rates = [*(n * NTSC for n in (24, 30, 48, 60)), *map(Fraction, (24, 25, 30, 48, 50, 60))]
    if any((other / rate).denominator == 1 for other in rates):
        assert (chosen / rate).denominator == 1
    elif any((rate / other).denominator == 1 for other in rates):
        assert (rate / chosen).denominator == 1
    else:
        assert chosen == 60


@pytest.mark.parametrize(
    ("mean", "seconds", "constant", "wanted"),
    [
        (29.96, 2.0, None, 30 * NTSC),  # as headers of short files have it
        (30.5, 2.0, Fraction(30), Fraction(30)),  # 60 pictures, the last of no length
        (25.0, 10.0, Fraction(60_000), Fraction(25)),  # DV's timestamps
        (22.2, 60.0, Fraction(30), Fraction(111, 5)),  # variable
        (119.9, 5.0, Fraction(90_000), 120 * NTSC),
        (0.0, 0.0, None, Fraction(25)),
    ],
)
def test_the_rate_that_is_meant(
    mean: float, seconds: float, constant: Fraction | None, wanted: Fraction
) -> None:
    assert meant(mean, seconds, constant) == wanted


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    suffix=st.sampled_from(sorted(WRITERS)),
    rate=ANY_RATE,
    seconds=st.floats(0.1, 80_000),
    first=st.integers(0, 24 * 86_000),
    drop=st.booleans(),
    in_point=st.floats(0, 7000),
    sample_rate=st.sampled_from([8000, 44_100, 48_000, 192_000]),
)
@example(".edl", 30 * NTSC, 2.0, 1_552_181, True, 1.0, 44_100)
@example(".xml", 60 * NTSC, 3600.0, 5_178_815, True, 0.5, 48_000)
def test_times_come_back(
    tmp_path: Path,
    suffix: str,
    rate: Fraction,
    seconds: float,
    first: int,
    drop: bool,
    in_point: float,
    sample_rate: int,
) -> None:
    own = rate if suffix == ".otio" else counted(rate)
    frame, pictures = 1 / own, math.ceil(seconds * rate)
    clip = SourceFile(
        Path("clip.mov"), pictures / rate, start=first / own, rate=rate, size=(16, 16),
        sound=Sound(48_000, 2),
    )  # fmt: skip
    music = SourceFile(Path("song.wav"), Fraction(14_400), sound=Sound(sample_rate, 2))
    whole = Stretch(clip, Fraction(0), clip.seconds)
    heard = Stretch(music, Fraction(in_point), min(clip.seconds, Fraction(7000)))
    lanes = (Lane("video", (whole,)), Lane("audio", (whole,)), Lane("audio", (heard,)))
    timeline = Timeline("cut", own, drop and may_drop(own), lanes)
    path = tmp_path / f"cut{suffix}"
    path.write_text(WRITERS[suffix](timeline))
    picture, sound, song = read(path, own)

    # The exact start and length, where pictures lie on frames; else as near as frames allow.
    exact = (own / rate).denominator == 1
    unit = {".otio": Fraction(1, sample_rate)}.get(suffix, frame)
    assert picture.start == first / own
    assert (
        picture.seconds == clip.seconds if exact else abs(picture.seconds - clip.seconds) <= frame
    )
    near = Fraction(1, 48_000) if suffix == ".otio" else 0
    assert abs(sound.start - picture.start) <= near
    assert abs(sound.seconds - picture.seconds) <= near
    assert abs(song.start - Fraction(in_point)) <= unit / 2
    assert abs(song.seconds - heard.seconds) <= unit
    if suffix != ".edl":
        assert picture.begin == picture.start
        assert song.whole == 14_400 // unit * unit


def test_an_edl_refuses_what_timecode_cannot_say() -> None:
    source = SourceFile(Path("song.wav"), Fraction(100_000), sound=Sound(48_000, 2))
    late = Stretch(source, Fraction(90_000), Fraction(10))
    timeline = Timeline("cut", Fraction(25), False, (Lane("audio", (late,)),))
    with pytest.raises(ConfigError, match=r"24 hours: write an \.otio file"):
        edl_text(timeline)
    assert '"value": 4320000000.0' in otio_text(timeline)


def test_a_reader_counts_as_the_standard_does() -> None:
    """One hour of drop-frame timecode is 107,892 frames; the tenth minutes keep their numbers."""
    assert frame_of("01:00:00;00", 30) == 107_892
    assert frame_of("00:01:00;02", 30) == 1800
    assert frame_of("00:10:00;00", 30) == 17_982
    assert frame_of("14:23:11:05", 25) == 1_294_780
