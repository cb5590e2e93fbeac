"""The survey of whole tracks: probabilities, and what they change where a checkpoint has one.

Tolerances: NETWORK for scores; starts lie on a grid of 40 ms and on beats; sums of probabilities
are in float64.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mgsv.errors import ConfigError
from mgsv.library.packs import Key, Pack
from mgsv.media.rhythm import ONSET_DELAY, ONSET_RATE
from mgsv.memory.density import NEAR
from mgsv.memory.fusion import Fusion
from mgsv.methods.base import Placement
from mgsv.methods.calibration import Calibration
from mgsv.methods.editing import Edit
from mgsv.methods.glance import first_look, second_look
from mgsv.methods.kept import sketched
from mgsv.methods.sketch import FIELDS
from mgsv.methods.survey import (
    BEYOND,
    RECORD,
    Survey,
    SurveyWeights,
    log_ratio,
    survey_track,
)
from mgsv.methods.surveyed import OVERRULES
from mgsv.methods.synchrony import pattern_of
from survey_support import WEIGHTS, method_with
from synthetic import edit_of, query, random_track, song


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
    assert np.isfinite(found.evidence)
    assert density.masses.sum() == pytest.approx(1) and (density.masses >= 0).all()
    assert density.clip_seconds <= seconds
    assert (density.places >= 0).all() and (density.places <= density.latest + 1e-6).all()


def test_an_edit_finds_its_place_on_the_whole_track() -> None:
    """Without any network; and a track that the clip was not made for has less evidence."""
    places, by_chance = [], []
    for seed in range(8):
        features = song(seed=seed)
        start = float(features.beats[4 * (5 + 3 * seed)])
        surveyed = survey_track(edit_of(features, start, seed=seed), features, WEIGHTS)
        places.append(surveyed.density.candidates(1)[0].moment.start - start)
        other = survey_track(edit_of(song(seed=seed + 50), start, seed=seed), features, WEIGHTS)
        by_chance.append(surveyed.evidence - other.evidence)
    assert np.mean(np.abs(places) < 0.3) >= 0.75
    assert np.mean(np.array(by_chance) > 0) >= 0.75


def test_edits_that_follow_nothing_leave_only_the_prior() -> None:
    """Whatever the clip shows, it then starts where the track does or where starts usually are."""
    features = song()
    nothing = replace(WEIGHTS, beats=0.0, accents=0.0, moving=0.0)
    cut, still = edit_of(features, 30.2), query(12.0)
    found = [survey_track(clip, features, nothing) for clip in (cut, still)]
    assert found[0].density.masses == pytest.approx(found[1].density.masses)
    assert [one.evidence for one in found] == pytest.approx([0, 0], abs=1e-6)
    sure = survey_track(cut, features, WEIGHTS).density
    assert sure.near(30.2) > 10 * found[1].density.near(30.2)


def test_two_cuts_or_a_still_picture_say_nothing() -> None:
    features = song()
    for cuts in ([], [3.0], [3.0, 5.0]):
        assert survey_track(query(12.0, np.array(cuts)), features, WEIGHTS).evidence == (
            pytest.approx(0, abs=1e-6)
        )
    assert survey_track(query(12.0, np.array([3.0, 5.0, 7.0])), features, WEIGHTS).evidence != 0


def test_long_tracks_have_no_more_evidence_for_clips_made_for_none() -> None:
    """As the best of all starts has: there are four times as many of them."""
    weights = replace(WEIGHTS, motion=0.0, moving=0.0)
    rng = np.random.default_rng(0)
    clips = [query(12.0, np.sort(rng.uniform(0, 12, 8))) for _ in range(20)]
    short, long = (random_track("t", seconds, 1) for seconds in (50.0, 200.0))
    gained = [
        survey_track(clip, long, weights).evidence - survey_track(clip, short, weights).evidence
        for clip in clips
    ]
    assert abs(np.mean(gained)) < 0.5


def test_music_starts_where_it_can_be_heard() -> None:
    features = song()
    silent = features.energy.copy()
    silent[: round(3 * ONSET_RATE)] = silent.min() - 2
    late = replace(features, energy=silent)
    assert survey_track(query(12.0), features, WEIGHTS).origin == 0
    assert survey_track(query(12.0), late, WEIGHTS).origin == pytest.approx(3.0, abs=0.6)


def test_short_tracks_are_used_from_their_start_more_often() -> None:
    """As in MGSV-EC, whose shares stand in the head of `methods.survey`."""
    clip = query(15.0)
    near = [
        survey_track(clip, random_track("t", seconds, 1), SurveyWeights()).density.near(0.0)
        for seconds in (40.0, 120.0, 240.0)
    ]
    assert near == sorted(near, reverse=True)
    assert near[0] > 0.7


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
    seeking = SurveyWeights(cuts=2.0, accents=0.5)
    found = survey_track(query(12.0, cuts), features, seeking).density.candidates(1)[0]
    assert found.moment.start == pytest.approx(start, abs=0.05)


def test_the_start_stays_unless_another_place_is_more_likely_than_not() -> None:
    features = song(seed=2)
    clip = replace(edit_of(features, 22.2, seed=2), frame_feats=np.ones((12, 4), np.float32))
    never = Fusion(log_odds=-20.0)
    for weights, moved in ((WEIGHTS, True), (replace(WEIGHTS, trust=0.01), False)):
        method = method_with({RECORD: Survey(weights, never, 0.0).as_record()})
        found = method.detect(clip, [features], Placement())[0]
        other = found.evidence["runner_up_start"]
        if moved:
            assert found.moment.start == pytest.approx(22.2, abs=0.1)
            assert found.evidence["survey_probability"] >= OVERRULES and other == 0
        else:
            assert found.moment.start == 0 and found.evidence["from_start"] == 1
            assert "survey_probability" not in found.evidence and other > NEAR


def test_what_is_said_of_a_place_is_calibrated() -> None:
    features = song(seed=2)
    clip = replace(edit_of(features, 22.2, seed=2), frame_feats=np.ones((12, 4), np.float32))
    found = []
    for calibration in (Calibration(), Calibration(plain=-1.0)):
        survey = Survey(WEIGHTS, Fusion(log_odds=-20.0), 0.0, calibration)
        method = method_with({RECORD: survey.as_record()})
        found.append(method.detect(clip, [features], Placement())[0])
    assert found[0].moment == found[1].moment
    plain, less = (one.evidence["survey_probability"] for one in found)
    assert np.log(less / (1 - less)) == pytest.approx(np.log(plain / (1 - plain)) - 1)


def test_score_and_moment_with_and_without_a_survey() -> None:
    features = song(seed=2)
    asked = replace(edit_of(features, 22.2, seed=2), frame_feats=np.ones((12, 4), np.float32))
    sure = Fusion(log_odds=-20.0)  # the network is never right
    plain = method_with({})
    both = method_with({RECORD: Survey(WEIGHTS, sure, 0.1).as_record()})
    best = survey_track(asked, features, WEIGHTS).evidence
    (alone,) = plain.ranker.rerank(asked, [features], Placement())
    (surveyed,) = both.ranker.rerank(asked, [features], Placement())
    assert surveyed.score == pytest.approx(alone.score + 0.1 * best, abs=1e-5)
    found = both.detect(asked, [features], Placement())[0]
    parts = found.evidence
    assert found.score == pytest.approx(
        parts["two_tower"] + parts["interaction"] + parts["edit"], abs=1e-5
    )
    assert found.moment.start == pytest.approx(22.2, abs=0.1)
    assert parts["runner_up_start"] == 0
    assert "edit" not in plain.detect(asked, [features], Placement())[0].evidence
    assert plain.fingerprint != both.fingerprint
    assert plain.score_meaning != both.score_meaning


def test_a_record_reads_what_it_wrote() -> None:
    own = Survey(WEIGHTS, Fusion(log_odds=1.5, rows=12), 0.03, Calibration(-0.5, 0.5, 0.25, -0.1))
    assert Survey.of({RECORD: own.as_record()}) == own
    earlier = {name: value for name, value in own.as_record().items() if name != "calibration"}
    assert Survey.of({RECORD: earlier}) == replace(own, calibration=Calibration())
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


def test_a_track_with_few_beats_has_no_more_evidence_than_an_edit_on_its_beats() -> None:
    """Three cuts that meet the only three beats: each is many deviations off chance, but of an edit
    that keeps to the music, d deviations off, r is exp(d^2 / 2), and up to BEYOND more count.
    """
    features, weights = song(), SurveyWeights(grid=2.4, beats=1.0)
    sparse = replace(features, beats=features.beats[1:4], downbeats=features.beats[1:2])
    clip = query(12.0, sparse.beats.astype(np.float64))  # from the start, which is likely before
    apart = 2.4 * np.sqrt(3)
    most = apart**2 / 2 + apart * BEYOND
    found = survey_track(clip, sparse, weights)
    assert found.odds.max() > most + 5  # one place of the track is told from another all the same
    assert most - 2 < found.evidence <= most
    edit, pack = Edit(pattern_of(clip)), Pack(None, "", FIELDS)
    pack.add([Key("sparse")], [sketched(sparse)])
    for look in (first_look(edit, weights, pack), second_look(edit, weights, pack, np.arange(1))):
        assert most - 2 < look[0] <= most + 1e-6


def test_the_ratio_is_that_of_two_normal_distributions() -> None:
    apart, terms = 3.0, np.array([-2.0, 0.0, 2.5, 3.0 + BEYOND])
    wanted = stats.norm.logpdf(terms, apart) - stats.norm.logpdf(terms)
    np.testing.assert_allclose(log_ratio(terms, apart), wanted)
    np.testing.assert_allclose(log_ratio(np.array([50.0]), apart, BEYOND), wanted[-1:])
