"""`sync` against a plain implementation, and on clips whose answer is known.

Tolerances: correlations by float32 transforms of up to 2,500 points, twelve stages of four
roundings of curves whose squares sum to some 600, are off by 2e-4 at most; starts lie on a grid of
16 ms or, for motion, of 0.1 s.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgsv.media.rhythm import ONSET_DELAY, ONSET_RATE
from mgsv.methods.base import Placement
from mgsv.methods.registry import open_method
from mgsv.methods.sync import Sync
from mgsv.methods.synchrony import TrackPattern, agree, fft_size, pattern_of
from synthetic import query, query_for, random_track, track


def test_it_is_a_method() -> None:
    assert open_method("sync").name == "sync"


def test_agreement_equals_the_plain_sums() -> None:
    """Oracle: the same correlations, start by start, with np.corrcoef and np.interp."""
    features = random_track("a", 40, seed=1)
    asked = query_for(features, 11.3, 12.0)
    clip, pattern = pattern_of(asked), TrackPattern.of(features)
    result = agree(clip, pattern)
    length, usual = len(clip.motion), pattern.strength.mean()
    steps = np.arange(len(pattern.strength))
    for cell in range(0, len(result.total), 37):
        window = slice(cell, cell + length)
        motion = np.corrcoef(clip.motion, pattern.energy[window])[0, 1]
        bursts = np.corrcoef(clip.bursts, pattern.onset[window])[0, 1]
        step = round(cell * 6.25)
        at = step + (clip.cuts + ONSET_DELAY) * ONSET_RATE
        cuts = (np.interp(at, steps, pattern.strength).mean() - usual) / (1 - usual)
        assert result.terms["motion"][cell] == pytest.approx(motion, abs=2e-4)
        assert result.terms["bursts"][cell] == pytest.approx(bursts, abs=2e-4)
        assert result.cuts is not None and result.cuts[step] == pytest.approx(cuts, abs=2e-4)
        start = np.array([step / ONSET_RATE], np.float32)
        weighted = 0.5 * cuts + 0.35 * motion + 0.15 * bursts
        assert result.at(start)[0] == pytest.approx(weighted, abs=2e-4)
        if np.isfinite(result.total[cell]):
            assert result.total[cell] >= weighted - 2e-4


@pytest.mark.parametrize("start", [0.0, 3.21, 17.5, 27.9])
def test_a_planted_moment_is_found(start: float) -> None:
    tracks = [random_track(f"t{i}", 40, seed=i) for i in range(8)]
    asked = query_for(tracks[5], start, 12.0)
    assert int(np.argmax(Sync().score_tracks(asked, tracks))) == 5
    (found,) = open_method("sync").detect(asked, [tracks[5]], Placement())
    assert found.moment.start == pytest.approx(start, abs=0.05)
    assert found.moment.duration == pytest.approx(12.0)
    chance = Sync().chance(asked, tracks)
    assert chance is not None and found.score > chance


def test_nothing_after_four_minutes_is_ignored() -> None:
    long = random_track("long", 330, seed=3)
    (found,) = open_method("sync").detect(query_for(long, 270.0, 15.0), [long], Placement())
    assert found.moment.start == pytest.approx(270.0, abs=0.05)


def test_start_on_beat_starts_on_a_beat() -> None:
    features = random_track("a", 40, seed=1)
    asked = query_for(features, 11.27, 12.0)
    (found,) = open_method("sync").detect(asked, [features], Placement(start_on="beat"))
    assert np.abs(features.beats - found.moment.start).min() < 1e-6


def test_a_track_without_beats_still_starts_somewhere() -> None:
    features = random_track("a", 40, seed=1)
    beatless = track("b", features.onset, features.energy)
    (found,) = open_method("sync").detect(
        query_for(features, 11.3, 12.0), [beatless], Placement(start_on="beat")
    )
    assert found.moment.start == pytest.approx(11.3, abs=0.05)


def test_no_start_in_silence() -> None:
    """The clip fits the silent part best, but nobody would hear it."""
    features = random_track("a", 60, seed=4)
    energy = features.energy.astype(np.float32)
    asked = query_for(features, 10.0, 10.0)
    energy[round(9 * ONSET_RATE) : round(11 * ONSET_RATE)] = 0
    (found,) = open_method("sync").detect(asked, [track("q", features.onset, energy)], Placement())
    assert not 9.0 <= found.moment.start <= 10.4


def test_a_clip_longer_than_the_track_gets_all_of_it() -> None:
    features = random_track("short", 8, seed=5)
    asked = query_for(random_track("long", 40, seed=6), 5.0, 20.0)
    (found,) = open_method("sync").detect(asked, [features], Placement())
    assert (found.moment.start, found.moment.end) == (0.0, pytest.approx(8.0))
    assert np.isfinite(found.score)


def test_tracks_too_short_are_never_ranked() -> None:
    tracks = [random_track("tiny", 2.0, seed=7), random_track("fine", 30, seed=8)]
    scores = Sync().score_tracks(query_for(tracks[1], 3.0, 10.0), tracks)
    assert scores[0] == -np.inf and np.isfinite(scores[1])


def test_a_still_clip_has_no_chance_level() -> None:
    tracks = [random_track("a", 30, seed=9)]
    still = query(10.0)
    assert Sync().chance(still, tracks) is None
    (found,) = open_method("sync").detect(still, tracks, Placement())
    assert found.score == 0.0


@pytest.mark.slow
def test_unrelated_clips_stay_near_chance() -> None:
    """One of 20 unrelated clips should beat what 95 % stay below; four would be one in sixty."""
    tracks = [random_track(f"t{i}", 60, seed=i) for i in range(6)]
    other = random_track("other", 300, seed=99, beat=0.61)
    beaten = 0
    for number in range(20):
        asked = query_for(other, 5.0 + 13 * number, 12.0)
        chance = Sync().chance(asked, tracks)
        assert chance is not None
        beaten += bool(Sync().score_tracks(asked, tracks).max() > chance)
    assert beaten <= 3


def test_free_fit_leaves_out_an_end_that_does_not_belong() -> None:
    """The clip follows the music for half its length and something else afterwards."""
    features, other = random_track("a", 60, seed=10), random_track("o", 60, seed=11)
    first, second = query_for(features, 20.0, 12.0), query_for(other, 33.3, 12.0)
    asked = query(
        24.0,
        np.concatenate([first.curves.cuts, second.curves.cuts + 12]),
        np.concatenate([first.curves.motion, second.curves.motion]),
    )
    (found,) = open_method("sync").detect(asked, [features], Placement(fit="free"))
    assert found.moment.duration == pytest.approx(12.0)
    assert found.moment.start == pytest.approx(20.0, abs=0.05)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    seconds=st.floats(1.0, 30.0),
    track_seconds=st.floats(3.0, 50.0),
    cuts=st.lists(st.floats(0.0, 30.0), max_size=8),
    seed=st.integers(0, 1000),
    start_on=st.sampled_from(["any", "beat"]),
    fit=st.sampled_from(["exact", "free"]),
)
def test_a_moment_always_lies_on_its_track(
    seconds: float, track_seconds: float, cuts: list[float], seed: int, start_on: str, fit: str
) -> None:
    features = random_track("a", track_seconds, seed)
    motion = np.random.default_rng(seed).random(round(seconds * 10))
    asked = query(seconds, sorted(cuts), motion)
    (found,) = open_method("sync").detect(asked, [features], Placement(fit, start_on))  # type: ignore[arg-type]
    assert 0 <= found.moment.start <= found.moment.end <= features.track.duration + 1e-6
    assert -1.001 <= found.score <= 1.001
    assert found.moment.duration <= seconds + 1e-6


@given(st.integers(1, 100_000))
def test_fft_size_is_smooth_and_large_enough(length: int) -> None:
    size = fft_size(length)
    assert length <= size <= max(1, 1 << (length - 1).bit_length())
    for prime in (2, 3, 5):
        while size % prime == 0:
            size //= prime
    assert size == 1
