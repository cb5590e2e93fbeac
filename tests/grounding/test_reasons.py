"""Evidence in words."""

from __future__ import annotations

import pytest

from mgsv.grounding.reasons import reasons
from mgsv.methods.base import Placement
from mgsv.methods.registry import open_method
from synthetic import query_for, random_track


def test_every_key_of_sync_has_a_sentence_of_its_own() -> None:
    features = random_track("t", 30, seed=1)
    found = open_method("sync").detect(query_for(features, 7.0, 8.0), [features], Placement())[0]
    said = reasons(found.evidence)
    assert said[0].startswith("The cuts fall on strong onsets of the music (")
    assert said[1].startswith("The picture moves more where the music is louder (")
    assert not [sentence for sentence in said if ": " in sentence], "told as keys"


def test_an_unknown_key_is_printed_as_it_is() -> None:
    assert reasons({"moon_phase": 0.25}) == ["Moon phase: 0.25."]


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        ({"cuts": -0.4, "number_of_cuts": 5}, "The cuts do not follow the music's onsets."),
        ({"cuts": 0.9, "number_of_cuts": 1}, "The cut falls on a strong onset of the music"),
        ({"start_on_beat": 0.99}, "It starts on a beat."),
        ({"start_on_beat": 0.01}, "It starts between two beats."),
        ({"start_on_beat": 0.9, "start_on_border": 0.8}, "It starts on a section border."),
        ({"voice": -0.8}, "It starts inside of what is being sung"),
        ({"shift": -0.4}, "0.40 s earlier"),
        ({"survey_probability": 0.72}, "probability of 72%"),
        ({"edit": 0.31}, "add 0.31"),
        ({"from_start": 1.0}, "plays from its start"),
        ({"runner_up_start": 62.0, "runner_up_fit": 3.0}, "01:02.0, where cuts fit"),
        ({"runner_up_start": 62.0, "runner_up_fit": 0.0}, "01:02.0, the model's choice"),
        ({"runner_up_start": 0.0}, "00:00.0, from its start"),
        ({"past_uses": 1, "memory_start": 65.0}, "used once before, best from 01:05.0"),
        ({"past_uses": 3}, "used 3 times before"),
    ],
)
def test_words(evidence: dict[str, float], words: str) -> None:
    (sentence,) = reasons(evidence)
    assert words in sentence


@pytest.mark.parametrize(
    "evidence",
    [
        *({"from_start": 0.0}, {"shift": 0.01}, {"past_uses": 0}, {"model_start": 3.0}),
        {"cuts": 0.0},
        {"from_start": 1.0, "placed_by_memory": 1.0},  # it plays from elsewhere
        {"survey_probability": 0.7, "placed_by_memory": 1.0},
    ],
)
def test_what_is_no_news_is_not_reported(evidence: dict[str, float]) -> None:
    assert reasons(evidence) == []


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (0.47, "Cuts and motion add 0.47 to the score."),
        (-0.2, "Cuts and motion take 0.20 from the score."),
        (-0.004, "Cuts and motion say nothing for this track or against it."),
    ],
)
def test_what_cuts_and_motion_add_is_said_with_its_sign(value: float, sentence: str) -> None:
    assert sentence in reasons({"edit": value})
