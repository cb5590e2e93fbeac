"""Blind baselines: they never read the answer, and do what their names say.

Tolerances: recorded figures have three digits, and half a unit of the last, rounded up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_support import full_rows, real_annotations
from mgsv.data.annotations import Annotations, read_annotations
from mgsv.data.packed import PackedStore, PackWriter
from mgsv.methods.blind import (
    PerTrackPrior,
    PositionPrior,
    highlight,
    start_0,
    whole_track,
)
from mgsv.moment import iou
from mgsv.synthesis.planted import PlantOptions, plan_rows, plant

OPTIONS = PlantOptions(train=3000, val=300, test=300, tracks=400, seed=1)


@pytest.fixture(scope="module")
def splits() -> dict[str, Annotations]:
    return {split: Annotations(tuple(rows)) for split, rows in plan_rows(OPTIONS).items()}


def score(moments: np.ndarray, rows: Annotations) -> float:
    return float(iou(moments, rows.moments).mean())


def test_the_real_test_split_gives_the_known_figures() -> None:
    folder = real_annotations()
    val, test = (read_annotations(folder / f"{split}_data.csv") for split in ("val", "test"))
    assert score(whole_track(test), test) == pytest.approx(0.242, abs=0.0006)
    assert score(start_0(test), test) == pytest.approx(0.478, abs=0.0006)
    # the start used once before on the same track, from val
    assert score(PerTrackPrior(val).predict(test), test) == pytest.approx(0.847, abs=0.0006)


@pytest.mark.slow
def test_blind_baselines_stay_below_half_on_the_planted_benchmark() -> None:
    train, test = full_rows()["train"], full_rows()["test"]
    scores = {
        "start 0": score(start_0(test), test),
        "whole track": score(whole_track(test), test),
        "position": score(PositionPrior(train).predict(test), test),
        "per track": score(PerTrackPrior(train).predict(test), test),
    }
    assert all(value <= 0.50 for value in scores.values()), scores
    assert scores["position"] >= scores["start 0"] - 0.01  # it may always choose 0


def test_no_baseline_reads_the_answer(splits: dict[str, Annotations]) -> None:
    test = splits["test"]
    moved = Annotations(
        tuple(replace(row, music_start=0.0, music_end=row.video_seconds) for row in test)
    )
    makers: list[Callable[[Annotations], np.ndarray]] = [
        start_0,
        whole_track,
        PositionPrior(splits["train"]).predict,
        PerTrackPrior(splits["train"]).predict,
    ]
    for maker in makers:
        np.testing.assert_array_equal(maker(test), maker(moved))


def test_moments_lie_on_their_tracks(splits: dict[str, Annotations]) -> None:
    test = splits["test"]
    for moments in (start_0(test), PerTrackPrior(splits["train"]).predict(test)):
        assert moments.shape == (len(test), 2)
        assert (moments[:, 0] >= 0).all()
        assert (moments[:, 1] <= test.track_seconds + 1e-9).all()
        widths = np.minimum(test.video_seconds, test.track_seconds)
        np.testing.assert_allclose(moments[:, 1] - moments[:, 0], widths)


def test_a_usual_moment_is_learned_where_there_is_one() -> None:
    hot = {s: Annotations(tuple(r)) for s, r in plan_rows(replace(OPTIONS, hot=1.0)).items()}
    score_hot = score(PerTrackPrior(hot["train"]).predict(hot["test"]), hot["test"])
    assert score_hot > score(start_0(hot["test"]), hot["test"]) + 0.15


def test_the_position_prior_finds_a_planted_position(splits: dict[str, Annotations]) -> None:
    long = splits["train"].where(lambda r: r.music_total_duration > 120)
    moved = Annotations(
        tuple(replace(r, music_start=60.0, music_end=60 + r.video_seconds) for r in long)
    )
    starts = PositionPrior(moved).predict(moved)[:, 0]
    np.testing.assert_allclose(starts, 60.0)


def test_highlight_finds_a_loud_repeated_section(tmp_path: Path) -> None:
    """A quiet wandering track with one loud theme, heard at 75 s and again at 150 s."""
    rng = np.random.default_rng(0)
    track = rng.standard_normal((80, 768), np.float32)
    theme = 3 * rng.standard_normal((8, 768), np.float32)
    track[30:38] = track[60:68] = theme
    with PackWriter(tmp_path / "s", 768, 96) as writer:
        writer.add("m", track)
    row = replace(
        plan_rows(OPTIONS)["test"][0], music_id="m", video_end=20.0, music_total_duration=199.0
    )
    got = highlight(Annotations((row,)), PackedStore(tmp_path / "s"))
    assert got[0].tolist() in ([75.0, 95.0], [150.0, 170.0])


def test_highlight_runs_on_the_planted_benchmark(tmp_path: Path) -> None:
    small = PlantOptions(train=40, val=20, test=20, tracks=30)
    folder = plant(tmp_path / "p", small)
    rows = Annotations(tuple(plan_rows(small)["test"]))
    moments = highlight(rows, PackedStore(folder / "packed/segments-2p5"))
    assert np.isfinite(moments).all()
    assert score(moments, rows) <= 0.5
