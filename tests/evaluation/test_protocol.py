"""The streamed protocol against the plain definition: all scores at once, row by row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mgsv.data.batch import Batch
from mgsv.evaluation.measures import distinct_scores, ranks
from mgsv.evaluation.protocol import run_model
from mgsv.evaluation.results import Results
from tiny_model import TinyModel, TinyPairs
from tolerances import CANVAS


@pytest.fixture
def model() -> TinyModel:
    torch.manual_seed(0)
    return TinyModel()


def plainly(model: TinyModel, pairs: TinyPairs) -> tuple[np.ndarray, np.ndarray]:
    """Ranks and moments from one batch of all rows, duplicates of tracks included."""
    model.eval()
    with torch.no_grad():
        batch = pairs.batch(np.arange(len(pairs)))
        scores = model.pair_scores(model.embed_videos(batch), model.embed_tracks(batch)).numpy()
        centre, width = model.detect(batch)[:, 0, :2].double().numpy().T * 240
    best, names = distinct_scores(scores, pairs.rows.music_ids)
    rank = ranks(best, np.array([names.index(t) for t in pairs.rows.music_ids]))
    return rank, np.stack([centre - width / 2, centre + width / 2], axis=1)


@pytest.mark.parametrize("queries_at_once", [1, 7, 1000])
@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_streaming_changes_nothing(model: TinyModel, batch_size: int, queries_at_once: int):
    pairs = TinyPairs(rows=23, tracks=17)
    results = run_model(model, pairs, batch_size=batch_size, queries_at_once=queries_at_once)
    rank, moments = plainly(model, pairs)
    np.testing.assert_array_equal(results.rank, rank)
    np.testing.assert_allclose(results.predicted, moments, atol=CANVAS)


def test_batches_are_bounded(model: TinyModel):
    pairs = TinyPairs(rows=40)
    sizes: list[int] = []
    whole = pairs.batch
    pairs.batch = lambda rows: (sizes.append(len(rows)), whole(rows))[1]  # type: ignore[method-assign]
    run_model(model, pairs, batch_size=6)
    assert max(sizes) == 6


def test_the_track_found_first_is_named(model: TinyModel):
    pairs = TinyPairs(rows=12)
    results = run_model(model, pairs)
    assert results.rank is not None and results.best_track is not None
    first = results.rank == 1
    assert first.any() and not first.all()
    agree = np.array(results.best_track) == np.array(results.tracks)
    np.testing.assert_array_equal(agree, first)


def test_a_collapsed_model_is_at_the_bottom(model: TinyModel):
    with torch.no_grad():
        model.segments.weight.zero_()
        model.segments.bias.zero_()
    results = run_model(model, TinyPairs(rows=10), batch_size=4)
    assert results.rank is not None and results.rank.tolist() == [10] * 10


def test_the_model_is_left_as_it_was(model: TinyModel):
    model.train()
    run_model(model, TinyPairs(rows=4))
    assert model.training


def test_single_music_mode_leaves_ranks_out(model: TinyModel):
    results = run_model(model, TinyPairs(rows=6), music_set=False)
    assert results.rank is None
    assert set(results.measures()) == {"mIoU", "IoU@0.3", "IoU@0.5", "IoU@0.7"}


class OnlyDetects(nn.Module):
    """The shape of a published detector: no scores for tracks."""

    def __init__(self, model: TinyModel) -> None:
        super().__init__()
        self.model, self.config = model, model.config

    def detect(self, batch: Batch) -> Tensor:
        return self.model.detect(batch)


def test_a_model_that_only_detects_is_measured_by_what_it_does(model: TinyModel):
    pairs = TinyPairs(rows=9)
    results = run_model(OnlyDetects(model), pairs)
    assert results.rank is None
    np.testing.assert_array_equal(results.iou, run_model(model, pairs).iou)


def test_results_are_in_the_order_of_the_annotations(model: TinyModel):
    pairs = TinyPairs(rows=9)
    results: Results = run_model(model, pairs)
    assert results.videos == pairs.rows.video_ids
    np.testing.assert_array_equal(results.true, pairs.rows.moments)
