"""Plans by both editors' rules: sound in every part, and cut to the music where they say so.

Tolerances: float64 throughout, so 1e-9 is a million roundings; cuts are whole frames, times kept as
float32 below 64 s are 4e-6 apart.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from composed import made_up_studio
from mgsv.errors import DataError
from mgsv.synthesis.composed.editors import COMPOSERS, FROM_START, LOOSE_UNSYNCED, SOFT
from mgsv.synthesis.composed.features import (
    blended,
    video_curves,
    video_features,
    with_codec_noise,
)
from mgsv.synthesis.composed.plan import (
    FRAME_RATE,
    LIGHTS,
    VIEWS,
    Plan,
    Shot,
    plan_line,
    read_plans,
)
from mgsv.synthesis.composed.studio import SHORTEST_SHOT, plan_video

STUDIO = made_up_studio()
TRACK = STUDIO.tracks[0]


def plans(composer: str, count: int, **options: float) -> list[Plan]:
    return [
        plan_video(
            composer,
            STUDIO,
            TRACK,
            np.random.default_rng((n, 1)),
            video_id=str(n),
            split="train",
            **options,
        )
        for n in range(count)
    ]


def on_beats(made: list[Plan], reach: float = 0.05) -> float:
    """Share of the cuts of synchronised videos that lie so near a beat."""
    beats = TRACK.rhythm.beats
    cuts = [cut + plan.music_start for plan in made if plan.synced for cut in plan.cuts]
    return float(np.mean([np.abs(beats - cut).min() < reach for cut in cuts]))


@pytest.mark.parametrize("composer", list(COMPOSERS))
def test_shots_fill_the_video_on_its_frames(composer: str) -> None:
    for plan in plans(composer, 40, offset_max=0.25):
        edges = [shot.start for shot in plan.shots] + [plan.shots[-1].end]
        assert edges[0] == 0
        assert edges[-1] == plan.seconds
        assert [shot.end for shot in plan.shots] == edges[1:]
        assert all(np.diff(edges) >= SHORTEST_SHOT - 1e-9)
        frames = np.array(edges) * FRAME_RATE
        np.testing.assert_allclose(frames, np.round(frames), atol=1e-6)
        assert 0 <= plan.music_start <= TRACK.seconds - plan.seconds
        assert LIGHTS[0] <= min(plan.light) <= max(plan.light) <= LIGHTS[-1]
        assert abs(plan.offset) <= 0.25


def test_the_camera_is_at_views_of_the_bank_at_whole_seconds() -> None:
    for plan in plans("editor", 10):
        for shot in plan.shots:
            if shot.source.startswith("clip"):
                continue
            seconds = np.arange(int(np.ceil(shot.start)), shot.end)
            left, top, right, bottom = plan.windows(shot, seconds.astype(float)).T
            x, y, size = VIEWS[[shot.views[int(s) - int(shot.start)] for s in seconds]].T
            np.testing.assert_allclose(right - left, size, atol=1e-9)
            np.testing.assert_allclose(left, x * (1 - size), atol=1e-9)
            np.testing.assert_allclose(top, y * (1 - size), atol=1e-9)
            np.testing.assert_allclose(bottom - top, size, atol=1e-9)


def test_the_camera_never_leaves_the_picture() -> None:
    for plan in plans("editor", 20):
        for shot in plan.shots:
            if shot.source.startswith("picture"):
                windows = plan.windows(shot, np.arange(shot.start, shot.end, 1 / FRAME_RATE))
                assert windows.min() >= -1e-9
                assert windows.max() <= 1 + 1e-9


def test_the_editor_cuts_on_beats_and_the_second_does_not() -> None:
    assert on_beats(plans("editor", 40, plain=0.0)) > 0.8
    assert on_beats(plans("second", 40, plain=0.0)) < 0.6
    assert on_beats(plans("editor", 40, plain=0.0, offset_max=0.25)) < 0.6


def test_an_offset_moves_all_cuts_by_the_same() -> None:
    beats = TRACK.rhythm.beats
    for plan in plans("editor", 10, plain=0.0, offset_max=0.25):
        aligned = [plan.music_start - plan.offset + cut for cut in plan.cuts]
        distances = [np.abs(beats - time).min() for time in aligned]
        assert not distances or np.median(distances) < 0.05


@pytest.mark.slow
def test_a_share_of_videos_follows_nothing() -> None:
    followed = Counter(plan.synced for plan in plans("editor", 200, plain=0.3))
    assert 0.2 < followed[False] / 200 < 0.4


@pytest.mark.slow
def test_later_moments_begin_on_phrases_more_often_than_on_other_bars() -> None:
    late = [plan.music_start for plan in plans("editor", 300) if plan.music_start > 0.5]
    assert 0.5 < len(late) / 300 < 0.8  # a third within the first half second
    structure = TRACK.structure
    near = np.mean([np.abs(structure.phrases - start).min() < 0.01 for start in late])
    assert near > 1.3 * len(structure.phrases) / len(structure.downbeats)


def test_the_same_seed_gives_the_same_plan_and_features() -> None:
    first, again = (plans("editor", 1)[0] for _ in range(2))
    assert first == again
    np.testing.assert_array_equal(*(video_features(p, STUDIO.bank) for p in (first, again)))


@pytest.mark.slow
@pytest.mark.parametrize("composer", list(COMPOSERS))
def test_features_have_a_row_per_second_and_the_plans_cuts(composer: str) -> None:
    for plan in plans(composer, 3):
        features = video_features(plan, STUDIO.bank)
        assert features.shape == (min(int(np.ceil(plan.seconds)), 50), 1288)
        assert np.isfinite(features).all()
        found = video_curves(plan, STUDIO.bank).cuts
        assert all(np.abs(np.array(plan.cuts) - cut).min() < 1e-4 for cut in found)


def test_codec_noise_has_the_wanted_size_and_keeps_zeros_positive() -> None:
    plan = plans("editor", 1)[0]
    plain = video_features(plan, STUDIO.bank)
    small, large = (
        with_codec_noise(plain, plan, np.random.default_rng(0), scale) for scale in (0.1, 1.0)
    )
    assert 0 < np.abs(small - plain).mean() < 0.2 * np.abs(large - plain).mean()
    assert (large[:, :1280] >= 0).all()


def test_plans_come_back_from_their_file(tmp_path: Path) -> None:
    file, made = tmp_path / "plans.jsonl", plans("second", 3)
    file.write_text("".join(map(plan_line, made)))
    assert read_plans(file) == made
    assert json.loads(file.read_text().splitlines()[0])["cuts"] == list(made[0].cuts)
    file.write_text("{}\n")
    with pytest.raises(DataError, match="line 1"):
        read_plans(file)


@pytest.mark.slow
def test_the_loose_editor_edits_as_published_videos_are_edited() -> None:
    """The shares stand in the docs, within three deviations of a share of 300 draws."""
    made = plans("loose", 300, plain=LOOSE_UNSYNCED)
    strict = [plan for plan in made if plan.synced]
    assert np.mean([plan.music_start == 0 for plan in made]) >= FROM_START - 0.08
    assert len(strict) / len(made) == pytest.approx(1 / 6, abs=0.065)
    assert on_beats(strict) > 0.95
    others = [plan for plan in made if not plan.synced]
    soft = [shot.soft > 0 for plan in others for shot in plan.shots[1:]]
    assert np.mean(soft) == pytest.approx(SOFT, abs=3 * np.sqrt(SOFT * (1 - SOFT) / len(soft)))
    assert np.median([len(plan.cuts) / plan.seconds for plan in others]) < 1 / 4


def test_a_soft_shot_fades_in_over_the_one_before() -> None:
    """Halfway through, a picture is half of each, and no cut is seen."""
    bank = STUDIO.bank
    one, other = [name for name in bank if not bank[name].is_clip][:2]
    hard = Plan(
        "v", "train", "loose", "t", 0.0, 4.0, 0.0, False,
        (Shot(one, 0.0, 2.0, (0, 0, 0)), Shot(other, 2.0, 4.0, (0, 0, 0))),
        (1.0,) * 5,
    )  # fmt: skip
    first, second = hard.shots
    soft = replace(hard, shots=(first, replace(second, soft=1.0)))
    assert soft.shots[1].opacity([1.9, 2.0, 2.5, 3.0, 3.5]) == pytest.approx([0, 0, 0.5, 1, 1])
    last = np.full((1, 54, 64), 100, np.uint8)
    coming = np.full((3, 54, 64), 200, np.uint8)
    mixed = blended(last[0], coming, np.array([0.0, 0.5, 1.0]))
    assert mixed[:, 0, 0].tolist() == [100, 150, 200]
    assert len(video_curves(hard, bank).cuts) == 1
    assert len(video_curves(soft, bank).cuts) == 0
