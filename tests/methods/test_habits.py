"""What a use shows of habits, and what habits change in a method with a survey.

Tolerances: borders lie on beats half a second apart; fine placement moves a start by at most a
quarter of a second; sums of probabilities are in float64.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mgsv.grounding.reasons import reasons, why
from mgsv.media.rhythm import ONSET_RATE
from mgsv.memory.density import NEAR
from mgsv.memory.fusion import Fusion
from mgsv.memory.habits import Habits, StartKind
from mgsv.memory.model import Memory
from mgsv.memory.use import Use, packed_cuts
from mgsv.methods.base import Method, Placement
from mgsv.methods.habits import AT_PHRASE, landmarks, observe
from mgsv.methods.memory import WITH_HABITS, with_memory
from mgsv.methods.placement import Music
from mgsv.methods.survey import RECORD, Survey, SurveyWeights, survey_track
from mgsv.methods.sync import Sync
from survey_support import WEIGHTS, method_with
from synthetic import PERIOD, edit_of, query, song
from usage_support import use

FEATURES = song(seed=3)
"""Sections from 0.2 s on, every 16 s."""
MUSIC = Music.of(FEATURES)


def of_song(start: float, **changes: object) -> Use:
    length = FEATURES.track.duration
    return use("song3", start, end=start + 12.0, track_seconds=length, **changes)


def habits(kind: StartKind, count: int, **shares: float) -> Habits:
    """Uses that all begin in one way."""
    places = [0.0] * 100
    if "place" in shares:
        places[int(100 * shares["place"])] = float(count)
    beats = {name: shares[name] for name in ("cut_uses", "cut_to_beats") if name in shares}
    return Habits(uses=count, starts={kind: float(count)}, places=tuple(places), **beats)


def test_the_places_that_habits_are_about() -> None:
    """A song whose first section is soft, whose third is loud, and that comes back as the fifth."""
    levels = np.array([0.5, 0.62, 0.9, 0.6, 0.9])
    section = (np.arange(len(FEATURES.energy)) / ONSET_RATE // 16).clip(0, 4).astype(int)
    rows = (np.arange(len(FEATURES.segments)) * 2.5 // 16).clip(0, 4).astype(int)
    sounds = np.random.default_rng(0).normal(size=(5, 12))
    sounds[4] = sounds[2]
    made = replace(
        FEATURES,
        energy=levels[section].astype(np.float16),
        segments=sounds[rows].astype(np.float16),
    )
    music = Music.of(made)
    found = landmarks(music, 0.0, 12.0)
    assert found["start"] == 0
    assert found["intro"] == pytest.approx(16.2, abs=AT_PHRASE)
    assert min(abs(found["chorus"] - at) for at in (32.2, 64.2)) <= AT_PHRASE
    short = landmarks(music, 0.0, 79.0)
    assert short == {"start": 0, "intro": 0, "chorus": 0}, "there is room for nothing else"


def test_a_use_is_of_the_kind_of_place_it_begins_at() -> None:
    known = landmarks(MUSIC, 0.0, 12.0)
    assert known["chorus"] != known["intro"], "so that the test can tell"
    kinds = {
        0.0: "start",
        0.4: "start",
        known["intro"] + 0.5: "intro",
        known["chorus"] - 0.5: "chorus",
        known["chorus"] + 5.0: "elsewhere",
    }
    for start, kind in kinds.items():
        assert observe(of_song(start), MUSIC, 0.0).kinds == (kind,)
    late = observe(of_song(3.2), MUSIC, 3.0)
    assert late.kinds == ("start",), "of music that is silent for three seconds"
    assert observe(of_song(20.0, confidence=0.5), MUSIC, 0.0).weight == 0.5
    assert observe(of_song(20.0), MUSIC, 0.0).place == pytest.approx(0.25, abs=0.01)


def test_cuts_on_beats_are_told_from_cuts_anywhere() -> None:
    """Cuts on beats, half a beat beside them, at random, and too few."""
    start = 20.2
    on = np.arange(0.0, 11.5, 2 * PERIOD)[1:]

    def share(cuts: np.ndarray) -> float | None:
        return observe(of_song(start, cuts=packed_cuts(cuts, 12.0)), MUSIC, 0.0).on_beats

    rng = np.random.default_rng(0)
    assert share(on) > 0.95 and share(on + PERIOD / 2) < 0.01
    assert np.mean([share(rng.uniform(0.5, 11.5, 9)) for _ in range(50)]) < 0.25
    assert share(on[:2]) is None and share(np.zeros(0)) is None


def method(weights: SurveyWeights = WEIGHTS) -> Method:
    """Whose network is never right."""
    return method_with({RECORD: Survey(weights, Fusion(log_odds=-20.0), 0.1).as_record()})


def clip() -> object:
    return replace(query(12.0), frame_feats=np.ones((12, 4), np.float32))


@pytest.mark.parametrize("kind", ["intro", "chorus"])
def test_habits_move_the_moment_and_are_the_reason(kind: StartKind) -> None:
    plain = method()
    asked = clip()
    before = plain.detect(asked, [FEATURES], Placement())[0]
    assert before.moment.start == 0 and "habit_uses" not in before.evidence
    knowing = plain.with_habits(habits(kind, 30))
    found = knowing.detect(asked, [FEATURES], Placement())[0]
    assert found.moment.start == pytest.approx(landmarks(MUSIC, 0.0, 12.0)[kind], abs=0.3)
    parts = found.evidence
    assert parts["habit_moved_from"] == 0 and parts["habit_uses"] == 30
    assert parts[f"habit_{kind}"] == 30 and parts["from_start"] == 0
    words = {"intro": "where the intro is over", "chorus": "with what sounds like the chorus"}[kind]
    assert f"you usually start {words}" in why(parts)
    [sentence] = [line for line in reasons(parts) if "usually" in line]
    assert "30 of 30 uses" in sentence and "0:00" in sentence
    assert knowing.fingerprint != plain.fingerprint


def test_a_usual_share_of_the_track_moves_the_moment_there() -> None:
    found = (
        method()
        .with_habits(habits("elsewhere", 30, place=0.6))
        .detect(clip(), [FEATURES], Placement())[0]
    )
    assert found.moment.start / FEATURES.track.duration == pytest.approx(0.6, abs=0.04)
    assert found.evidence["habit_elsewhere"] == 30


def test_habits_that_agree_with_the_shipped_values_change_no_answer() -> None:
    plain, asked = method(), clip()
    before = plain.detect(asked, [FEATURES], Placement())[0]
    found = plain.with_habits(habits("start", 30)).detect(asked, [FEATURES], Placement())[0]
    assert found.moment == before.moment
    assert not any(name.startswith("habit") for name in found.evidence)


def test_who_mostly_starts_with_the_track_is_not_moved_by_a_few_other_starts() -> None:
    plain, asked = method(), clip()
    mixed = Habits(uses=30.0, starts={"start": 22.0, "chorus": 8.0})
    found = plain.with_habits(mixed).detect(asked, [FEATURES], Placement())[0]
    assert found.moment.start == 0


def test_no_habit_is_the_method_itself() -> None:
    plain = method()
    assert plain.takes_habits and plain.with_habits(Habits()) is plain
    without = method_with({})
    assert not without.takes_habits and without.with_habits(habits("intro", 9)) is without
    sync = Method("sync", Sync(), Sync())
    assert not sync.takes_habits and sync.with_habits(habits("intro", 9)) is sync


def test_cuts_of_somebody_who_cuts_to_the_beat_count_more() -> None:
    asked = edit_of(FEATURES, 30.2, seed=3)
    weights = replace(WEIGHTS, beats=0.1, moving=0.0, trust=0.5)
    strict = habits("start", 30, cut_uses=30.0, cut_to_beats=30.0)
    loose = habits("start", 30, cut_uses=30.0, cut_to_beats=0.0)
    strict_odds, loose_odds = (
        survey_track(asked, FEATURES, weights, habits=known).odds for known in (strict, loose)
    )
    assert np.ptp(strict_odds) > np.ptp(survey_track(asked, FEATURES, weights).odds)
    assert np.ptp(loose_odds) < np.ptp(survey_track(asked, FEATURES, weights).odds)


def test_tags_and_earlier_uses_of_a_track_raise_its_score() -> None:
    songs = [song(seed=n) for n in range(4)]
    tagged = [
        replace(one, track=replace(one.track, tags=("rock",) if n < 2 else ("jazz",)))
        for n, one in enumerate(songs)
    ]
    library = [one.track.tags for one in tagged]
    music = Music.of(tagged[0])
    seen = [observe(use("song0", 0.0), music, 0.0) for _ in range(20)]
    known = Habits.of(seen, library)
    plain = method()
    before, after = (
        one.ranker.rerank(clip(), tagged, Placement()) for one in (plain, plain.with_habits(known))
    )
    gained = [
        b.score - b.evidence["edit"] - (a.score - a.evidence["edit"])
        for a, b in zip(before, after, strict=True)
    ]
    assert gained == pytest.approx([one.evidence["taste"] for one in after], abs=1e-6)
    assert gained[0] > gained[1] > gained[2] == pytest.approx(gained[3], abs=1e-6)
    assert gained[1] > gained[3], "a track of the same tags, never used"


def test_the_memory_leaves_tracks_that_were_never_used_to_the_habits() -> None:
    known = habits("chorus", 30)
    knowing = method().with_habits(known)
    memory = Memory(use(f"t{n}", 50.0) for n in range(30))
    alone = knowing.detect(clip(), [FEATURES], Placement())[0]
    both = with_memory(knowing, memory, fusion=WITH_HABITS)
    found = both.detect(clip(), [FEATURES], Placement())[0]
    assert found.moment == alone.moment and abs(found.moment.start) > NEAR
