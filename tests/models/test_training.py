"""What golden files cannot decide: dropout, initialisation, batch norm, negatives, gathering."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mgsv.models import blocks
from mgsv.models.blocks import Attention, Dropout, sine_of_mask, sine_table, split_heads
from mgsv.models.configs import ABLATIONS, MadeConfig
from mgsv.models.embedding import SlotMLP
from mgsv.models.losses import DetectorOutput, Matcher, generalised_iou, info_nce, same_track
from mgsv.models.made import MaDe
from mgsv.models.matching import Embedded
from mgsv.models.registry import build
from model_support import assert_same_gradients, gradients, small_batch, small_made, total
from tolerances import EXACT, FEW32, NETWORK

# Dropout


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.8])
def test_fast_dropout_drops_its_share_and_keeps_the_mean(rate: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(999, 1001, requires_grad=True)
    out = blocks.dropout(x, rate, training=True)
    dropped = float((out == 0).float().mean())
    deviation = math.sqrt(rate * (1 - rate) / x.numel())
    assert abs(dropped - rate) < 5 * deviation
    kept = out[out != 0]
    # The rate is one of 65,536.
    assert torch.allclose(kept, torch.full_like(kept, 1 / (1 - rate)), rtol=2**-16 / (1 - rate))
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())  # the same values pass back, equally scaled


def test_fast_dropout_treats_places_alike_and_independently() -> None:
    """Four values share one draw: neither their rates nor their pairs may betray it."""
    torch.manual_seed(1)
    kept = (blocks.dropout(torch.ones(50_000, 8), 0.5, training=True) != 0).double()
    assert float((kept.mean(dim=0) - 0.5).abs().max()) < 5 * 0.5 / math.sqrt(50_000)
    correlation = torch.corrcoef(kept.T) - torch.eye(8)
    assert float(correlation.abs().max()) < 5 / math.sqrt(50_000)


def test_fast_dropout_repeats_with_the_seed_and_rests_in_evaluation() -> None:
    x = torch.randn(7, 5)
    outs = []
    for _ in range(2):
        torch.manual_seed(3)
        outs.append(blocks.dropout(x, 0.5, training=True))
    assert torch.equal(*outs)
    assert not torch.equal(outs[0], blocks.dropout(x, 0.5, training=True))
    assert blocks.dropout(x, 0.5, training=False) is x
    assert blocks.dropout(x, 0.0, training=True) is x


def dropout_calls(model: MaDe, monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
    """(rate, last dimension) of every dropout of one loss, places known by their sizes."""
    calls: list[tuple[float, int]] = []

    def noted(x: Tensor, rate: float, training: bool) -> Tensor:
        assert training
        calls.append((rate, x.shape[-1]))
        return x

    monkeypatch.setattr(blocks, "dropout", noted)
    monkeypatch.setattr("mgsv.models.matching.dropout", noted)
    monkeypatch.setattr("mgsv.models.cpu.folded.dropout", noted)
    model.places = None
    with torch.no_grad():
        model.train().loss(small_batch(frame_counts=[9] * 6, segment_counts=[14] * 6))
    return calls


def test_dropout_has_its_places_and_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = dropout_calls(small_made(), monkeypatch)
    attention, hidden, out = (0.8, 9), (0.8, 40), (0.8, 32)
    assert calls[:3] == [attention, hidden, out]  # video
    assert calls[3:6] == [(0.8, 14), hidden, out]  # music
    assert calls[6] == (0.3, 32)  # X-Pool
    encoder = [(0.1, 23), (0.1, 32), (0.1, 48), (0.1, 32)]
    assert calls[7:15] == encoder * 2
    decoder = [(0.1, 1), (0.1, 32), (0.1, 23), (0.1, 32), (0.1, 48), (0.1, 32)]
    assert calls[15:] == decoder * 6


def test_dropout_of_the_cross_attention_fusion(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = dropout_calls(small_made(fusion="cross-attention"), monkeypatch)
    assert calls[7:11] == [(0.8, 9), (0.8, 32), (0.8, 40), (0.8, 32)]


def test_dropout_rates_are_the_configs() -> None:
    model = small_made(embedding_dropout=0.25, dropout=0.5, pool_dropout=0.125)
    rates = {m.rate for m in model.modules() if isinstance(m, Dropout)}
    assert rates == {0.25, 0.5} and model.xpool is not None and model.xpool.rate == 0.125


# Initialisation


def test_initialisation() -> None:
    torch.manual_seed(0)
    model = build("made")
    assert isinstance(model, MaDe) and model.xpool is not None
    pool = model.xpool
    for linear in (pool.query, pool.key, pool.value, pool.out, pool.linear):
        assert torch.equal(linear.weight, torch.eye(256)) and not linear.bias.any()
    for part in (model.detector.encoder, model.detector.decoder):
        for name, parameter in part.named_parameters():
            if parameter.dim() == 2:  # Xavier-uniform: flat up to its bound
                bound = math.sqrt(6 / sum(parameter.shape))
                assert float(parameter.detach().abs().max()) <= bound, name
                assert float(parameter.std()) == pytest.approx(bound / math.sqrt(3), rel=0.02)
            elif "in_proj_bias" in name or "out_proj.bias" in name:
                assert not parameter.any(), name
    assert float(model.detector.query_positions.std()) == pytest.approx(1, rel=0.2)
    linear = model.video.projection.weight  # PyTorch's own start: uniform up to 1 / sqrt(inputs)
    assert float(linear.abs().max()) <= 1 / math.sqrt(512)
    assert float(linear.std()) == pytest.approx(1 / math.sqrt(3 * 512), rel=0.02)


def test_attention_that_starts_as_similarity_looks_at_its_likes_first() -> None:
    torch.manual_seed(0)
    attention = Attention(32, 4, 0.0)
    before = attention.in_proj_weight.detach().clone()
    attention.start_as_similarity(2.0)
    query, key, value = attention.in_proj_weight.detach().chunk(3)
    assert torch.equal(query, 2 * before[:32]) and torch.equal(value, before[64:])
    places = torch.randn(1, 20, 32)
    q, k = (split_heads(places @ w.T, attention.heads) for w in (query, key))
    most = (q @ k.transpose(-1, -2)).sum(dim=1).argmax(dim=-1)
    assert torch.equal(most[0], torch.arange(20))


def test_similarity_start_reaches_the_detectors_attention_alone() -> None:
    models = []
    for start in (0.0, 2.0):
        torch.manual_seed(0)
        models.append(build("made", {"similarity_start": start, "hidden_dim": 32}))
    plain, similar = (dict(model.named_parameters()) for model in models)
    changed = {name for name in plain if not torch.equal(plain[name], similar[name])}
    attention = {n for n in plain if n.startswith("detector") and n.endswith("in_proj_weight")}
    assert changed == attention and len(attention) == 2 + 2 * 6


# Batch norm of row 2


def test_slot_norms_in_training_mode() -> None:
    """Statistics per time slot over rows and channels; running = 0.01 running + 0.99 batch."""
    torch.manual_seed(0)
    block = SlotMLP(6, 10, 5).train()
    x = torch.randn(8, 5, 6)
    hidden = block[0](x)
    norm = block[1]
    assert isinstance(norm, nn.BatchNorm1d)
    block(x)
    mean, variance = hidden.mean(dim=(0, 2)), hidden.transpose(0, 1).flatten(1).var(dim=1)
    assert torch.allclose(norm.running_mean, 0.99 * mean, atol=FEW32)
    assert torch.allclose(norm.running_var, 0.01 + 0.99 * variance, atol=NETWORK)
    expected = (hidden - mean[:, None]) / (
        hidden.transpose(0, 1).flatten(1).var(dim=1, unbiased=False)[:, None] + norm.eps
    ).sqrt()
    assert torch.allclose(norm(hidden), expected, atol=NETWORK)


def test_slot_norms_see_the_whole_batch_at_full_length() -> None:
    """However the rest is computed, in groups or trimmed: the same loss and statistics."""
    batch = small_batch(frame_counts=[4, 2, 3, 1, 4, 2], segment_counts=[8, 3, 5, 7, 1, 2])
    results = []
    for places, given_ in ((None, batch), (20, batch), (20, batch.trimmed())):
        model = small_made(
            embedding="mlp", embedding_dropout=0.0, dropout=0.0, pool_dropout=0.0
        ).train()
        model.places = places
        loss = total(model, given_)
        results.append((loss, gradients(model, loss), dict(model.named_buffers())))
    for loss, grads, buffers in results[1:]:
        assert torch.allclose(loss, results[0][0], atol=NETWORK)
        assert_same_gradients(results[0][1], grads)
        for name, buffer in buffers.items():
            assert torch.allclose(buffer, results[0][2][name], atol=FEW32), name


# Losses


def test_info_nce_is_symmetric_cross_entropy() -> None:
    scores = torch.randn(5, 5)
    rows = -scores.log_softmax(dim=1).diagonal().mean()
    columns = -scores.log_softmax(dim=0).diagonal().mean()
    assert torch.allclose(info_nce(scores), (rows + columns) / 2)


def test_same_track_is_masked_only_from_video_to_music() -> None:
    scores = torch.randn(4, 4)
    excluded = same_track(("a", "b", "a", "c"), scores.device)
    kept = scores.clone()
    kept[0, 2] = kept[2, 0] = float("-inf")
    rows = -kept.log_softmax(dim=1).diagonal().mean()
    columns = -scores.log_softmax(dim=0).diagonal().mean()
    assert torch.allclose(info_nce(scores, excluded), (rows + columns) / 2)
    assert torch.isfinite(info_nce(scores, excluded))


@pytest.mark.slow
def test_mask_same_track_reaches_the_loss() -> None:
    batch = small_batch()
    twice = replace(batch, track_ids=("a", "b", "a", "c", "d", "b"))
    plain, masked = small_made(), small_made(mask_same_track=True)
    assert torch.equal(total(masked, batch), total(plain, batch))
    terms = masked.loss(twice)
    assert float(terms["dual"]) < float(plain.loss(twice)["dual"])
    assert float(terms["pooled"]) < float(plain.loss(twice)["pooled"])


spans = st.tuples(st.floats(0, 1), st.floats(0.001, 1))


@settings(deadline=None)
@given(spans, spans)
def test_generalised_iou(a: tuple[float, float], b: tuple[float, float]) -> None:
    first, second = torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)
    found = float(generalised_iou(first, second))
    assert found == pytest.approx(float(generalised_iou(second, first)))
    (s, e), (t, f) = ((c - w / 2, c + w / 2) for c, w in (a, b))
    shared, hull = max(0, min(e, f) - max(s, t)), max(e, f) - min(s, t)
    union = e - s + f - t - shared
    assert found == pytest.approx(shared / union - (hull - union) / hull, abs=EXACT)
    assert -1 <= found <= 1 + EXACT
    assert float(generalised_iou(first, first)) == pytest.approx(1)


def test_matcher_takes_the_cheapest_query_of_each_layer() -> None:
    """Against scipy's Hungarian algorithm, which the authors use."""
    optimize = pytest.importorskip("scipy.optimize")
    torch.manual_seed(0)
    found = DetectorOutput(torch.rand(3, 4, 10, 2), torch.randn(3, 4, 10, 2))
    truth = torch.rand(4, 2)
    best = Matcher(10.0, 1.0, 4.0)(found, truth)
    for layer in range(3):
        for row in range(4):
            span = found.spans[layer, row]
            cost = (
                10 * (span - truth[row]).abs().sum(dim=-1)
                - generalised_iou(span, truth[row])
                - 4 * found.logits[layer, row].softmax(dim=-1)[:, 0]
            )
            queries, _ = optimize.linear_sum_assignment(cost[:, None])
            assert best[layer, row] == queries[0]


def test_loss_terms_are_named_by_what_is_matched() -> None:
    batch = small_batch()
    detection = {"span", "giou", "label", "alignment"}
    names = {
        "full": {"dual", "pooled"},
        "dual_only": {"dual"},
        "xpool_only": {"pooled"},
        "single_loss": {"sum"},
        "feature_fuse": {"fused"},
    }
    for variant, expected in names.items():
        assert small_made(**ABLATIONS[variant]).loss(batch).keys() == expected | detection
    with pytest.raises(ValueError, match="without spans"):
        small_made().loss(replace(batch, spans=None))


def test_weights_scale_their_terms() -> None:
    batch = small_batch()
    one, two = small_made(queries=3), small_made(queries=3, giou_weight=2.0, alignment_weight=0.0)
    a, b = one.loss(batch), two.loss(batch)
    assert float(b["giou"]) == pytest.approx(2 * float(a["giou"]))
    assert float(a["alignment"]) > 0 and float(b["alignment"]) == 0
    assert torch.equal(a["span"], b["span"])


# Positions


def test_sine_table() -> None:
    table = sine_table(7, 6)
    for place in range(7):
        for i in range(3):
            angle = place / 10000 ** (2 * i / 6)
            assert float(table[place, 2 * i]) == pytest.approx(math.sin(angle), abs=FEW32)
            assert float(table[place, 2 * i + 1]) == pytest.approx(math.cos(angle), abs=FEW32)


def test_sine_of_mask_counts_valid_places() -> None:
    mask = torch.tensor([[True, False, True, True, False]])
    found = sine_of_mask(mask, 4)[0]
    for place, count in enumerate((1, 1, 2, 3, 3)):
        angle = count / (3 + 1e-6) * 2 * math.pi
        assert float(found[place, 0]) == pytest.approx(math.sin(angle), abs=6 * FEW32)
        assert float(found[place, 3]) == pytest.approx(math.cos(angle / 100), abs=6 * FEW32)


# Moment queries, width, clipping groups, several processes


def test_own_pooled_query_does_not_depend_on_the_batch() -> None:
    model, batch = small_made(moment_query="pooled"), small_batch()
    mean = small_made(moment_query="pooled-batch")
    videos, tracks = model.embed_videos(batch), model.embed_tracks(batch)
    assert model.xpool is not None
    own = torch.stack(
        [model.xpool(videos.pooled, tracks.tokens, tracks.mask)[i, i] for i in range(6)]
    )
    assert torch.allclose(model._content(videos, tracks), own, atol=NETWORK)
    swapped = replace(batch, frame_feats=batch.frame_feats.clone())
    swapped.frame_feats[3:] += 1.0
    assert torch.allclose(model.detect(swapped)[:3], model.detect(batch)[:3], atol=NETWORK)
    assert not torch.allclose(mean.detect(swapped)[:3], mean.detect(batch)[:3], atol=100 * NETWORK)


def test_width_can_be_the_videos() -> None:
    model, batch = small_made(predict_width=False), small_batch()
    found = model.detect(batch)
    assert torch.allclose(found[:, 0, 1], batch.video_seconds / 35)


def test_detections_come_best_first() -> None:
    found = small_made(queries=10).detect(small_batch())
    assert found.shape == (6, 10, 3)
    assert (found[:, :-1, 2] >= found[:, 1:, 2]).all()


@pytest.mark.parametrize("variant", sorted(ABLATIONS))
def test_clipping_groups_share_out_all_parameters(variant: str) -> None:
    model = small_made(**ABLATIONS[variant])
    groups = model.parameter_groups()
    assert list(groups) == ["embedding", "matching", "detection"]
    ids = [id(p) for group in groups.values() for p in group]
    assert len(ids) == len(set(ids)) and set(ids) == {id(p) for p in model.parameters()}
    assert {id(p) for p in groups["embedding"]} == {
        id(p) for tower in (model.video, model.music) for p in tower.parameters()
    }


@pytest.mark.parametrize("variant", ["full", "query_xpool"])
def test_gathered_halves_equal_the_whole(variant: str) -> None:
    """Two processes, played by two halves of a batch: summed gradients are those of the whole."""
    model, batch = small_made(**ABLATIONS[variant]), small_batch()
    whole = total(model, batch)
    expected = gradients(model, whole)
    videos, tracks = model.embed_videos(batch), model.embed_tracks(batch)
    losses_ = []
    for start in (0, 3):
        part = slice(start, start + 3)
        half = replace(
            batch,
            frame_feats=batch.frame_feats[part],
            frame_mask=batch.frame_mask[part],
            segment_feats=batch.segment_feats[part],
            segment_mask=batch.segment_mask[part],
            video_seconds=batch.video_seconds[part],
            track_ids=batch.track_ids[part],
            spans=batch.spans[part] if batch.spans is not None else None,
        )

        def gather(
            own_videos: Embedded, own_tracks: Embedded, _: tuple[str, ...], start: int = start
        ) -> tuple[Embedded, Embedded, tuple[str, ...], int]:
            for own, all_ in ((own_videos, videos), (own_tracks, tracks)):
                assert torch.allclose(own.pooled, all_.pooled[start : start + 3], atol=FEW32)
            return videos, tracks, batch.track_ids, start

        losses_.append(torch.stack(list(model.loss(half, gather).values())).sum())
    mean = (losses_[0] + losses_[1]) / 2
    assert torch.allclose(mean, whole, atol=NETWORK)
    assert_same_gradients(expected, gradients(model, mean))


def test_config_names_are_the_papers_rows() -> None:
    assert len(ABLATIONS) == 14
    configs = {name: MadeConfig(**change) for name, change in ABLATIONS.items()}
    assert configs["full"] == MadeConfig()
    assert len(set(configs.values())) == 14
