"""MVPt, MVPt+ and CONQUER: sizes, padding, training targets, learning."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from mgsv.data.batch import Batch
from mgsv.errors import ConfigError
from mgsv.models import conquer
from mgsv.models.configs import CONQUER_AUTHORS, ConquerConfig
from mgsv.models.conquer import candidates, shared_losses, true_segments
from mgsv.models.registry import Detects, Matches, Reranks, build, config_of
from model_support import (
    MVPT,
    assert_same_gradients,
    close,
    gradients,
    small_batch,
    small_conquer,
    small_mvpt,
)
from tolerances import NETWORK


def rows(batch: Batch, at: list[int]) -> Batch:
    tensors = ("frame_feats", "frame_mask", "segment_feats", "segment_mask")
    tensors += ("video_seconds", "track_seconds", "spans")
    return replace(
        batch,
        **{name: getattr(batch, name)[at] for name in tensors},
        video_ids=tuple(batch.video_ids[n] for n in at),
        track_ids=tuple(batch.track_ids[n] for n in at),
    )


def count(name: str, **changes: Any) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in build(name, changes).parameters())


# Sizes


def test_parameter_counts() -> None:
    """Exact counts of the readings, and the paper's figures within 1 %."""
    assert count("mvpt") == count("mvpt_plus") == 3_618_817
    assert count("conquer") == 39_413_632
    official = {"max_frames": 30, "max_segments": 100}
    assert count("conquer", **official) == 39_401_344
    assert count("conquer", **CONQUER_AUTHORS, **official) == 54_169_216
    assert count("conquer", **CONQUER_AUTHORS, **official, similarity="disjoint") == 44_025_344
    for name, millions in (("mvpt", 3.6), ("mvpt_plus", 3.6), ("conquer", 39.4)):
        assert count(name) == pytest.approx(millions * 1e6, rel=0.01)  # two digits


def test_one_layer_of_mvpt_is_mades_tower() -> None:
    """The towers are the same modules, under the same names."""
    torch.manual_seed(0)
    made = build("made", {**MVPT, "feed_forward": 8})
    one = small_mvpt(embedding_layers=1)
    towers = {
        k: v for k, v in made.state_dict().items() if k.partition(".")[0] in ("video", "music")
    }
    one.load_state_dict(towers, strict=False)
    assert {*one.state_dict()} - {*towers} == {"log_temperature"}
    batch = small_batch()
    close(one.embed_tracks(batch).pooled, made.eval().embed_tracks(batch).pooled, 0)  # type: ignore[operator]


# What they can do


def test_abilities() -> None:
    mvpt, pairwise = small_mvpt(), small_conquer()
    assert isinstance(mvpt, Matches) and not isinstance(mvpt, Detects | Reranks)
    assert isinstance(pairwise, Reranks) and isinstance(pairwise, Detects)
    assert not isinstance(pairwise, Matches)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("mvpt", {"heads": 3}, "multiple of heads=3"),
        ("mvpt", {"embedding_layers": 65}, "embedding_layers=65 is more than 64"),
        ("mvpt_plus", {"temperature": 0.0}, "temperature=0.0 is not positive"),
        ("conquer", {"dropout": 1.0}, r"dropout=1.0 is not in \[0, 1\)"),
        ("conquer", {"segment_dim": 10}, "segment_dim=10 is not hidden_dim=768"),
        ("conquer", {"kernel": 4}, "kernel=4 is not odd"),
        ("conquer", {"longest": 2, "shortest": 3}, "longest=2 is below shortest=3"),
        ("conquer", {"ranking_weight": -1.0}, "ranking_weight=-1.0 is negative"),
    ],
)
def test_impossible_configs_are_refused(name: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        config_of(name, changes)


# Padding and batch mates


@pytest.mark.parametrize("mask_padding", [False, True])
def test_conquer_does_not_depend_on_padding_or_batch_mates(mask_padding: bool) -> None:
    model, batch = small_conquer(mask_padding=mask_padding), small_batch(rows=4, segments=11)
    whole = model.detect(batch)
    videos, tracks = model.embed_videos(batch), model.embed_tracks(batch)
    scores = model.pair_scores(videos, tracks)
    assert float(scores.detach().std()) > 1e-3
    for n in range(4):
        alone = rows(batch, [n]).trimmed()
        close(model.detect(alone), whole[[n]][:, : model.detect(alone).shape[1]])
        video, track = model.embed_videos(alone), model.embed_tracks(alone)
        close(model.pair_scores(video, track), scores[n, n].view(1, 1))
        close(model.rerank(videos[n : n + 1], tracks), scores[n])
    filler = batch.segment_feats.masked_fill(~batch.segment_mask[..., None], float("nan"))
    close(model.detect(replace(batch, segment_feats=filler)), whole, 0)


def test_masked_padding_never_enters_conquers_heads() -> None:
    """With `mask_padding` slots that do not exist make no difference; without it they do."""
    batch = small_batch(rows=3, segments=8, segment_counts=[8, 5, 6])
    for hidden in (True, False):
        pairs = []
        for slots in (8, 14):
            model = small_conquer(mask_padding=hidden, max_segments=14)
            model.config = replace(model.config, max_segments=slots, longest=7)
            pairs.append(model.pairs(model.embed_videos(batch), model.embed_tracks(batch)))
        same = torch.allclose(pairs[0][2], pairs[1][2], atol=NETWORK)  # type: ignore[arg-type]
        assert same is hidden


def test_a_row_without_anything_is_no_nan() -> None:
    batch = small_batch(rows=3)
    batch.segment_mask[1] = False
    batch.frame_mask[2] = False
    for hidden in (False, True):
        model = small_conquer(mask_padding=hidden)
        assert model.detect(batch).isfinite().all()
        assert (
            model.pair_scores(model.embed_videos(batch), model.embed_tracks(batch)).isfinite().all()
        )
        assert all(term.isfinite() for term in model.loss(batch).values())


def test_mvpt_does_not_depend_on_padding_or_batch_mates() -> None:
    model, batch = small_mvpt(), small_batch()
    scores = model.pair_scores(model.embed_videos(batch), model.embed_tracks(batch))
    model.places = None
    other = rows(batch, [3, 1])
    found = model.score_all(model.embed_videos(other), model.embed_tracks(other.trimmed()))
    close(found, scores[[3, 1]][:, [3, 1]])


# CONQUER's inference


def test_the_best_moment_is_found_among_all() -> None:
    """Oracle: every begin and end, one after the other."""
    model = small_conquer(longest=5, shortest=1, moments=7)
    batch = small_batch(rows=3, segment_counts=[14, 9, 6])
    videos, tracks = model.embed_videos(batch), model.embed_tracks(batch)
    begin, end, ranking = model.pairs(videos, tracks)
    assert ranking is not None
    found, scores = model.detect(batch), model.pair_scores(videos, tracks).diagonal()
    for row in range(3):
        b, e = begin[row].softmax(dim=0), end[row].softmax(dim=0)
        every = [
            (float(b[i] * e[j]), (i + j + 1) / 2 / 14, (j + 1 - i) / 14)
            for i in range(14)
            for j in range(i + 1, min(i + 6, 14))
        ]
        best = sorted(every, reverse=True)[:7]
        close(found[row, :, 2], torch.tensor([score for score, _, _ in best]))
        close(found[row, 0, :2], torch.tensor(best[0][1:]))
        expected = float(ranking[row].exp()) * best[0][0]
        assert float(scores[row].exp()) == pytest.approx(
            expected, rel=10 * NETWORK
        )  # of scores up to 10


def test_pieces_equal_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = small_conquer(), small_batch()
    videos, tracks = model.embed_videos(batch), model.embed_tracks(batch)
    whole, spans = model.pair_scores(videos, tracks), model.detect(batch)
    torch.manual_seed(1)
    loss = sum(model.loss(batch).values())
    expected = gradients(model, loss)
    for size in (1, 9):
        monkeypatch.setattr(conquer, "PAIRS_AT_ONCE", size)
        close(model.pair_scores(videos, tracks), whole)
        close(model.detect(batch), spans)
        torch.manual_seed(1)
        again = sum(model.loss(batch).values())
        close(again.detach(), loss.detach())
        assert_same_gradients(expected, gradients(model, again))


def test_without_a_head_begin_and_end_rank() -> None:
    model, batch = small_conquer(similarity="disjoint"), small_batch(rows=2)
    videos, tracks = model.embed_videos(batch), model.embed_tracks(batch)
    begin, end, ranking = model.pairs(videos, tracks)
    assert ranking is None and model.loss(batch).keys() == {"moment"}
    joint = begin[0][:, None] + end[0][None]
    assert float(model.pair_scores(videos, tracks)[0, 0]) == pytest.approx(
        float(joint.triu().where(torch.ones(14, 14).triu() > 0, torch.tensor(-torch.inf)).max()),
        abs=NETWORK,
    )


# CONQUER's training


def test_negatives_are_other_tracks_and_follow_the_seed() -> None:
    ids = ("a", "b", "a", "c", "d", "b", "e")
    torch.manual_seed(0)
    first, drawn = candidates(ids, 3)
    assert first.shape == (7, 4) and drawn.all()
    assert first[:, 0].tolist() == list(range(7))
    for row, chosen in enumerate(first.tolist()):
        names = [ids[n] for n in chosen]
        assert names[0] == ids[row] and len({*names}) == 4
    assert not torch.equal(candidates(ids, 3)[0], first)
    torch.manual_seed(0)
    assert torch.equal(candidates(ids, 3)[0], first)


def test_too_few_tracks_leave_places_empty() -> None:
    found, drawn = candidates(("a", "b", "a"), 3)
    assert drawn.sum(dim=1).tolist() == [2, 2, 2]
    assert found[drawn].tolist() == [0, 1, 1, 0, 2, 1]
    _, alone = candidates(("a", "a"), 3)
    assert alone.tolist() == [[True, False]] * 2
    scores, true = torch.randn(6, 5), torch.tensor([0, 3, 2])
    loss = shared_losses(scores[:3], scores[:3], scores[:3, 0], torch.ones(3, 1) > 0, true, true)
    padded = torch.stack([scores[:3], scores[3:]], dim=1).flatten(0, 1)
    drawn = torch.tensor([[True, False]] * 3)
    close(shared_losses(padded, padded, padded[:, 0], drawn, true, true), loss, 0)


def test_segments_that_a_moment_touches() -> None:
    """floor(start / 2.5) and ceil(end / 2.5) - 1, both on the track."""
    edges = [(0.0, 5.0), (2.5, 10.0), (2.4, 10.1), (5.0, 5.5), (27.5, 40.0), (30.0, 35.0)]
    spans = torch.tensor([((s + e) / 2 / 35, (e - s) / 35) for s, e in edges])
    mask = torch.arange(14) < torch.tensor([14, 14, 14, 14, 12, 9])[:, None]
    first, last = true_segments(spans, mask, 14)
    assert first.tolist() == [0, 1, 0, 2, 11, 8]
    assert last.tolist() == [1, 3, 4, 2, 11, 8]


def test_shared_losses_normalise_over_all_candidates() -> None:
    begin, end, ranking = torch.randn(2, 3, 5), torch.randn(2, 3, 5), torch.randn(2, 3)
    first, last = torch.tensor([1, 4]), torch.tensor([2, 4])
    drawn = torch.ones(2, 3, dtype=torch.bool)
    found = shared_losses(
        begin.flatten(0, 1), end.flatten(0, 1), ranking.flatten(), drawn, first, last
    )
    moment = sum(
        -edge[row].flatten().log_softmax(dim=0)[place[row]]
        for edge, place in ((begin, first), (end, last))
        for row in range(2)
    )
    tracks = -ranking.log_softmax(dim=1)[:, 0].sum()
    close(found, torch.stack([moment, tracks]))


@pytest.mark.thorough
def test_conquers_gradient_is_the_same_twice_with_two_threads() -> None:
    """Bit for bit, and with batches large enough for PyTorch to share them out among threads."""
    sizes = {"hidden_dim": 8, "heads": 2, "feed_forward": 8, "max_segments": 96}
    model, batch = small_conquer(**sizes), small_batch(rows=12, segments=96)
    threads, found = torch.get_num_threads(), []
    torch.set_num_threads(2)
    try:
        for _ in range(6):
            torch.manual_seed(0)
            loss = torch.stack([*model.loss(batch).values()]).sum()
            found.append(gradients(model, loss))
    finally:
        torch.set_num_threads(threads)
    for again in found[1:]:
        assert all(torch.equal(again[name], gradient) for name, gradient in found[0].items())


@pytest.mark.slow
def test_conquer_starts_like_bert() -> None:
    torch.manual_seed(0)
    model = build("conquer", {"backbone_layers": 1, "max_segments": 8, "longest": 7})
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2:
            assert float(parameter.std()) == pytest.approx(0.02, rel=0.15), (
                name
            )  # 1,536 draws or more
        elif name.endswith("bias"):
            assert not parameter.any(), name
        elif parameter.dim() == 1:
            assert (parameter == 1).all(), name


# Learning


def fit(model: nn.Module, batch: Batch, steps: int, rate: float) -> None:
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    model.train()
    for _ in range(steps):
        optimiser.zero_grad()
        torch.stack(list(model.loss(batch).values())).sum().backward()  # type: ignore[operator]
        optimiser.step()
    model.eval()


def planted(count: int, seed: int) -> Batch:
    """Each track has a vector of its own, which its videos show through another view."""
    view = torch.randn(10, 12, generator=torch.Generator().manual_seed(0))
    g = torch.Generator().manual_seed(seed)
    vectors = torch.randn(count, 1, 10, generator=g)
    batch = small_batch(count, seed)
    return replace(
        batch,
        segment_feats=vectors + 0.3 * batch.segment_feats,
        frame_feats=vectors @ view + 0.3 * batch.frame_feats,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mvpt", pytest.param("mvpt_plus", marks=pytest.mark.thorough)])
def test_mvpt_learns_to_match_tracks_it_has_not_seen(name: str) -> None:
    """R@1 at least ten times chance, among 100 new tracks."""
    model = small_mvpt(name, embedding_dropout=0.0)
    fit(model, planted(256, 1), 60, 2e-3)
    new = planted(100, 2)
    scores = model.pair_scores(model.embed_videos(new), model.embed_tracks(new))
    hits = (scores.argmax(dim=1) == torch.arange(100)).float().mean()
    assert float(hits) >= 0.1


def test_mask_same_track_is_what_sets_mvpt_plus_apart() -> None:
    plain, plus = small_mvpt("mvpt"), small_mvpt("mvpt_plus")
    batch = small_batch()
    assert torch.equal(plus.loss(batch)["dual"], plain.loss(batch)["dual"])
    twice = replace(batch, track_ids=("a", "b", "a", "c", "d", "b"))
    assert float(plus.loss(twice)["dual"]) < float(plain.loss(twice)["dual"])


@pytest.mark.thorough
def test_conquer_learns_64_rows_by_heart() -> None:
    """Moments that begin and end on segments' borders, as those are all it can say."""
    batch = small_batch(64, segment_counts=[14] * 64)
    g = torch.Generator().manual_seed(3)
    first, width = torch.randint(0, 10, (64,), generator=g), torch.randint(1, 5, (64,), generator=g)
    batch = replace(batch, spans=torch.stack([first + width / 2, width], dim=1) / 14)
    model = small_conquer(dropout=0.0, moment_weight=1.0)
    fit(model, batch, 80, 2e-3)
    assert batch.spans is not None
    centre, wide = model.detect(batch)[:, 0, 0], model.detect(batch)[:, 0, 1]
    start, end = centre - wide / 2, centre + wide / 2
    true = batch.spans[:, 0] - batch.spans[:, 1] / 2, batch.spans[:, 0] + batch.spans[:, 1] / 2
    shared = (end.minimum(true[1]) - start.maximum(true[0])).clamp_min(0)
    assert float((shared / (wide + batch.spans[:, 1] - shared)).mean()) >= 0.9
    videos, tracks = model.embed_videos(batch)[:16], model.embed_tracks(batch)[:16]
    best = model.pair_scores(videos, tracks).argmax(dim=1)
    assert float((best == torch.arange(16)).float().mean()) >= 0.5


def test_the_config_is_the_papers_size() -> None:
    assert config_of("conquer") == ConquerConfig()
