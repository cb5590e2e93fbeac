"""Structure of made-up music, whose bars, sections and phrases are known beforehand.

Tolerances: bars and borders lie on given beats, kept as float32 of up to 64 s (4e-6 apart), so 1e-3
means the very beat; a border without a downbeat near it is known to the features' step of 2.5 s.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from media_files import clicks
from mgsv.media.rhythm import ONSET_DELAY, ONSET_RATE, analyse_rhythm
from mgsv.media.structure import Structure, _novelty, _standardised, analyse_structure

STEP = 2.5


def music(
    sections: str,
    *,
    bars: int = 8,
    metre: int = 4,
    period: float = 0.5,
    first: float = 0.0,
    levels: dict[str, float] | None = None,
    drop: int | None = None,
    seed: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64], Structure]:
    """(beats, first beats of bars, what is found) of a piece of `bars` bars per section.

    Each letter has a sound of its own, and its loudness from `levels`. First beats are somewhat
    stronger than others, whose strength varies. `drop`: the beat that the tracker misses.
    """
    rng = np.random.default_rng(seed)
    count = len(sections) * bars * metre
    beats = first + period * np.arange(count)
    seconds = beats[-1] + period
    onset = rng.exponential(0.02, round(seconds * ONSET_RATE))
    strength = rng.uniform(0.6, 1.4, count)
    strength[::metre] += 0.8
    onset[np.rint((beats + ONSET_DELAY) * ONSET_RATE).astype(int)] += strength
    sound = {name: rng.normal(size=40) for name in sorted(set(sections))}
    place = np.arange(len(onset)) / ONSET_RATE - first
    length = bars * metre * period
    number = np.clip((place // length).astype(int), 0, len(sections) - 1)
    energy = np.array([(levels or {}).get(name, 0.8) for name in sections])[number]
    middles = (np.arange(int(np.ceil(seconds / STEP))) + 0.5) * STEP - first
    of_row = np.clip((middles // length).astype(int), 0, len(sections) - 1)
    rows = np.array([sound[sections[n]] for n in of_row]) + rng.normal(0, 0.3, (len(of_row), 40))
    heard = beats if drop is None else np.delete(beats, drop)
    return beats, beats[::metre], analyse_structure(heard, onset, energy, rows)


def share_on(times: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    return float(np.mean([np.abs(truth - time).min() < 1e-3 for time in times]))


@pytest.mark.parametrize("metre", [3, 4])
@pytest.mark.parametrize("first", [0.0, 0.37])
def test_bars_are_counted_from_their_accents(metre: int, first: float) -> None:
    _, bars, found = music("AABB", metre=metre, first=first)
    assert found.downbeats == pytest.approx(bars, abs=1e-3)


def test_the_count_recovers_from_a_missed_beat() -> None:
    _, bars, found = music("AABB", drop=61)
    assert share_on(found.downbeats, bars) > 0.95
    assert len(found.downbeats) >= 0.95 * len(bars)


def test_bars_are_counted_in_sound() -> None:
    """Every fourth click twice as strong: six decibels, through the whole analysis."""
    beats = np.arange(0.3, 24, 0.5)
    samples = clicks(24.0, beats) + clicks(24.0, beats[2::4])
    heard = analyse_rhythm(samples)
    found = analyse_structure(heard.beats, heard.onset, heard.energy, np.zeros((10, 4)))
    errors = np.abs(found.downbeats[:, None] - beats[2::4]).min(axis=1)
    assert errors.max() < 0.02
    assert len(found.downbeats) >= len(beats[2::4]) - 1


def test_borders_lie_where_the_sound_changes() -> None:
    """Sections of 16 s, which is no multiple of a row's 2.5 s."""
    _, bars, found = music("ABAC", levels={"A": 0.7, "B": 0.9, "C": 0.6})
    assert found.borders == pytest.approx([0, 16, 32, 48], abs=1e-3)
    assert share_on(found.borders, bars) == 1.0


def test_borders_are_on_a_bar_even_where_nothing_gets_louder() -> None:
    _, bars, found = music("ABCA", bars=10)
    assert share_on(found.borders, bars) == 1.0
    assert found.borders == pytest.approx([0, 20, 40, 60], abs=2.0)


def test_one_sound_has_no_borders_but_its_start() -> None:
    assert music("A", bars=4)[2].borders.tolist() == [0.0]


def test_what_comes_back_is_distinguished_from_what_does_not() -> None:
    """Sections of 16 s, of which only the first comes back; rows across a border are mixed."""
    *_, found = music("ABAC")
    middles = (np.arange(len(found.repetition)) + 0.5) * STEP
    within = (middles % 16 > STEP) & (middles % 16 < 16 - STEP)
    first = middles % 32 < 16
    assert found.repetition[first & within].min() > 0.6
    assert found.repetition[~first & within].max() < 0.3


@pytest.mark.parametrize(("period", "bars"), [(0.5, 4), (0.33, 8)])
def test_phrases_are_four_bars_or_eight_short_ones(period: float, bars: int) -> None:
    _, downbeats, found = music("AB", bars=16, period=period, levels={"A": 0.6, "B": 0.8})
    assert found.phrases == pytest.approx(downbeats[::bars], abs=1e-3)


def test_a_phrase_begins_where_the_music_comes_back() -> None:
    beats, bars, _ = music("A", bars=16)
    onset = np.full(round(32 * ONSET_RATE), 0.02)
    onset[np.rint((beats + ONSET_DELAY) * ONSET_RATE).astype(int)] += 1
    onset[np.rint((bars + ONSET_DELAY) * ONSET_RATE).astype(int)] += 1
    energy = np.full(len(onset), 0.8)
    energy[round(8.2 * ONSET_RATE) : round(10 * ONSET_RATE)] = 0.4  # a break before bar 6
    found = analyse_structure(beats, onset, energy, np.zeros((13, 4)))
    assert found.phrases == pytest.approx([0, 10, 18, 26], abs=1e-3)


def test_novelty_is_the_checkerboard_along_the_diagonal() -> None:
    """Oracle: Foote's kernel on the matrix itself, away from its edges."""
    rows = _standardised(np.random.default_rng(3).normal(size=(40, 7)))
    reach, matrix = 5, rows @ rows.T
    offsets = np.arange(-reach, reach) + 0.5
    taper = np.exp(-0.5 * (2 / reach) ** 2 * (offsets[:, None] ** 2 + offsets**2))
    kernel = np.sign(np.outer(offsets, offsets)) * taper
    kernel /= np.abs(kernel).sum()
    found = _novelty(rows, reach)
    for row in range(reach, len(rows) - reach):
        around = slice(row - reach, row + reach)
        assert found[row] == pytest.approx((kernel * matrix[around, around]).sum(), abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    seconds=st.floats(0.0, 60.0),
    beats=st.lists(st.floats(0.0, 1.0), max_size=150),
    rows=st.integers(1, 30),
    width=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_whatever_the_track_times_rise_and_lie_on_it(
    seconds: float, beats: list[float], rows: int, width: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    onset, energy = rng.random((2, int(seconds * ONSET_RATE)))
    times = np.unique(np.floor(np.array(beats) * seconds * 100) / 100)
    found = analyse_structure(times, onset, energy, rng.normal(size=(rows, width)))
    again = analyse_structure(times, onset, energy, rng.normal(size=(rows, width)))
    assert np.array_equal(found.downbeats, again.downbeats)
    assert found.borders[0] == 0 and found.phrases[0] == 0
    for part in (found.downbeats, found.borders, found.phrases):
        assert (np.diff(part) > 0).all() and part.dtype == np.float32
        assert not len(part) or (part[0] >= 0 and part[-1] <= max(seconds, 1e-6) + 1e-4)
    assert found.repetition.shape == (rows,)
    assert ((found.repetition >= 0) & (found.repetition <= 1)).all()
    assert np.isin(found.borders, found.phrases).all()
