"""The measures against the authors' own figures, against plain loops, and at the edges."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mgsv.evaluation.measures import (
    all_measures,
    clamp_moments,
    composite_measures,
    confidence_intervals,
    distinct_scores,
    grounding_measures,
    moment_iou,
    ranks,
    retrieval_measures,
)
from mgsv.moment import spans_to_moments

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "metrics.json").read_text())


def golden_iou() -> np.ndarray:
    predicted = spans_to_moments(np.array(GOLDEN["pred_cw"]))
    return moment_iou(predicted, np.array(GOLDEN["gt"]), np.array(GOLDEN["music_duration"]))


def golden_ranks() -> np.ndarray:
    scores, tracks = distinct_scores(np.array(GOLDEN["scores"]), GOLDEN["music_ids"])
    return ranks(scores, np.array([tracks.index(track) for track in GOLDEN["music_ids"]]))


def test_ious_are_the_authors():
    # Theirs are computed in single precision on values up to 240 (spacing 1.5e-5 s).
    np.testing.assert_allclose(golden_iou(), GOLDEN["expected"]["iou"], rtol=0, atol=1e-6)


def test_ranks_are_the_authors():
    assert golden_ranks().tolist() == GOLDEN["expected"]["rank"]


def test_single_music_measures_are_the_authors():
    expected = GOLDEN["expected"]["grounding"]
    assert grounding_measures(golden_iou()) == pytest.approx(expected, rel=1e-6)


def test_retrieval_measures_are_the_authors():
    expected = GOLDEN["expected"]["retrieval"]
    assert retrieval_measures(golden_ranks()) == pytest.approx(expected, rel=1e-12)


def test_composite_measures_are_the_authors():
    # Their R{k}_miou entries divide twice and mean nothing.
    expected = {
        f"MoR{name.removeprefix('R').replace('_iou', '@')}": value
        for name, value in GOLDEN["expected"]["composite"].items()
        if not name.endswith("_miou")
    }
    assert composite_measures(golden_iou(), golden_ranks()) == pytest.approx(expected, rel=1e-6)


def test_a_tie_counts_against_the_model():
    scores = np.array([[0.5, 0.5, 0.5, 0.1], [0.2, 0.9, 0.9, 0.9]])
    assert ranks(scores, np.array([0, 0])).tolist() == [3, 4]


def test_a_score_that_is_not_a_number_counts_against_the_model():
    nan = float("nan")
    scores = np.array([[nan, 0.1, 0.2], [0.9, nan, 0.2], [nan, nan, nan]])
    assert ranks(scores, np.array([0, 0, 1])).tolist() == [3, 2, 3]


def test_duplicates_of_a_track_count_once_with_their_best_score():
    best, tracks = distinct_scores(
        np.array([[0.1, 0.7, 0.4, 0.6], [0.9, 0.2, 0.3, 0.1]]), ["a", "b", "a", "c"]
    )
    assert tracks == ["a", "b", "c"]
    np.testing.assert_array_equal(best, [[0.4, 0.7, 0.6], [0.9, 0.2, 0.1]])


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 30))
def test_ranks_agree_with_a_plain_count(seed: int, queries: int, rows: int):
    rng = np.random.default_rng(seed)
    tracks = [f"t{i}" for i in rng.integers(rows, size=rows)]
    scores = rng.integers(5, size=(queries, rows)).astype(np.float32)  # few values, many ties
    wanted = rng.integers(rows, size=queries)
    best, names = distinct_scores(scores, tracks)
    got = ranks(best, np.array([names.index(tracks[i]) for i in wanted]))
    for query, row in enumerate(wanted):
        score: dict[str, float] = {}
        for track, value in zip(tracks, scores[query], strict=True):
            score[track] = max(score.get(track, -1.0), value)
        ahead = [t for t, s in score.items() if t != tracks[row] and s >= score[tracks[row]]]
        assert got[query] == len(ahead) + 1


def test_only_the_prediction_is_clamped():
    clamped = clamp_moments(np.array([[-5.0, 20.0], [230.0, 300.0]]), np.array([15.0, 400.0]))
    np.testing.assert_array_equal(clamped, [[0.0, 15.0], [230.0, 240.0]])
    # A true moment that reaches past the track keeps its 20 s: 10 s of 20 s are found.
    assert moment_iou(np.array([[0.0, 20.0]]), np.array([[0.0, 20.0]]), np.array([10.0])) == 0.5


@pytest.mark.parametrize(
    "predicted",
    [(50.0, 60.0), (5.0, 5.0), (float("nan"), 8.0), (9.0, 2.0)],
    ids=["beyond the track", "empty", "not a number", "backwards"],
)
def test_a_useless_prediction_scores_nothing(predicted: tuple[float, float]):
    scored = moment_iou(np.array([predicted]), np.array([[0.0, 10.0]]), np.array([30.0]))
    assert scored.tolist() == [0.0]


def test_thresholds_are_exclusive():
    assert grounding_measures(np.array([0.5, 0.5000001]))["IoU@0.5"] == 50.0
    assert composite_measures(np.array([0.7]), np.array([1]))["MoR1@0.7"] == 0.0


def test_no_queries_is_an_error_and_not_a_figure():
    with pytest.raises(ValueError, match="no queries"):
        all_measures(np.array([]), np.array([], int))


def test_intervals_hold_the_figure_and_narrow_with_more_queries():
    rng = np.random.default_rng(1)
    few, many = rng.random(100), rng.random(10_000)
    narrow, wide = (confidence_intervals(x, resamples=300)["mIoU"] for x in (many, few))
    assert narrow[0] < many.mean() < narrow[1]
    # The standard error of a uniform mean is 1 / sqrt(12 n); ±1.96 of them is the normal interval.
    assert narrow[1] - narrow[0] == pytest.approx(2 * 1.96 / np.sqrt(12 * 10_000), rel=0.15)
    assert wide[1] - wide[0] == pytest.approx(2 * 1.96 / np.sqrt(12 * 100), rel=0.3)
