"""Systems that only match, only detect, only re-rank, and composites, measured by one protocol."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mgsv.data.batch import Batch
from mgsv.errors import ConfigError, EncoderMismatch
from mgsv.evaluation.protocol import run_model
from mgsv.evaluation.results import Results
from mgsv.models.checkpoint import save
from mgsv.models.composite import Composite, load_composite, parts_of
from mgsv.models.matching import Embedded
from mgsv.models.registry import build
from mgsv.models.system import System
from mgsv.runtime.model import Encoder, Encoders
from tiny_model import FRAME_DIM, SEGMENT_DIM, TinyModel, TinyPairs
from tolerances import CANVAS

INPUTS = dict.fromkeys(("frame_dim", "segment_dim", "max_frames", "max_segments"), 1)


class Part(nn.Module):
    """A tiny model that offers only some of what it can do."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.model = TinyModel()
        self.config = SimpleNamespace(**INPUTS, canvas_seconds=240.0)

    def embed_videos(self, batch: Batch) -> Embedded:
        return self.model.embed_videos(batch)

    def embed_tracks(self, batch: Batch) -> Embedded:
        return self.model.embed_tracks(batch)

    def rerank(self, video: Embedded, candidates: Embedded) -> Tensor:
        return self.model.rerank(video, candidates)


class OnlyMatches(Part):
    def score_all(self, videos: Embedded, tracks: Embedded) -> Tensor:
        return self.model.score_all(videos, tracks)

    pair_scores = score_all


class OnlyDetects(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        part = Part(seed)
        self.model, self.config = part.model, part.config

    def detect(self, batch: Batch) -> Tensor:
        return self.model.detect(batch)


class Pairwise(Part):
    """Counts the pairs that are read from it."""

    asked = 0

    def scores_of(self, videos: Embedded, tracks: Embedded, pairs: Tensor) -> Tensor:
        self.asked += len(pairs)
        v, m = pairs.T
        return (videos.pooled[v] * tracks.pooled[m]).sum(dim=-1)

    def detect(self, batch: Batch) -> Tensor:
        return self.model.detect(batch)


MOMENTS = {"mIoU", "IoU@0.3", "IoU@0.5", "IoU@0.7"}


def test_a_model_that_only_matches_has_no_figure_of_moments(tmp_path: Path) -> None:
    pairs, model = TinyPairs(rows=14, tracks=9), OnlyMatches(0)
    results = run_model(model, pairs, batch_size=5)
    np.testing.assert_array_equal(results.rank, run_model(model.model, pairs).rank)
    names = results.measures().keys()
    assert {"R1", "MRR"} < names and not any("IoU" in n or n.startswith("MoR") for n in names)
    results.save(tmp_path / "r.jsonl")
    assert "NaN" not in (tmp_path / "r.jsonl").read_text()
    again = Results.load(tmp_path / "r.jsonl")
    assert again.measures() == results.measures() and not again.places


def test_a_composite_ranks_like_one_and_places_like_the_other() -> None:
    pairs, matcher, detector = TinyPairs(rows=14, tracks=9), OnlyMatches(0), OnlyDetects(1)
    results = run_model(Composite(matcher, detector), pairs, batch_size=5, queries_at_once=6)
    np.testing.assert_array_equal(results.rank, run_model(matcher, pairs).rank)
    np.testing.assert_allclose(results.predicted, run_model(detector, pairs).predicted, atol=CANVAS)
    assert {"R1", "MoR1@0.5"} | MOMENTS < results.measures().keys()


@pytest.mark.parametrize("queries_at_once", [4, 100])
@pytest.mark.parametrize("candidates", [1, 4, 11, 50])
def test_only_the_first_stages_candidates_are_ranked_again(
    candidates: int, queries_at_once: int
) -> None:
    """Oracle: both models' scores of everything, sorted query by query."""
    pairs, first, second = TinyPairs(rows=15, tracks=11), OnlyMatches(0), Pairwise(1)
    results = run_model(
        Composite(first, second, second),
        pairs,
        batch_size=4,
        queries_at_once=queries_at_once,
        candidates=candidates,
    )
    assert second.asked == 15 * min(candidates, 11)
    with torch.no_grad():
        batch = pairs.batch(np.arange(15))
        scores = [
            part.model.score_all(part.embed_videos(batch), part.embed_tracks(batch))[:, :11]
            for part in (first, second)
        ]
    assert results.rank is not None and results.best_track is not None
    for row in range(15):
        order = scores[0][row].argsort(descending=True).tolist()
        head = sorted(order[:candidates], key=lambda n: -float(scores[1][row, n]))
        order = head + order[candidates:]
        assert results.rank[row] == order.index(row % 11) + 1
        assert results.best_track[row] == f"m{order[0]}"


def test_alone_a_model_that_only_reranks_is_measured_by_its_moments() -> None:
    pairs, model = TinyPairs(rows=6), Pairwise(1)
    results = run_model(model, pairs)
    assert results.rank is None and results.measures().keys() == MOMENTS
    assert model.asked == 0
    parts = parts_of(model)
    assert (parts.matcher, parts.reranker, parts.detector) == (None, None, model)


def test_parts_that_cannot_do_their_task_are_refused() -> None:
    with pytest.raises(ConfigError, match="OnlyDetects cannot be a matcher"):
        Composite(OnlyDetects(0), OnlyDetects(1))
    with pytest.raises(ConfigError, match="OnlyMatches cannot be a detector"):
        Composite(OnlyMatches(0), OnlyMatches(1))
    other = OnlyDetects(0)
    other.config.max_frames = 2
    with pytest.raises(ConfigError, match="max_frames is 1 of the matcher and 2"):
        Composite(OnlyMatches(0), other)


# Checkpoints

SIZES: dict[str, Any] = {
    "frame_dim": FRAME_DIM,
    "segment_dim": SEGMENT_DIM,
    "hidden_dim": 8,
    "heads": 2,
}
CHANGES: dict[str, dict[str, Any]] = {
    "mvpt": {"embedding_feed_forward": 8},
    "made": {"feed_forward": 8, "embedding_feed_forward": 8, "decoder_layers": 1},
    "conquer": {"feed_forward": 8, "project_music": True, "score_dim": 4},
}


def written(folder: Path, name: str, encoder: str = "eyes") -> Path:
    torch.manual_seed(0)
    model = build(name, SIZES | CHANGES[name])
    encoders = Encoders(Encoder(encoder, FRAME_DIM), Encoder("ears", SEGMENT_DIM))
    path = folder / f"{name}-{encoder}.safetensors"
    return save(path, name, model, encoders, record={"epoch": 3}, licence=f"licence of {name}")


def test_a_composite_of_checkpoints(tmp_path: Path) -> None:
    mvpt, made = written(tmp_path, "mvpt"), written(tmp_path, "made")
    loaded = load_composite(mvpt, made)
    models = [System(checkpoint=path).open().model for path in (mvpt, made)]
    counts = [sum(p.numel() for p in model.parameters()) for model in models]
    assert sum(p.numel() for p in loaded.model.parameters()) == sum(counts)
    assert loaded.name == "composite" and not loaded.model.training
    assert loaded.licence == "licence of mvpt and licence of made"
    assert loaded.record == {
        "matcher": {"model": "mvpt", "epoch": 3},
        "detector": {"model": "made", "epoch": 3},
    }
    json.dumps(loaded.record)


@pytest.mark.slow
def test_a_first_stage_makes_conquer_a_whole_system(tmp_path: Path) -> None:
    mvpt, conquer = written(tmp_path, "mvpt"), written(tmp_path, "conquer")
    loaded = System(checkpoint=conquer, first_stage=mvpt).open()
    parts = parts_of(loaded.model)
    assert loaded.name == "conquer" and parts.reranker is parts.detector is not None
    assert isinstance(loaded.model, Composite) and loaded.model.score_meaning.startswith(
        "logarithm"
    )
    both = load_composite(conquer, written(tmp_path, "made"), mvpt)
    assert both.name == "composite" and parts_of(both.model).detector is not parts.reranker


def test_what_cannot_be_a_system_is_named(tmp_path: Path) -> None:
    mvpt, made, conquer = (written(tmp_path, name) for name in ("mvpt", "made", "conquer"))
    for arguments, words in (
        ((mvpt, mvpt), "`detector` .*mvpt does not find moments"),
        ((conquer, made), "conquer only ranks another's candidates.*`first_stage`"),
        ((conquer, made, conquer), "`first_stage` .*conquer does not rank a whole set"),
        ((made, made, mvpt), "made ranks whole sets by itself.*leave `first_stage` out"),
        ((mvpt, tmp_path / "none"), "none: no such file"),
    ):
        with pytest.raises(ConfigError, match=words):
            load_composite(*arguments)
    with pytest.raises(EncoderMismatch, match=r"eyes.*other"):
        load_composite(mvpt, written(tmp_path, "made", "other"))
    for named, words in (
        ({}, "no model is named"),
        ({"matcher": mvpt}, "`detector` is missing"),
        ({"detector": made}, "`matcher` is missing"),
        ({"checkpoint": made, "matcher": mvpt}, "either the checkpoint"),
    ):
        with pytest.raises(ConfigError, match=words):
            System(**named).open()
