"""The survey of whole tracks: probabilities, and what they change where a checkpoint has one.

Tolerances: NETWORK for scores; starts lie on a grid of 40 ms and on beats; sums of probabilities
are in float64.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mgsv.errors import ConfigError
from mgsv.media.rhythm import ONSET_DELAY, ONSET_RATE
from mgsv.memory.fusion import Fusion
from mgsv.methods.base import Method, Placement
from mgsv.methods.learned import learned
from mgsv.methods.survey import RECORD, Survey, SurveyWeights, survey_track
from mgsv.models.checkpoint import Checkpoint, Encoder, Encoders
from mgsv.models.registry import build
from synthetic import edit_of, query, random_track, song

WEIGHTS = SurveyWeights(grid=7.0, motion=25.0, phrase=1.0, downbeat=2.0, beat=1.0, start=3.0)
"""The beats of `song` are all alike, so that only the motion tells one bar from another."""

SIZES = {"frame_dim": 4, "segment_dim": 12, "hidden_dim": 8, "heads": 2, "feed_forward": 8}
SIZES |= {"embedding_feed_forward": 8, "encoder_layers": 1, "decoder_layers": 1}


def method_with(record: dict[str, Any]) -> Method:
    encoders = Encoders(Encoder("eyes", 4), Encoder("ears", 12))
    torch.manual_seed(0)
    model = build("made", SIZES)
    return learned(Checkpoint("made", model.eval(), encoders, record, ""))


@settings(max_examples=40, deadline=None)
@given(
    seconds=st.floats(1.0, 30.0),
    track_seconds=st.floats(3.0, 50.0),
    cuts=st.lists(st.floats(0.0, 30.0), max_size=6),
    width=st.none() | st.floats(1.0, 40.0),
)
def test_probabilities_of_starts_that_leave_room(
    seconds: float, track_seconds: float, cuts: list[float], width: float | None
) -> None:
    asked = query(seconds, np.array(cuts))
    found = survey_track(asked, random_track("t", track_seconds, 1), WEIGHTS, width)
    density = found.density
    assert np.isfinite(found.best)
    assert density.masses.sum() == pytest.approx(1) and (density.masses >= 0).all()
    assert density.clip_seconds <= seconds
    assert (density.places >= 0).all() and (density.places <= density.latest + 1e-6).all()


def test_an_edit_finds_its_place_on_the_whole_track() -> None:
    """Without any network; and a clip made for another track finds no place as good."""
    places, by_chance = [], []
    for seed in range(8):
        features = song(seed=seed)
        start = float(features.beats[4 * (5 + 3 * seed)])
        surveyed = survey_track(edit_of(features, start, seed=seed), features, WEIGHTS)
        places.append(surveyed.density.candidates(1)[0].moment.start - start)
        other = survey_track(edit_of(song(seed=seed + 50), start, seed=seed), features, WEIGHTS)
        by_chance.append(surveyed.best - other.best)
    assert np.mean(np.abs(places) < 0.3) >= 0.75
    assert min(by_chance) > 0


def test_doubt_leaves_only_habit() -> None:
    """Whatever the clip shows, its start is then where starts usually are."""
    features = song()
    doubtful = replace(WEIGHTS, beats_doubt=1e6, accents_doubt=1e6)
    cut, still = edit_of(features, 30.2), query(12.0)
    masses = [survey_track(asked, features, doubtful).density.masses for asked in (cut, still)]
    assert masses[0] == pytest.approx(masses[1])
    sure = survey_track(cut, features, WEIGHTS).density
    assert sure.near(30.2) > 10 * survey_track(still, features, WEIGHTS).density.near(30.2)


def test_cuts_on_accents_are_enough() -> None:
    """Of an edit that keeps to no beat: each of its cuts is an accent between two of them."""
    rng = np.random.default_rng(5)
    plain = song(seed=5)
    onset = plain.onset.astype(np.float64)
    at = np.sort(rng.choice(np.arange(500, 4500, 25), 60, replace=False))
    onset[at] = onset.max() * 1.5
    features = replace(plain, onset=onset.astype(np.float16))
    inside = at[(at > 1300) & (at < 1900)]
    start = 1250 / ONSET_RATE
    cuts = inside / ONSET_RATE - ONSET_DELAY - start
    seeking = SurveyWeights(cuts=5.0, beats_doubt=20.0)
    found = survey_track(query(12.0, cuts), features, seeking).density.candidates(1)[0]
    assert found.moment.start == pytest.approx(start, abs=0.05)


def test_score_and_moment_with_and_without_a_survey() -> None:
    features = song(seed=3)
    asked = replace(edit_of(features, 30.2, seed=3), frame_feats=np.ones((12, 4), np.float32))
    sure = Fusion(log_odds=-20.0)  # the network is never right
    plain = method_with({})
    both = method_with({RECORD: Survey(WEIGHTS, sure, 0.1).as_record()})
    best = survey_track(asked, features, WEIGHTS).best
    (alone,) = plain.ranker.rerank(asked, [features], Placement())
    (surveyed,) = both.ranker.rerank(asked, [features], Placement())
    assert surveyed.score == pytest.approx(alone.score + 0.1 * best, abs=1e-5)
    found = both.detect(asked, [features], Placement())[0]
    parts = found.evidence
    assert found.score == pytest.approx(
        parts["two_tower"] + parts["interaction"] + parts["edit"], abs=1e-5
    )
    assert found.moment.start == pytest.approx(30.2, abs=0.1)
    assert parts["survey_start"] == pytest.approx(30.2, abs=0.3)
    assert "edit" not in plain.detect(asked, [features], Placement())[0].evidence
    assert plain.fingerprint != both.fingerprint
    assert plain.score_meaning != both.score_meaning


def test_a_record_reads_what_it_wrote() -> None:
    own = Survey(WEIGHTS, Fusion(log_odds=1.5, rows=12), 0.03)
    assert Survey.of({RECORD: own.as_record()}) == own
    assert Survey.of({"epoch": 3}) is None


NO_SCALE = Survey(WEIGHTS, Fusion(scale=0.0), 0.1).as_record()


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        {"weights": {"grid": 1.0}},
        {"weights": {"grid": "x"}, "fusion": {}, "ranking": 1},
        3,
        NO_SCALE,
    ],
)
def test_a_damaged_survey_is_refused(damaged: object) -> None:
    with pytest.raises(ConfigError, match="survey"):
        method_with({RECORD: damaged})
