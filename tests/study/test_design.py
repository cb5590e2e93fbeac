"""Who is asked what: balanced over listeners, and the same whenever it is asked for."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from study_listeners import paper_study

from mgsv.study.design import Question, Side, all_pairs, trials_of

STUDY = paper_study(clips=5, systems=3, trials=6, checks=2)
"""15 pairs, of which each listener gets six in each pass."""


def asked(listeners: int, question: Question):
    return [
        trial
        for listener in range(listeners)
        for trial in trials_of(STUDY, listener)
        if trial.question is question and not trial.is_check
    ]


@pytest.mark.parametrize("question", Question)
def test_pairs_sides_and_order_are_balanced(question: Question) -> None:
    """Ten listeners have 60 trials: each of 15 pairs four times, in each of its four ways."""
    trials = asked(10, question)
    pairs = Counter((one.clip, frozenset((one.a, one.b))) for one in trials)
    assert len(pairs) == 15 and set(pairs.values()) == {4}
    ways = Counter((one.clip, one.a, one.b, one.first) for one in trials)
    assert len(ways) == 60 and set(ways.values()) == {1}


def test_no_listener_compares_a_pair_twice_in_a_pass() -> None:
    for listener in range(30):
        trials = trials_of(STUDY, listener)
        assert [one.number for one in trials] == list(range(16))
        for question in Question:
            own = [t for t in trials if t.question is question]
            pairs = [frozenset((t.a, t.b)) for t in own if not t.is_check]
            assert len(pairs) == len(set(pairs)) == 6
            assert sum(t.is_check for t in own) == 2
            assert not own[0].is_check


def test_the_passes_stay_apart_and_change_places() -> None:
    for listener in range(4):
        questions = [one.question for one in trials_of(STUDY, listener)]
        assert questions == sorted(questions, reverse=listener % 2 == 1)


def test_the_same_each_time_and_another_for_others() -> None:
    assert trials_of(STUDY, 3) == trials_of(STUDY, 3)
    assert trials_of(STUDY, 3) != trials_of(STUDY, 13)
    assert trials_of(STUDY, 3) != trials_of(replace(STUDY, seed=1), 3)


def test_a_small_study_asks_each_pair_once() -> None:
    small = paper_study(clips=1, systems=3, trials=20, checks=0)
    for question in Question:
        own = [one for one in trials_of(small, 0) if one.question is question]
        assert {frozenset((t.a, t.b)) for t in own} == {
            frozenset((p.one, p.other)) for p in all_pairs(small)
        }
        assert len(own) == 3


def test_sides() -> None:
    trial = trials_of(STUDY, 0)[0]
    assert (trial.variant(Side.A), trial.variant(Side.A.other)) == (trial.a, trial.b)
    assert Path(trial.clip).name == trial.clip
