"""Fine placement: what it must never do, and moments whose exact start is known.

Tolerances: sums of ten terms in float32 (1e-4 is a hundred times their rounding); starts lie on
float32 grids of seconds; the fine grid is 10 ms.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgsv.config import override, to_dict
from mgsv.errors import ConfigError
from mgsv.grounding import check_weights
from mgsv.grounding.reasons import why
from mgsv.library import TrackFeatures
from mgsv.media.rhythm import ONSET_RATE
from mgsv.memory.model import Memory
from mgsv.memory.use import Use
from mgsv.methods.base import Placement, PlacementWeights, Query
from mgsv.methods.memory import with_memory
from mgsv.methods.placement import (
    END_REACH,
    NEAR_SIGMA,
    REACH,
    Music,
    Placed,
    cuts_on_beat,
    ended_on_beat,
    place,
    start_places,
)
from mgsv.methods.registry import open_method
from mgsv.moment import Moment
from synthetic import edit_of, query, query_for, random_track, song
from usage_support import use

NOTHING = override(PlacementWeights(), [f"{name}=0" for name in to_dict(PlacementWeights())])


def placed(asked: Query, features: TrackFeatures, start: float, **options: object) -> Placed:
    moment = Moment(start, start + asked.seconds)
    return place(asked, features, moment, Placement(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("late", [0.0, 0.13, -0.21])
def test_the_exact_start_is_found_again(late: float) -> None:
    """From up to 2.5 s away, also where all cuts are late or early by the same time."""
    errors = []
    for seed in range(8):
        features = song(seed=seed)
        start = float(features.beats[4 * (5 + 3 * seed)])
        asked = edit_of(features, start, late=late, seed=seed)
        away = np.random.default_rng(seed).uniform(-2.4, 2.4)
        found = placed(asked, features, start - late + away)
        errors.append(abs(found.moment.start - (start - late)))
        cuts = asked.curves.cuts
        assert found.evidence["number_of_cuts"] == len(cuts)
        assert found.evidence["cuts_on_beat"] == cuts_on_beat(
            cuts + found.moment.start, features.beats
        )
        assert found.evidence["shift"] == pytest.approx(found.moment.start - (start - late + away))
    assert np.median(errors) < 0.04
    assert np.mean(np.array(errors) < 0.15) >= 0.75


@settings(max_examples=40, deadline=None)
@given(
    seconds=st.floats(1.0, 30.0),
    track_seconds=st.floats(3.0, 50.0),
    wanted=st.floats(-5.0, 60.0),
    cuts=st.lists(st.floats(0.0, 30.0), max_size=6),
    seed=st.integers(0, 99),
    start_on=st.sampled_from(["any", "beat", "downbeat", "border"]),
)
def test_a_start_lies_on_the_track_and_where_it_may(
    seconds: float, track_seconds: float, wanted: float, cuts: list[float], seed: int, start_on: str
) -> None:
    features = random_track("a", track_seconds, seed)
    asked = query(seconds, sorted(cuts), np.random.default_rng(seed).random(round(seconds * 10)))
    width = min(seconds, track_seconds)
    moment, how = Moment(wanted, wanted + width), Placement(start_on=start_on)  # type: ignore[arg-type]
    found = place(asked, features, moment, how)
    assert found == place(asked, features, moment, how)
    latest = max(0.0, features.track.duration - width)
    assert 0 <= found.moment.start <= latest + 1e-9
    inside = min(max(wanted, 0.0), latest)
    allowed = start_places(features, start_on)  # type: ignore[arg-type]
    allowed = allowed[allowed <= latest]
    if len(allowed):
        assert np.abs(allowed - found.moment.start).min() < 1e-6
        nearest = float(np.abs(allowed - inside).min())
        assert abs(found.moment.start - inside) <= max(REACH, nearest) + 1e-6
    else:
        assert abs(found.moment.start - inside) <= REACH + 1e-6
    assert all(np.isfinite(value) for value in found.evidence.values())


@pytest.mark.parametrize(("start_on", "step"), [("beat", 0.5), ("downbeat", 2.0), ("border", 16.0)])
def test_starts_where_start_on_says(start_on: str, step: float) -> None:
    features = song()
    found = placed(edit_of(features, 21.37), features, 21.37, start_on=start_on)
    steps = (found.moment.start - 0.2) / step
    assert steps == pytest.approx(round(steps), abs=0.01)
    if start_on == "border":
        assert found.moment.start == pytest.approx(16.2, abs=0.01), "the nearest, though 5 s away"
    (by_sync,) = open_method("sync").detect(query(12.0), [features], Placement(start_on=start_on))  # type: ignore[arg-type]
    steps = (by_sync.moment.start - 0.2) / step
    assert by_sync.moment.start == 0 or steps == pytest.approx(round(steps), abs=0.01)
    assert by_sync.evidence[f"start_on_{start_on}"] > 0.9


def test_silence_is_avoided_where_there_is_a_choice() -> None:
    features = song()
    energy = features.energy.copy()
    energy[round(29 * ONSET_RATE) : round(32 * ONSET_RATE)] = 0
    quiet = replace(features, energy=energy)
    found = placed(edit_of(features, 30.2), quiet, 30.2)
    assert not 29.0 <= found.moment.start <= 31.4
    everywhere = replace(features, energy=np.zeros_like(energy))
    assert placed(query(12.0), everywhere, 30.2).moment.start == pytest.approx(30.2, abs=REACH)


def test_a_still_clip_starts_on_the_nearest_good_place() -> None:
    """Nothing is seen of the music, so its form alone counts: here a section border."""
    found = placed(query(12.0), song(), 17.0)
    assert found.moment.start == pytest.approx(16.2, abs=0.01)
    assert "starts on a section border, 0.8 s from" in why({**found.evidence, "model_start": 17.0})


@pytest.mark.parametrize(
    ("tags", "share"), [(("female vocalists",), 1.0), ((), 0.5), (("instrumental",), 0.25)]
)
def test_singing_is_not_interrupted(tags: tuple[str, ...], share: float) -> None:
    """Loud throughout but for a pause of a second: a start waits for the pause to end."""
    features = song()
    energy = np.full(len(features.onset), 0.85, np.float16)
    energy[round(40 * ONSET_RATE) : round(41 * ONSET_RATE)] = 0.55
    sung = replace(
        features,
        energy=energy,
        beats=np.empty(0, np.float32),
        track=replace(features.track, tags=tags),
    )
    weights = replace(NOTHING, voice=1.0, near=0.01)
    assert 40.3 < placed(query(12.0), sung, 39.0, weights=weights).moment.start <= 41.1
    within = placed(query(12.0), sung, 20.0, weights=weights).evidence["voice"]
    assert within == pytest.approx(-share)


def test_without_weights_nothing_moves_and_near_is_its_gaussian() -> None:
    features = song()
    asked = edit_of(features, 21.37)
    assert placed(asked, features, 25.11, weights=NOTHING).moment.start == 25.11
    far = placed(asked, features, 25.11, weights=replace(NOTHING, beat=1.0), start_on="border")
    expected = np.exp(-0.5 * (far.evidence["shift"] / NEAR_SIGMA) ** 2)
    assert far.evidence["near"] == pytest.approx(expected, abs=1e-4)


def test_the_evidence_has_the_terms_of_the_sum() -> None:
    features = song()
    found = placed(edit_of(features, 21.37), features, 22.0)
    names = {name: name for name in to_dict(PlacementWeights())}
    names |= {name: f"start_on_{name}" for name in ("border", "phrase", "downbeat", "beat")}
    total = sum(
        weight * found.evidence[names[name]] for name, weight in to_dict(PlacementWeights()).items()
    )
    assert found.evidence["placement"] == pytest.approx(total, abs=1e-4)


def test_weights_are_checked_by_name_and_sign() -> None:
    assert override(PlacementWeights(), ["cuts=0.5", "border=0.2"], "`weights`").border == 0.2
    for text, words in (("cut=1", "cuts"), ("cuts=x", "a number"), ("cuts=-1", "below 0")):
        with pytest.raises(ConfigError, match=words):
            override(PlacementWeights(), [text], "`weights`")


def test_weights_are_for_learned_methods() -> None:
    check_weights(open_method("sync"), None)
    with pytest.raises(ConfigError, match="`method` sync uses no `weights`"):
        check_weights(open_method("sync"), PlacementWeights())


def test_a_free_end_moves_to_a_beat_nearby() -> None:
    features = song()
    assert ended_on_beat(Moment(10.2, 20.4), features, 1.0).end == pytest.approx(20.2)
    sparse = replace(features, beats=np.array([10.2, 20.0 + END_REACH + 0.01], np.float32))
    assert ended_on_beat(Moment(10.2, 20.0), sparse, 1.0) == Moment(10.2, 20.0)
    assert ended_on_beat(Moment(10.2, 11.2), features, 1.0).duration >= 1.0 - 1e-6


def test_a_remembered_start_stays_and_others_are_placed() -> None:
    """A past use's start is exact; with `start_on` beat, it moves to the nearest."""
    features = song(seconds=120)
    past: list[Use] = [use(features.track.id, 41.03, end=61.03) for _ in range(3)]
    asked = query_for(features, 70.0, 20.0)
    placed_by_memory = with_memory(open_method("sync"), Memory(past), memory="only")
    (found,) = placed_by_memory.detect(asked, [features], Placement())
    assert found.moment.start == pytest.approx(41.03)
    assert found.evidence["placed_by_memory"] == 1 and found.evidence["shift"] == 0
    assert why(found.evidence).endswith("where past uses put it")
    (found,) = placed_by_memory.detect(asked, [features], Placement(start_on="beat"))
    assert found.moment.start == pytest.approx(41.2)
    assert placed_by_memory.detect(asked, [features], Placement(start_on="beat"))[0] == found


def test_curves_alone_are_enough_for_all_but_sections() -> None:
    features = song()
    curves = Music.of(random_track("a", 30, 1)).structure
    assert curves.borders.tolist() == [0.0]
    assert len(Music.of(features).structure.borders) == 5
