"""Every way to compute the same thing faster gives the same thing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mgsv.data.batch import Batch
from mgsv.models import blocks, cpu, matching
from mgsv.models.blocks import Attention
from mgsv.models.configs import ABLATIONS
from mgsv.models.cpu.groups import inverse, rows_by_length, sum_over_groups
from mgsv.models.made import MaDe
from mgsv.models.masks import compact, lengths
from mgsv.models.matching import Embedded, rerank_all
from model_support import (
    assert_same_gradients,
    close,
    gradients,
    small_batch,
    small_made,
    total,
)
from tolerances import EXACT, NETWORK

VARIANTS = sorted(ABLATIONS)
INDEPENDENT = [name for name in VARIANTS if name != "query_xpool"]  # row 11 averages over the batch


def rows(batch: Batch, which: slice | list[int]) -> Batch:
    ids = range(len(batch))[which] if isinstance(which, slice) else which
    assert batch.spans is not None
    return Batch(
        batch.frame_feats[which],
        batch.frame_mask[which],
        batch.segment_feats[which],
        batch.segment_mask[which],
        batch.video_seconds[which],
        batch.track_seconds[which],
        tuple(batch.video_ids[i] for i in ids),
        tuple(batch.track_ids[i] for i in ids),
        batch.spans[which],
    )


@pytest.mark.sampled
@pytest.mark.parametrize("variant", INDEPENDENT)
def test_batched_equals_single(variant: str) -> None:
    model, batch = small_made(**ABLATIONS[variant]), small_batch()
    videos, tracks, found = (
        model.embed_videos(batch),
        model.embed_tracks(batch),
        model.detect(batch),
    )
    scores = model.pair_scores(videos, tracks)
    for i in range(len(batch)):
        one = rows(batch, slice(i, i + 1))
        close(model.embed_videos(one).pooled[0], videos.pooled[i])
        close(model.embed_tracks(one).pooled[0], tracks.pooled[i])
        close(model.detect(one)[0], found[i])
        close(model.rerank(videos[slice(i, i + 1)], tracks), scores[i])


@pytest.mark.sampled
@pytest.mark.parametrize("variant", VARIANTS)
def test_padding_changes_nothing(variant: str) -> None:
    model = small_made(**ABLATIONS[variant])
    batch = small_batch(frame_counts=[4, 2, 3, 1, 4, 2], segment_counts=[8, 3, 5, 7, 1, 2])
    trimmed = batch.trimmed()
    assert trimmed.frame_feats.shape[1] == 4 and trimmed.segment_feats.shape[1] == 8
    close(model.detect(batch), model.detect(trimmed))
    whole, cut = total(model, batch), total(model, trimmed)
    close(whole, cut)
    assert_same_gradients(gradients(model, whole), gradients(model, cut))


@pytest.mark.sampled
@pytest.mark.parametrize("variant", VARIANTS)
def test_features_at_masked_places_do_not_matter(variant: str) -> None:
    model, batch = small_made(**ABLATIONS[variant]), small_batch()
    rubbish = replace(
        batch,
        frame_feats=batch.frame_feats.masked_fill(~batch.frame_mask[..., None], float("nan")),
        segment_feats=batch.segment_feats.masked_fill(~batch.segment_mask[..., None], 1e30),
    )
    close(total(model, rubbish), total(model, batch), 0)
    close(model.detect(rubbish), model.detect(batch), 0)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_groups_equal_the_whole(variant: str) -> None:
    model, batch = small_made(**ABLATIONS[variant]), small_batch()
    model.places = None
    whole, spans = total(model, batch), model.detect(batch)
    expected = gradients(model, whole)
    for places in (1, 40):
        model.places = places
        close(model.detect(batch), spans)
        loss = total(model, batch)
        close(loss, whole)
        assert_same_gradients(expected, gradients(model, loss))


@pytest.mark.sampled
@pytest.mark.parametrize("variant", INDEPENDENT)
def test_rows_may_come_in_any_order(variant: str) -> None:
    model, batch = small_made(**ABLATIONS[variant]), small_batch()
    order = [3, 0, 5, 1, 4, 2]
    close(model.detect(rows(batch, order)), model.detect(batch)[order])
    close(total(model, rows(batch, order)), total(model, batch))


def plain_pooled(model: MaDe, videos: Tensor, tracks: Embedded) -> Tensor:
    """X-Pool [M, V, d] as the equations read, nothing folded."""
    pool = model.xpool
    assert pool is not None
    q, tokens = pool.query(pool.norm1(videos)), pool.norm1(tracks.tokens)
    scores = torch.einsum("vd,msd->mvs", q, pool.key(tokens)) / q.shape[-1] ** 0.5
    scores = scores.masked_fill(~tracks.mask[:, None], float("-inf"))
    mixed = torch.einsum("mvs,msd->mvd", scores.softmax(dim=-1), pool.value(tokens))
    a: Tensor = pool.norm2(pool.out(mixed))
    pooled: Tensor = pool.norm3(a + pool.linear(a))
    return pooled


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_folded_pair_scores_equal_the_plain_ones(fused: bool, dtype: torch.dtype) -> None:
    model = small_made(matching="fused" if fused else "pooled").to(dtype)
    assert model.xpool is not None
    for parameter in model.xpool.parameters():  # far from the identity it starts as
        parameter.data += 0.3 * torch.randn_like(parameter)
    tracks = small_tracks(7, 14, dtype)
    videos = F.normalize(torch.randn(40, 32, dtype=dtype), dim=-1)
    pooled = plain_pooled(model, videos, tracks)
    if fused:
        pooled = pooled + tracks.pooled[:, None]
    expected = torch.einsum("vd,mvd->vm", videos, F.normalize(pooled, dim=-1))
    tolerance = NETWORK if dtype == torch.float32 else EXACT
    with torch.no_grad():
        close(model.xpool.scores(videos, tracks, fused=fused), expected, tolerance)
        few = model.xpool.scores(videos[:3], tracks, fused=fused)  # too few to fold
    close(few, expected[:3], tolerance)
    pairs = model.xpool.pairs(videos, tracks, fused=fused, summaries=False)
    close(pairs.scores, expected, tolerance)


def small_tracks(count: int, length: int, dtype: torch.dtype = torch.float32) -> Embedded:
    g = torch.Generator().manual_seed(5)
    mask = torch.arange(length) < torch.randint(1, length + 1, (count, 1), generator=g)
    tokens = torch.randn(count, length, 32, generator=g, dtype=dtype) * mask[..., None]
    return Embedded(tokens, mask, F.normalize(tokens.sum(dim=1), dim=-1))


@pytest.mark.parametrize("at_once", [1, 50, 10_000])
def test_recomputed_pair_gradients_equal_plain_ones(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "PAIRS_AT_ONCE", at_once)
    model, tracks = small_made().double(), small_tracks(9, 14, torch.float64)
    assert model.xpool is not None
    videos = F.normalize(torch.randn(9, 32, dtype=torch.float64), dim=-1)
    results = []
    for plain in (True, False):
        model.zero_grad()
        inputs = videos.clone().requires_grad_(), tracks.tokens.clone().requires_grad_()
        given = Embedded(inputs[1], tracks.mask, tracks.pooled)
        if plain:
            pooled = plain_pooled(model, inputs[0], given)
            scores = torch.einsum("vd,mvd->vm", inputs[0], F.normalize(pooled, dim=-1))
            mean, own = pooled.mean(dim=1), pooled[torch.arange(9), torch.arange(9)]
        else:
            scores, mean, own = model.xpool.pairs(inputs[0], given, fused=False, summaries=True)
        found = {"scores": scores, "mean": mean, "own": own}
        loss = (scores.exp()).sum() + (mean**3).sum() + (own.sin()).sum()
        grads = gradients(model.xpool, loss)
        results.append((found, grads | {"videos": inputs[0].grad, "tokens": inputs[1].grad}))
    for name, value in results[0][0].items():
        close(results[1][0][name], value, EXACT)
    assert_same_gradients(results[0][1], results[1][1], EXACT)


@pytest.mark.parametrize("matching_", ["dual-and-pooled", "dual", "pooled", "sum", "fused"])
def test_streamed_ranking_equals_the_whole(matching_: str) -> None:
    model, batch = small_made(matching=matching_), small_batch(rows=20)
    videos, tracks = model.embed_videos(batch), model.embed_tracks(batch)
    whole = model.pair_scores(videos, tracks)
    for size in (1, 7, 100):
        close(rerank_all(model, videos.summary(), tracks, tracks_at_once=size), whole)


@pytest.mark.parametrize("queries", [1, 3, 40])
def test_folded_attention_equals_pytorchs(queries: int) -> None:
    """Against `nn.MultiheadAttention`, forward and gradients; 1 and 3 queries are folded."""
    torch.manual_seed(0)
    ours, theirs = Attention(32, 4, 0.0).double(), nn.MultiheadAttention(32, 4, batch_first=True)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    theirs = theirs.double()
    theirs.load_state_dict(ours.state_dict())
    mask = torch.arange(11) < torch.tensor([11, 5, 1])[:, None]
    given = [torch.randn(3, n, 32, dtype=torch.float64) for n in (queries, 11, 11)]
    results = []
    for module in (ours, theirs):
        inputs = [x.clone().requires_grad_() for x in given]
        out = (
            module(*inputs, mask)
            if module is ours
            else module(*inputs, key_padding_mask=~mask, need_weights=False)[0]
        )
        results.append((out, gradients(module, (out**3).sum()), [x.grad for x in inputs]))
    close(results[0][0], results[1][0], EXACT)
    assert_same_gradients(results[0][1], results[1][1], EXACT)
    for a, b in zip(results[0][2], results[1][2], strict=True):
        close(a, b, 100 * EXACT)  # gradients of cubes, up to 100


def test_folded_attention_drops_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropped weights no longer sum to 1: the values' bias must shrink with them."""

    def fixed(x: Tensor, rate: float, training: bool) -> Tensor:
        assert training and rate == 0.4
        g = torch.Generator().manual_seed(9)
        return x * (torch.rand(x.numel(), generator=g) >= rate).view(x.shape) / (1 - rate)

    monkeypatch.setattr(cpu.folded, "dropout", fixed)
    torch.manual_seed(0)
    module = Attention(32, 4, 0.4).double().train()
    with torch.no_grad():
        module.in_proj_bias.normal_()
    mask = torch.arange(11) < torch.tensor([11, 5, 1])[:, None]
    query, key, value = (torch.randn(3, n, 32, dtype=torch.float64) for n in (2, 11, 11))
    q, k, v = (
        F.linear(x, w, b).unflatten(-1, (4, 8)).transpose(1, 2)
        for x, w, b in zip(
            (query, key, value),
            module.in_proj_weight.chunk(3),
            module.in_proj_bias.chunk(3),
            strict=True,
        )
    )
    plain = blocks.attend(q, k, v, mask, 0.4).transpose(1, 2).flatten(2)
    close(module(query, key, value, mask), module.out_proj(plain), EXACT)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=30), st.none() | st.integers(1, 60))
def test_groups_hold_every_row_once_at_its_length(counts: list[int], places: int | None) -> None:
    mask = torch.arange(12) < torch.tensor(counts)[:, None]
    groups = rows_by_length(mask, places)
    assert sorted(torch.cat([rows for rows, _ in groups]).tolist()) == list(range(len(counts)))
    for members, length in groups:
        assert length == max(1, int(lengths(mask[members]).max()))
        assert places is None or len(members) == 1 or len(members) * length <= places
    values = torch.arange(len(counts))
    assert torch.equal(torch.cat([values[r] for r, _ in groups])[inverse(groups)], values)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=5))
def test_compaction_keeps_valid_places_in_order(pattern: list[list[bool]]) -> None:
    mask = torch.tensor(pattern)
    tokens = torch.arange(mask.numel(), dtype=torch.float32).view(*mask.shape, 1)
    longest = max(1, int(mask.sum(dim=1).max()))
    moved, kept = compact(tokens, mask, longest)
    for i in range(len(mask)):
        assert moved[i][kept[i]].tolist() == tokens[i][mask[i]].tolist()
        assert kept[i].tolist() == sorted(kept[i].tolist(), reverse=True)


def test_sum_over_groups_is_honest_about_its_gradient() -> None:
    x = torch.randn(4, 3, requires_grad=True)
    weight = torch.randn(3, requires_grad=True)
    groups = [(torch.tensor([2, 0]), 1), (torch.tensor([1, 3]), 1)]

    def terms(_: Tensor, __: int, piece: Tensor) -> Tensor:
        return torch.stack([(piece * weight).sum(), (piece**2).sum()])

    out = sum_over_groups(terms, groups, (x,), (weight,))
    (3 * out.sum()).backward()
    assert x.grad is not None and weight.grad is not None
    close(x.grad, 3 * (weight.detach() + 2 * x.detach()))
    close(weight.grad, 3 * x.detach().sum(dim=0))
    out = sum_over_groups(terms, groups, (x,), (weight,))
    with pytest.raises(RuntimeError, match="weighted differently"):
        (out * torch.tensor([1.0, 2.0])).sum().backward()


HOLES: list[tuple[str, Any]] = [
    ("holes", [0, 2, 3, 5]),
    ("gap at the start", [4, 5, 6]),
    ("none", []),
]


@pytest.mark.parametrize("places", [None, pytest.param(10, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("_", "valid"), HOLES, ids=[name for name, _ in HOLES])
def test_odd_masks_give_finite_results(
    _: str, valid: list[int], variant: str, places: int | None
) -> None:
    model, batch = small_made(**ABLATIONS[variant]), small_batch()
    model.places = places
    frame_mask, segment_mask = batch.frame_mask.clone(), batch.segment_mask.clone()
    for mask in (frame_mask, segment_mask):
        mask[1] = False
        mask[1, valid] = True
    odd = replace(batch, frame_mask=frame_mask, segment_mask=segment_mask)
    videos, tracks = model.embed_videos(odd), model.embed_tracks(odd)
    for value in (model.detect(odd), model.pair_scores(videos, tracks), total(model, odd)):
        assert torch.isfinite(value).all()
    for name, gradient in gradients(model, total(model, odd)).items():
        assert torch.isfinite(gradient).all(), name
    if variant in INDEPENDENT:  # and the other rows do not notice
        others = [0, 2, 3, 4, 5]
        close(model.detect(odd)[others], model.detect(batch)[others])


def test_holes_in_a_mask_equal_removed_places_in_the_detector() -> None:
    """Positions there count valid places only, so a hole is no different from no place."""
    torch.manual_seed(0)
    model = small_made()
    mask = torch.tensor([[True, False, True, True, False, True]])
    memory, content = torch.randn(1, 6, 32), torch.randn(1, 32)
    zero = torch.zeros(1, 32)
    with_holes = model.detector(memory, mask, content, torch.ones(1), zero)
    without = model.detector(
        memory[:, mask[0]], torch.ones(1, 4, dtype=torch.bool), content, torch.ones(1), zero
    )
    close(with_holes.spans, without.spans)
    close(with_holes.logits, without.logits)


def test_no_attention_weights_of_all_places_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """In evaluation, self-attention goes through PyTorch's fused kernel."""
    calls = []
    fused = F.scaled_dot_product_attention

    def counted(*arguments: Any, **options: Any) -> Tensor:
        calls.append(options["dropout_p"])
        return fused(*arguments, **options)

    monkeypatch.setattr(blocks.F, "scaled_dot_product_attention", counted)
    small_made().detect(small_batch())
    # Two towers, two encoder layers, and the queries' self-attention in six decoder layers.
    assert calls == [0.0] * 10
