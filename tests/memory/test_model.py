"""The usage memory: densities that are densities, the rule it beats, and who is believed.

Tolerances: sums of probabilities are in float64; recorded figures have four digits; what is fitted
to 600 answers is known to three to five of its standard errors (0.09, 0.1 and 0.04).
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_support import real_annotations
from mgsv.data.annotations import read_annotations
from mgsv.errors import ConfigError
from mgsv.evaluation.measures import moment_iou
from mgsv.memory.fusion import Fusion, fit
from mgsv.memory.model import ClipTraits, Memory, UseWeights
from mgsv.memory.use import Use, pooled, uses_of
from mgsv.methods import blind
from mgsv.moment import Moment
from usage_support import hot_rows, use

CLIP = ClipTraits(20.0)
seconds = st.floats(0, 400, allow_nan=False)


@st.composite
def any_use(draw: st.DrawFn) -> Use:
    start, length = draw(seconds), draw(st.floats(0.05, 300))
    return use(
        draw(st.sampled_from("abc")),
        start,
        end=start + length,
        track_seconds=max(start + length, draw(seconds)),
        video_end=length,
        category=draw(st.sampled_from(["", "Food", "Cars"])),
        confidence=draw(st.floats(0, 1)),
    )


@pytest.mark.slow
@given(
    st.lists(any_use(), max_size=12),
    st.sampled_from("abcd"),
    st.floats(0.5, 5000),
    st.floats(0.1, 6000),
)
@settings(max_examples=60, deadline=None)
def test_a_density_is_one(uses: list[Use], track: str, length: float, clip: float) -> None:
    """Masses sum to 1; candidates are distinct, lie on the track, and are rightly ordered."""
    density = Memory(uses).density(track, length, ClipTraits(clip, "Food"))
    assert density.masses.min() >= 0 and density.masses.sum() == pytest.approx(1)
    assert density.places.min() >= 0 and density.places.max() <= density.latest + 1e-6
    found = density.candidates(4)
    assert found
    for n, candidate in enumerate(found):
        assert candidate.moment.start >= 0
        assert candidate.moment.end <= length + 1e-6
        assert candidate.moment.duration == pytest.approx(min(clip, length))
        assert 0 <= candidate.probability <= 1 + 1e-9
        assert 0 <= candidate.expected_iou <= 1 + 1e-9
        assert all(abs(candidate.moment.start - b.moment.start) > 2.5 for b in found[:n])
    assert [c.expected_iou for c in found] == sorted((c.expected_iou for c in found), reverse=True)


@given(st.lists(any_use(), min_size=1, max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_the_order_of_uses_does_not_matter(uses: list[Use], random: object) -> None:
    shuffled = list(uses)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = (Memory(u).density("a", 200.0, CLIP) for u in (uses, shuffled))
    starts = np.arange(0, 180, 7.0)
    np.testing.assert_allclose(first.expected_iou(starts), second.expected_iou(starts), atol=1e-9)


def test_expected_iou_is_the_mean_over_true_starts() -> None:
    """Against the plain sum over atoms with `Moment.iou`."""
    density = Memory([use(start=30.0), use(start=41.0)]).density("a", 120.0, CLIP)
    for start in (0.0, 29.0, 35.5, 100.0):
        moment = Moment(start, start + 20)
        plain = sum(
            mass * moment.iou(Moment(place, place + 20))
            for place, mass in zip(density.places, density.masses, strict=True)
        )
        assert density.expected_iou(np.array([start]))[0] == pytest.approx(plain)


def test_one_use_is_repeated_and_a_second_one_that_agrees_is_surer() -> None:
    once, twice = (Memory([use()] * n).density("a", 120.0, CLIP) for n in (1, 2))
    assert [d.candidates(1)[0].moment.start for d in (once, twice)] == [30.0, 30.0]
    assert once.candidates(1)[0].probability < twice.candidates(1)[0].probability
    assert (once.uses, twice.uses) == (1, 2) and once.repeat < twice.repeat


def test_a_start_without_room_for_the_clip_is_not_offered() -> None:
    memory = Memory([use(start=95.0, end=115.0)])
    assert memory.density("a", 120.0, CLIP).candidates(1)[0].moment.start == 95.0
    assert memory.density("a", 120.0, ClipTraits(60.0)).candidates(1)[0].moment.start == 0.0


def test_more_and_likelier_uses_outvote() -> None:
    uses = [use(start=70.0), use(start=30.0), use(start=30.0)]
    assert Memory(uses).density("a", 120.0, CLIP).candidates(1)[0].moment.start == 30.0
    doubtful = [use(start=70.0), *(use(start=30.0, confidence=0.2) for _ in range(2))]
    assert Memory(doubtful).density("a", 120.0, CLIP).candidates(1)[0].moment.start == 70.0


def test_like_clips_weigh_more_by_category_length_and_features() -> None:
    def first(uses: list[Use], clip: ClipTraits) -> float:
        weights = UseWeights(features=3.0, length=1.0)
        return Memory(uses, weights).density("a", 120.0, clip).candidates(1)[0].moment.start

    kinds = [use(start=30.0, category="Food"), use(start=70.0, category="Cars")]
    assert [first(kinds, ClipTraits(20.0, c)) for c in ("Food", "Cars")] == [30.0, 70.0]
    lengths = [use(start=30.0), use(start=70.0, video_end=8.0)]
    assert [first(lengths, ClipTraits(s)) for s in (20.0, 8.0)] == [30.0, 70.0]
    views = np.eye(2, 6, dtype=np.float32)
    seen = [
        use(start=start, feats=pooled(view[None]), encoder="e:1")
        for start, view in zip((30.0, 70.0), views, strict=True)
    ]
    assert [first(seen, ClipTraits(20.0, "", view, "e:1")) for view in views] == [30.0, 70.0]
    other = {first(seen, ClipTraits(20.0, "", view, "e:2")) for view in views}
    assert len(other) == 1, "another encoder's features say nothing"


@pytest.mark.slow
def test_weights_are_learned_where_tracks_repeat() -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 95, 150)

    def uses(same: float) -> list[Use]:
        return [
            use(f"t{track}", float(place if rng.random() < same else rng.uniform(0, 95)))
            for track, place in enumerate(places)
            for _ in range(5)
        ]

    loyal, fickle = Memory(uses(0.95)), Memory(uses(0.1))
    repeat = [m.density("t3", 120.0, CLIP).repeat for m in (loyal, fickle)]
    assert repeat[0] > 0.8 and repeat[1] < 0.5
    assert Memory([use()]).weights == UseWeights(), "one use teaches nothing"


def test_an_unused_track_starts_where_others_of_its_length_do() -> None:
    short = [use(f"s{n}", 0.0, track_seconds=40.0) for n in range(80)]
    long = [use(f"l{n}", 60.0, track_seconds=200.0) for n in range(80)]
    memory = Memory(short + long)
    assert memory.count("new") == 0
    assert memory.density("new", 42.0, CLIP).candidates(1)[0].moment.start == 0.0
    assert memory.density("new", 195.0, CLIP).candidates(1)[0].moment.start == pytest.approx(60)
    nothing = Memory([])
    assert nothing.density("new", 100.0, CLIP).candidates(1)[0].moment.start == 0.0


@pytest.mark.slow
def test_many_uses_stay_small_to_ask() -> None:
    """1e5 uses, half of one track: an answer looks at a bounded number of them."""
    rng = np.random.default_rng(1)
    starts = np.where(np.arange(100_000) % 3 == 0, 30.0, rng.uniform(0, 100, 100_000))
    memory = Memory(
        use("hit" if n % 2 else f"t{n % 9999}", float(start)) for n, start in enumerate(starts)
    )
    density = memory.density("hit", 120.0, CLIP)
    assert len(memory) == 100_000 and memory.count("hit") == 50_000
    assert len(density.places) < 3000
    assert density.candidates(1)[0].moment.start == pytest.approx(30.0, abs=0.5)


# On the real annotations


@pytest.mark.slow
@pytest.mark.parametrize(
    ("past", "asked", "plain"), [("val", "test", 0.8466), ("test", "val", 0.8487)]
)
def test_it_beats_the_plain_rule_in_both_directions(past: str, asked: str, plain: float) -> None:
    folder = real_annotations()
    train, rows = (read_annotations(folder / f"{split}_data.csv") for split in (past, asked))
    rule = moment_iou(blind.last_use(train, rows), rows.moments, rows.track_seconds)
    assert rule.mean() == pytest.approx(plain, abs=1e-4)
    memory = Memory(uses_of(train))
    found = [
        memory.density(
            row.music_id,
            row.music_total_duration,
            ClipTraits(row.video_seconds, row.video_category),
        ).candidates(1)[0]
        for row in rows
    ]
    moments = np.array([(f.moment.start, f.moment.end) for f in found])
    iou = moment_iou(moments, rows.moments, rows.track_seconds)
    seen = np.isin(rows.music_ids, train.music_ids)
    assert (~seen).sum() == 107
    assert iou.mean() >= plain
    for part in (seen, ~seen):
        assert iou[part].mean() >= rule[part].mean()
    near = np.abs(moments[:, 0] - rows.moments[:, 0]) <= 2.5
    stated = np.array([f.probability for f in found])
    assert stated[seen].mean() == pytest.approx(near[seen].mean(), abs=0.02)


# Fusion


def test_a_confident_model_overrules_a_thin_memory_and_a_thick_memory_a_doubtful_model() -> None:
    fusion = Fusion(log_odds=0.5, slope=3.0)
    thin, thick = (Memory([use()] * n).density("a", 120.0, CLIP) for n in (1, 8))
    assert fusion.fuse(thin, 70.0, 1.5).keeps_answer
    assert fusion.fuse(thin, 70.0, 1.5).memory_log_odds < 0
    doubted = fusion.fuse(thick, 70.0, -1.5)
    assert doubted.best.moment.start == 30.0 and doubted.memory_log_odds > 0
    assert fusion.fuse(thin, 70.0, math.nan).model_log_odds == 0.5


def test_where_both_agree_the_place_is_surer_than_by_either() -> None:
    density = Memory([use(), use(start=70.0)]).density("a", 120.0, CLIP)
    fused = Fusion().fuse(density, 70.4, 0.0)
    assert fused.best.moment.start == pytest.approx(70.0, abs=0.5)
    assert fused.best.probability > density.near(70.0)


@pytest.mark.slow
def test_fitting_finds_how_a_model_errs() -> None:
    """A planted model: 60 % right to 0.8 s on average, more so where it is confident."""
    rng = np.random.default_rng(3)
    count = 600
    memory = Memory([])
    densities = [memory.density("x", length, CLIP) for length in rng.uniform(80, 200, count)]
    truths = np.array([rng.uniform(0, density.latest) for density in densities])
    confidence = rng.normal(5.0, 2.0, count)
    log_odds = 0.4 + 1.2 * (confidence - 5.0) / 2.0
    right = rng.random(count) < 1 / (1 + np.exp(-log_odds))
    anywhere = np.array([rng.uniform(0, density.latest) for density in densities])
    answers = np.where(right, truths + rng.laplace(0, 0.8, count), anywhere)
    fusion = fit(densities, answers, confidence, truths)
    assert fusion.log_odds == pytest.approx(0.4, abs=0.3)
    assert fusion.slope == pytest.approx(1.2, abs=0.35)
    assert fusion.scale == pytest.approx(0.8, abs=0.2)
    assert fusion.at_start < 0.1 and fusion.rows == count
    with pytest.raises(ConfigError, match="at least 10 rows"):
        fit(densities[:5], answers[:5], confidence[:5], truths[:5])


def test_a_habit_that_misleads_on_unused_tracks_is_not_followed_there() -> None:
    """Known uses all start at 0; the queries' tracks are new and start anywhere."""
    rng = np.random.default_rng(5)
    memory = Memory([use(track=f"t{n}", start=0.0) for n in range(200)])
    unused = [memory.density("new", 120.0, CLIP)] * 60
    truths = rng.uniform(5.0, unused[0].latest, 60)
    answers = np.where(rng.random(60) < 0.8, truths + rng.laplace(0, 0.5, 60), truths[::-1])
    fusion = fit(unused, answers, np.full(60, math.nan), truths)
    assert fusion.unused_weight < 1 and fusion.memory_weight == 1  # nothing speaks against that
    placed = [
        fusion.fuse(unused[0], float(answer), math.nan).best.moment.start for answer in answers
    ]
    assert np.abs(placed - truths).mean() <= np.abs(answers - truths).mean() + 0.25


def test_a_fusion_is_kept_in_a_file(tmp_path: Path) -> None:
    fusion = Fusion(log_odds=1.25, slope=-0.5, scale=0.75, rows=40)
    fusion.save(tmp_path / "f.json")
    assert Fusion.load(tmp_path / "f.json") == fusion
    text = (tmp_path / "f.json").read_text()
    for bad in ("[]", "{}", text.replace("0.75", "-1"), text.replace("1.25", "NaN"), text[:40]):
        (tmp_path / "bad.json").write_text(bad)
        with pytest.raises(ConfigError, match=r"bad\.json: not a fitted fusion"):
            Fusion.load(tmp_path / "bad.json")
    with pytest.raises(ConfigError, match=r"none\.json"):
        Fusion.load(tmp_path / "none.json")


@pytest.mark.slow
def test_planted_uses_are_remembered_better_than_by_the_plain_rule() -> None:
    train, test = hot_rows()["train"], hot_rows()["test"]
    memory = Memory(uses_of(train))
    starts = [
        memory.density(r.music_id, r.music_total_duration, ClipTraits(r.video_seconds))
        .candidates(1)[0]
        .moment.start
        for r in test
    ]
    moments = np.stack([starts, starts + test.video_seconds], axis=1)
    scores = [
        moment_iou(answer, test.moments, test.track_seconds).mean()
        for answer in (moments, blind.last_use(train, test), blind.start_0(test))
    ]
    assert scores[0] > scores[1] > scores[2]
