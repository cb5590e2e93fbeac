"""Beats and bars of patterns made here, whose first beats are known.

Tolerance: 70 ms, as in the field. The first and last bar are left out: a tracker may need a beat or
two. A kick is a falling sine, a snare and a hi-hat are noise, a chord is three decaying tones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from mgsv.media.bars import count
from mgsv.media.metre import Metre, find_metre
from mgsv.media.rhythm import RATE, analyse_rhythm

Wave = NDArray[np.float64]
TIME = np.arange(round(0.6 * RATE)) / RATE
CHORDS = ((45, 52, 57, 60, 64), (41, 48, 53, 57, 60), (48, 52, 55, 60, 67), (43, 50, 55, 59, 62))
"""A minor, F, C and G, each with its root in the bass."""


def kick() -> Wave:
    return np.asarray(
        np.sin(2 * np.pi * 50 * TIME + 8 * (1 - np.exp(-TIME * 40))) * np.exp(-TIME * 12)
    )


def noise(seed: int, decay: float, sharp: bool) -> Wave:
    samples = np.random.default_rng(seed).normal(0, 0.3, len(TIME)) * np.exp(-TIME * decay)
    return np.asarray(np.diff(samples, prepend=0.0) if sharp else samples)


def chord(pitches: Sequence[int], seconds: float) -> Wave:
    time = np.arange(round(seconds * RATE)) / RATE
    tones = [np.sin(2 * np.pi * 440 * 2 ** ((p - 69) / 12) * time) for p in pitches]
    return np.asarray(0.08 * sum(tones) * np.exp(-time * 1.5) * np.minimum(1, time * 100))


def piece(
    metre: int,
    period: float,
    kicks: Sequence[float],
    snares: Sequence[float],
    hats: Sequence[float],
    *,
    bars: int = 16,
    first: float = 0.5,
    chords: bool = True,
) -> NDArray[np.float32]:
    """`bars` bars of a pattern, its strokes in beats from the bar's first; a chord to each bar."""
    seconds = first + bars * metre * period + 1
    samples = np.random.default_rng(0).normal(0, 1e-3, round(seconds * RATE))
    for bar in range(bars):
        start = first + bar * metre * period
        strokes = [(start + at * period, kick()) for at in kicks]
        strokes += [(start + at * period, noise(1, 18, False)) for at in snares]
        strokes += [(start + at * period, noise(2, 60, True)) for at in hats]
        if chords:
            strokes.append((start, chord(CHORDS[bar % 4], metre * period)))
        for time, sound in strokes:
            at = round(time * RATE)
            samples[at : at + len(sound)] += sound[: len(samples) - at]
    return (0.5 * samples).astype(np.float32)


def heard(samples: NDArray[np.float32]) -> Metre:
    return find_metre(samples, analyse_rhythm(samples))


def share_right(found: NDArray[np.float32], metre: int, period: float) -> float:
    """F-measure against every bar's first beat, but for those of the first and last bar."""
    truth = 0.5 + metre * period * np.arange(1, 15)
    inside = found[(found > truth[0] - 0.1) & (found < truth[-1] + 0.1)]
    near = np.abs(inside[:, None] - truth).min(axis=1) <= 0.07 if len(inside) else np.zeros(0)
    return 2 * float(near.sum()) / (len(inside) + len(truth))


HALVES = tuple(np.arange(0, 4, 0.5))


@pytest.mark.slow
@pytest.mark.parametrize("period", [0.5, 0.55])
def test_a_snare_on_two_and_four_is_not_the_first_beat(period: float) -> None:
    found = heard(piece(4, period, kicks=(0, 2, 2.5), snares=(1, 3), hats=HALVES))
    assert share_right(found.downbeats, 4, period) > 0.9


def test_four_on_the_floor_has_its_beats_on_the_kick() -> None:
    """The hi-hat between the beats has the most onsets above the bass."""
    found = heard(piece(4, 0.48, kicks=(0, 1, 2, 3), snares=(), hats=(0.5, 1.5, 2.5, 3.5)))
    errors = np.abs((found.beats - 0.5 + 0.24) % 0.48 - 0.24)
    assert np.mean(errors <= 0.07) > 0.9
    assert share_right(found.downbeats, 4, 0.48) > 0.9


def test_a_waltz_has_three_beats() -> None:
    found = heard(piece(3, 0.4, kicks=(0,), snares=(), hats=(1, 2)))
    assert share_right(found.downbeats, 3, 0.4) > 0.9


def test_downbeats_are_among_the_beats() -> None:
    found = heard(piece(4, 0.5, kicks=(0, 2), snares=(1, 3), hats=()))
    assert found.beats.dtype == found.downbeats.dtype == np.float32
    assert np.isin(found.downbeats, found.beats).all()
    assert (np.diff(found.beats) > 0).all()


@pytest.mark.parametrize("seconds", [0.0, 0.01, 1.0, 4.0])
def test_what_is_too_short_or_silent_has_no_bars(seconds: float) -> None:
    samples = np.zeros(round(seconds * RATE), np.float32)
    assert len(heard(samples).downbeats) == 0
    hiss = np.random.default_rng(0).normal(0, 0.1, len(samples)).astype(np.float32)
    assert len(heard(hiss).downbeats) in range(5)


def test_the_count_recovers_from_a_missed_beat() -> None:
    """Cues that name the place outright; one beat is missing, so the fifth bar has three."""
    places = np.delete(np.arange(64) % 4, 18)
    value, found = count(np.eye(4)[places], 6 * np.eye(4))
    assert found.tolist() == places.tolist()
    assert 0 < value < np.log(4)
