"""Habits as counts that are drawn towards usual values.

Tolerances: shares are quotients of float64 sums; densities are integrated on 10,000 points.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgsv.memory.habits import BINS, PSEUDO_USES, START_KINDS, Habits, Observation, StartKind

TAGS = ("rock", "ambient", "jazz")
LIBRARY = [("rock",), ("rock", "jazz"), ("ambient",), ("ambient", "jazz")]


def seen(kind: StartKind = "start", **changes: object) -> Observation:
    made = Observation("t", (kind,), 0.0, 0.5, ("rock",))
    return replace(made, **changes)  # type: ignore[arg-type]


kinds = st.sampled_from(START_KINDS)
observations = st.lists(
    st.builds(
        Observation,
        track=st.sampled_from("abc"),
        kinds=st.lists(kinds, min_size=1, max_size=2, unique=True).map(tuple),
        place=st.floats(0, 1),
        on_beats=st.none() | st.floats(0, 1),
        tags=st.lists(st.sampled_from(TAGS), max_size=2, unique=True).map(tuple),
        weight=st.floats(0.01, 1),
    ),
    max_size=8,
)
shares = st.floats(0, 1)


def test_without_uses_every_share_is_the_usual_one() -> None:
    nothing = Habits.of([], LIBRARY)
    assert not nothing
    for usual in (0.0, 0.3, 1.0):
        assert nothing.start_share("start", usual) == usual
        assert nothing.beat_share(usual) == usual
    assert nothing.again_share() == 0 and nothing.mood(TAGS) == 0 and nothing.popularity("t") == 0
    assert nothing.place_density(np.linspace(0, 1, 50)) == pytest.approx(1)


def test_shares_are_counts_with_pseudo_uses() -> None:
    """By hand: 6 of 9 from the start, of which one is half sure; 2 + 0.5 of 4 cut to beats."""
    some = [
        *(seen(on_beats=None) for _ in range(5)),
        seen(weight=0.5, on_beats=1.0),
        seen("chorus", on_beats=0.5),
        seen("chorus", on_beats=1.0),
        seen("elsewhere", on_beats=0.25),
    ]
    found = Habits.of(some)
    a, b = PSEUDO_USES["starts"], PSEUDO_USES["beats"]
    assert found.uses == 8.5 and found.starts["start"] == 5.5
    assert found.start_share("start", 0.7) == pytest.approx((a * 0.7 + 5.5) / (a + 8.5))
    assert found.start_share("chorus", 0.0) == pytest.approx(2 / (a + 8.5))
    assert (found.cut_uses, found.cut_to_beats) == (3.5, pytest.approx(0.5 + 0.5 + 1 + 0.25))
    assert found.beat_share(0.25) == pytest.approx((b * 0.25 + 2.25) / (b + 3.5))


def test_a_place_that_is_two_kinds_counts_half_for_each() -> None:
    found = Habits.of([seen(kinds=("intro", "chorus")), seen("intro")])
    assert found.starts == {"start": 0, "intro": 1.5, "chorus": 0.5, "elsewhere": 0}


def test_tags_and_tracks_against_the_library() -> None:
    """3 of 4 uses are rock, which 2 of 4 tracks are; one track was used three times."""
    some = [seen(track="a"), seen(track="a"), seen(track="a", tags=("jazz",)), seen(track="b")]
    found = Habits.of(some, LIBRARY)
    tags, again = PSEUDO_USES["tags"], PSEUDO_USES["again"]
    assert found.tag_log_odds("rock") == pytest.approx(math.log((tags / 2 + 3) / (tags + 4) * 2))
    assert found.tag_log_odds("ambient") < 0 and found.tag_log_odds("polka") == 0
    assert found.mood(("rock", "ambient")) == pytest.approx(
        (found.tag_log_odds("rock") + found.tag_log_odds("ambient")) / 2
    )
    share = 2 / (again + 4)
    assert found.again_share() == pytest.approx(share)
    assert found.popularity("a") == pytest.approx(math.log(1 - share + share * 3 / 4 * 4))
    assert found.popularity("new") == pytest.approx(math.log(1 - share))


def test_starts_elsewhere_raise_the_places_they_have_in_common() -> None:
    found = Habits.of([seen("elsewhere", place=0.4) for _ in range(20)] + [seen(place=0.8)])
    at = np.linspace(0, 1, 10_000)
    density = found.place_density(at)
    assert density.mean() == pytest.approx(1, abs=0.01), "it only moves probability about"
    assert at[density.argmax()] == pytest.approx(0.4, abs=1 / BINS)
    assert found.place_density(np.array([0.8]))[0] < 1, "a start of another kind is no place"


@settings(max_examples=60, deadline=None)
@given(some=observations, order=st.randoms(use_true_random=False))
def test_the_order_of_uses_makes_no_difference(some: list[Observation], order: object) -> None:
    other = some.copy()
    order.shuffle(other)  # type: ignore[attr-defined]
    assert Habits.of(some, LIBRARY) == Habits.of(other, LIBRARY)
    assert Habits.of(some).fingerprint == Habits.of(other).fingerprint


@settings(max_examples=100, deadline=None)
@given(
    some=observations, kind=kinds, more=st.integers(1, 40), weight=st.floats(0.01, 1), usual=shares
)
def test_more_uses_that_agree_never_move_an_estimate_away(
    some: list[Observation], kind: StartKind, more: int, weight: float, usual: float
) -> None:
    agreeing = Observation("t", (kind,), 0.5, on_beats=1.0, tags=("rock",), weight=weight)
    before, after = (Habits.of([*some, *[agreeing] * n], LIBRARY) for n in (more, more + 1))
    for other in START_KINDS:
        change = after.start_share(other, usual) - before.start_share(other, usual)
        assert change >= -1e-12 if other == kind else change <= 1e-12
    assert after.beat_share(usual) >= before.beat_share(usual) - 1e-12
    assert after.tag_log_odds("rock") >= before.tag_log_odds("rock") - 1e-12
    assert after.again_share() >= before.again_share() - 1e-12
    if kind == "elsewhere":
        here = np.array([0.505])
        assert after.place_density(here) >= before.place_density(here) - 1e-9


@settings(max_examples=60, deadline=None)
@given(some=observations, usual=shares)
def test_shares_are_shares(some: list[Observation], usual: float) -> None:
    found = Habits.of(some, LIBRARY)
    for share in (found.start_share("start", usual), found.beat_share(usual), found.again_share()):
        assert 0 <= share <= 1
    spread = {"start": usual, "elsewhere": 1 - usual}
    total = math.fsum(found.start_share(kind, spread.get(kind, 0.0)) for kind in START_KINDS)
    assert total == pytest.approx(1)
    assert all(map(math.isfinite, [*map(found.tag_log_odds, TAGS), found.popularity("a")]))
