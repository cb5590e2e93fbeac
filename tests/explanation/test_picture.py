"""What is drawn where: lines and dots in data coordinates, words in the file, files on the disk.

Tolerances: float32 of values near 1, through one subtraction.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from mgsv.drawing import styled
from mgsv.errors import ConfigError, OutputError
from mgsv.explanation.explain import picture_paths
from mgsv.explanation.facts import Facts
from mgsv.explanation.looks import middle_of
from mgsv.explanation.picture import draw, picture
from mgsv.grounding.result import RankedMoment
from mgsv.library import TrackFeatures
from mgsv.media.video import Frame
from mgsv.methods.base import Query
from synthetic import query, random_track

TRACK = random_track("song", 40, seed=1)  # a beat each half second from 0.1 s on
PNG = b"\x89PNG\r\n\x1a\n"


def facts_of(
    clip: Query, start: float, track: TrackFeatures = TRACK, name: str = "clip.mp4", **more: Any
) -> Facts:
    end = min(start + clip.seconds, track.track.duration)
    found = RankedMoment(1, track.track, start, end, 0.5, {"cuts": 0.7, "motion": 0.4})
    return Facts(name, clip.curves, found, track, 0.3, **more)


@pytest.fixture
def drawn() -> Iterator[Any]:
    with styled():
        yield lambda facts: {axes.get_label(): axes for axes in draw(facts).axes}


def lines_at(axes: Any, colour: str) -> list[float]:
    """Where across vertical lines of `colour` stand."""
    from matplotlib.colors import to_hex

    return [
        round(float(segment[0][0]), 3)
        for lines in axes.collections
        if hasattr(lines, "get_segments") and to_hex(lines.get_edgecolor()[0]) == colour
        for segment in lines.get_segments()
    ]


def test_cuts_are_drawn_where_they_fall_on_the_track(drawn: Any) -> None:
    facts = facts_of(query(8.0, cuts=[1.0, 2.5, 4.2]), start=10.1)
    assert facts.on_beat.tolist() == [True, True, False]
    assert facts.beside[2] == pytest.approx(0.2, abs=1e-5)
    cuts = drawn(facts)["cuts"]
    assert cuts.get_xlim() == drawn(facts)["music"].get_xlim() == drawn(facts)["clip"].get_xlim()
    assert lines_at(cuts, "#1d2733") == [11.1, 12.6, 14.3]
    dots = {line.get_label(): list(line.get_xdata()) for line in cuts.lines}
    assert dots["cut on a beat"] == pytest.approx([11.1, 12.6])
    assert dots["cut beside a beat"] == pytest.approx([14.3])
    assert [text.get_text() for text in cuts.texts] == ["0.20 s off"]
    assert facts.reasons[0].startswith("2 of 3 cuts fall on a beat (within 0.07 s); chance")


def test_beats_in_view_and_the_moment_are_marked(drawn: Any) -> None:
    facts = facts_of(query(4.0), start=10.0)
    music = drawn(facts)["music"]
    low, high = music.get_xlim()
    beats = [round(float(b), 3) for b in TRACK.beats if low <= b <= high]
    assert set(beats) <= set(lines_at(music, "#2f6db5"))
    (span,) = music.patches
    assert (span.get_x(), span.get_x() + span.get_width()) == (10.0, 14.0)
    (whole,) = drawn(facts)["track"].patches
    assert (whole.get_x(), whole.get_width()) == (10.0, 4.0)


def test_the_chance_of_a_cut_on_a_beat_is_measured() -> None:
    """Beats twice a second, 0.14 s each: 28 % of the time."""
    words = facts_of(query(20.0, cuts=np.arange(1, 20)), start=3.3).reasons[0]
    assert words == "0 of 19 cuts fall on a beat (within 0.07 s); chance would give 5.3."


@pytest.mark.parametrize(
    ("cut", "words"), [(1.0, "on a beat (within 0.07 s)"), (1.2, "beside the beats (none within")]
)
def test_a_single_cut(cut: float, words: str) -> None:
    sentence = facts_of(query(4.0, cuts=[cut]), start=10.1).reasons[0]
    assert sentence.startswith(f"The clip's one cut falls {words}")


def test_frames_stand_at_their_times(drawn: Any) -> None:
    frames = tuple(Frame(float(k), np.full((72, 128, 3), 40, np.uint8)) for k in range(4))
    film = drawn(facts_of(query(4.0), start=10.0, frames=frames))["film"]
    assert [image.get_extent()[0] for image in film.images] == [10.0, 11.0, 12.0, 13.0]


def test_the_clip_upright_square_and_wide(drawn: Any) -> None:
    """Each column of a picture has its own number, so that it tells what is left of it."""
    image = np.broadcast_to(np.arange(128, dtype=np.uint8)[None, :, None], (72, 128, 3))
    frames = tuple(Frame(float(k), image) for k in range(5))
    looks = drawn(facts_of(query(5.0), start=10.0, frames=frames))["looks"]
    kept = [np.asarray(one.get_array())[0, :, 0] for one in looks.images]
    assert len(kept) == 9
    for columns, shape in zip(kept[::3], (9 / 16, 1.0, 16 / 9), strict=True):
        assert len(columns) == pytest.approx(72 * shape, abs=1)
        assert columns[0] + columns[-1] == pytest.approx(127, abs=1)  # the middle
    for one in looks.images:
        left, right, bottom, top = one.get_extent()
        assert (right - left) / (top - bottom) == pytest.approx(
            np.asarray(one.get_array()).shape[1] / 72, rel=0.02
        )
    assert right <= looks.get_xlim()[1]
    upright = Frame(0.0, np.zeros((128, 72, 3), np.uint8))
    shapes = [middle_of(upright.image, shape).shape[:2] for shape in (9 / 16, 1.0, 16 / 9)]
    assert shapes == [(128, 72), (72, 72), (40, 72)]


@pytest.mark.slow
def test_music_that_ends_before_the_clip() -> None:
    facts = facts_of(query(8.0, cuts=[2.0, 6.0]), start=36.0)
    assert facts.cuts.tolist() == [38.0] and facts.silent_cuts.tolist() == [42.0]
    assert "The music ends 4.0 s before the clip." in facts.reasons
    assert picture(facts, "png").startswith(PNG)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("clip", "track"),
    [
        (query(1.0), TRACK),
        (query(30.0), random_track("short", 4, seed=2)),
        (query(60.0, cuts=np.arange(0.5, 60, 0.4)), random_track("long", 600, seed=3)),
        (query(5.0, cuts=[2.0]), replace(TRACK, beats=np.zeros(0, np.float32))),
        (query(5.0, cuts=[2.0]), replace(TRACK, energy=np.zeros_like(TRACK.energy))),
    ],
    ids=["a second", "longer than its track", "many cuts, ten minutes", "no beats", "silence"],
)
def test_anything_can_be_drawn(clip: Query, track: TrackFeatures) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert picture(facts_of(clip, 0.0, track), "png").startswith(PNG)


def test_odd_names_are_written_as_they_are_and_stay_inside() -> None:
    name = "_$x$ <b>&amp; 日 \udcff"
    track = replace(TRACK, track=replace(TRACK.track, path=Path("W" * 200 + ".mp3")))
    facts = facts_of(query(4.0), 1.0, track, name)
    svg = ElementTree.fromstring(picture(facts, "svg"))
    words = ["".join(text.itertext()) for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert any("_$x$ <b>&amp; 日 \\udcff" in word and "WW.mp3" in word for word in words)
    assert "Why this moment" in words
    assert any("Score 0.50: better than luck, which reaches 0.30" in word for word in words)
    with styled(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on glyphs that this machine's fonts lack
        figure = draw(facts)
        right = max(text.get_window_extent().x1 for text in figure.texts)
    assert right <= 12 * figure.dpi


def test_the_same_facts_give_the_same_bytes() -> None:
    facts = facts_of(query(4.0, cuts=[2.0]), 1.0)
    assert picture(facts, "svg") == picture(facts, "svg")


def test_names_of_pictures(tmp_path: Path) -> None:
    clip = tmp_path / "my.clip.mp4"

    def names(*arguments: Any, **more: Any) -> list[str]:
        return [path.name for path in picture_paths(clip, *arguments, **more)]

    assert names(2) == ["my.clip.explain.1.png", "my.clip.explain.2.png"]
    assert names(1, tmp_path, format="svg") == ["my.clip.explain.1.svg"]
    assert names(1, tmp_path / "why.SVG") == ["why.SVG"]
    assert names(2, tmp_path / "why.svg") == ["why.1.svg", "why.2.svg"]
    with pytest.raises(ConfigError, match=r"end the output's name in \.png, \.svg"):
        names(1, tmp_path / "why.pdf")
    with pytest.raises(ConfigError, match="`format` png is not the ending"):
        names(1, tmp_path / "why.svg", format="png")
    (tmp_path / "my.clip.explain.2.png").write_bytes(b"precious")
    with pytest.raises(OutputError, match="`overwrite`"):
        names(2)
    assert names(2, overwrite=True) == ["my.clip.explain.1.png", "my.clip.explain.2.png"]
