"""What every detector must do, and what is its own, where golden files cannot decide."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from detector_support import DETECTORS, OWN, SMALL, pairs, small
from mgsv.data.batch import Batch
from mgsv.errors import ConfigError
from mgsv.models.blocks import MLP, TokenSequence
from mgsv.models.cross import CrossModal, scrambled_mask
from mgsv.models.dab import DABDecoder, inverse_sigmoid, reference_sine
from mgsv.models.detection import SpanDetector, endpoints
from mgsv.models.losses import DetectorOutput, focal_label_loss, info_nce
from mgsv.models.matching import Embedded
from mgsv.models.registry import Detects, Matches, Reranks, about, build, config_of, list_models
from mgsv.models.tr_detr import TRDETR, within
from mgsv.moment import iou, spans_to_moments
from model_support import assert_same_gradients, gradients, small_batch
from tolerances import FEW32, NETWORK


def loss(model: SpanDetector, batch: Batch) -> Tensor:
    return torch.stack([*model.loss(batch).values()]).sum()


def said(model: SpanDetector, batch: Batch) -> Tensor:
    """[B, L, Q, 4] spans and logits; unlike a ranking, they cannot flip by a rounding."""
    with torch.no_grad():
        found = model.detection(batch)
    return torch.cat([found.spans, found.logits], dim=-1).transpose(0, 1)


def rows_of(batch: Batch, rows: slice) -> Batch:
    assert batch.spans is not None
    return Batch(
        batch.frame_feats[rows],
        batch.frame_mask[rows],
        batch.segment_feats[rows],
        batch.segment_mask[rows],
        batch.video_seconds[rows],
        batch.track_seconds[rows],
        batch.video_ids[rows],
        batch.track_ids[rows],
        batch.spans[rows],
    )


def padded(batch: Batch, frames: int, segments: int) -> Batch:
    """The same with more slots, which hold rubbish."""

    def longer(feats: Tensor, mask: Tensor, length: int) -> tuple[Tensor, Tensor]:
        more = torch.full((len(feats), length - feats.shape[1], feats.shape[2]), float("nan"))
        return torch.cat([feats, more], dim=1), torch.cat([mask, more[..., 0] > 0], dim=1)

    frame_feats, frame_mask = longer(batch.frame_feats, batch.frame_mask, frames)
    segment_feats, segment_mask = longer(batch.segment_feats, batch.segment_mask, segments)
    return replace(
        batch,
        frame_feats=frame_feats,
        frame_mask=frame_mask,
        segment_feats=segment_feats,
        segment_mask=segment_mask,
    )


# The registry


@pytest.mark.parametrize("name", list_models())
def test_abilities_are_those_of_the_interface(name: str) -> None:
    with torch.device("meta"):
        model = build(name)
    protocols = {"match": Matches, "rerank": Reranks, "detect": Detects}
    can = {ability: isinstance(model, protocol) for ability, protocol in protocols.items()}
    assert about(name).abilities == {ability for ability, yes in can.items() if yes}
    assert all(name in list_models(ability) for ability in about(name).abilities)
    assert about(name).title and about(name).paper


def test_plus_is_the_same_without_cross_modal_layers() -> None:
    for name in ("qd_detr", "tr_detr"):
        full, plus = config_of(name), config_of(f"{name}_plus")
        assert replace(full, cross=False) == plus
        assert name not in list_models("match")
        with torch.device("meta"):
            sizes = [sum(p.numel() for p in build(n).parameters()) for n in (name, f"{name}_plus")]
        assert sizes[0] - sizes[1] == 2 * 789_761


# Padding, batches, groups


@pytest.mark.sampled
@pytest.mark.parametrize("name", DETECTORS)
def test_other_rows_and_their_lengths_never_matter(name: str) -> None:
    model, batch = small(name), small_batch()
    whole = said(model, batch)
    for row in range(6):
        alone = said(model, rows_of(batch, slice(row, row + 1)).trimmed())
        torch.testing.assert_close(alone[0], whole[row], rtol=0, atol=NETWORK)


@pytest.mark.parametrize("name", DETECTORS)
def test_detections_are_the_last_layers_best_first(name: str) -> None:
    model, batch = small(name), small_batch()
    answer, last = model.detect(batch), said(model, batch)[:, -1]
    assert answer.shape == (6, 3, 3)
    assert (answer[:, :-1, 2] >= answer[:, 1:, 2]).all()
    share = last[..., 2:].softmax(dim=-1)[..., 0]
    torch.testing.assert_close(answer[:, 0, 2], share.amax(dim=1))
    best = last[torch.arange(6), share.argmax(dim=1), :2]
    torch.testing.assert_close(answer[:, 0, :2], best)


@pytest.mark.sampled
@pytest.mark.parametrize("name", DETECTORS)
def test_padding_does_not_matter_where_it_is_masked(name: str) -> None:
    """To the answer and to the loss: also more slots than the features have."""
    batch = small_batch(frame_counts=[4, 2, 3, 1, 4, 2], segment_counts=[8, 3, 5, 7, 1, 2])
    trimmed = batch.trimmed()
    results = []
    for rows, longest in ((trimmed, {}), (padded(trimmed, 9, 14), {}), (batch, {"max_frames": 11})):
        model = small(name, mask_padding=True, **longest)
        results.append((said(model, rows), loss(model, rows)))
    for spans, value in results[1:]:
        torch.testing.assert_close(spans, results[0][0], rtol=0, atol=NETWORK)
        torch.testing.assert_close(value, results[0][1], rtol=0, atol=NETWORK)


@pytest.mark.parametrize("name", DETECTORS)
def test_padding_leaks_where_the_authors_let_it(name: str) -> None:
    batch = small_batch(frame_counts=[4, 2, 3, 1, 4, 2], segment_counts=[8, 3, 5, 7, 1, 2])
    short, long = (small(name, max_frames=9 + n, max_segments=14 + n) for n in (0, 5))
    difference = float((said(short, batch) - said(long, batch)).abs().max())
    assert (difference > 10 * NETWORK) == short.padding_leaks


@pytest.mark.sampled
@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("mask_padding", [False, True])
def test_groups_equal_the_whole(name: str, mask_padding: bool) -> None:
    results = []
    for places in (None, 20):
        model = small(name, mask_padding=mask_padding)
        model.places = places
        value = loss(model, small_batch())
        results.append((said(model, small_batch()), value, gradients(model, value)))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=0, atol=NETWORK)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=NETWORK, atol=NETWORK)
    assert_same_gradients(results[0][2], results[1][2])


@pytest.mark.parametrize("name", DETECTORS)
def test_empty_rows_are_finite(name: str) -> None:
    batch = small_batch()
    nothing = replace(
        batch,
        frame_mask=batch.frame_mask & (torch.arange(6) > 0)[:, None],
        segment_mask=batch.segment_mask & (torch.arange(6) != 1)[:, None],
    )
    model = small(name).train()
    assert all(g.isfinite().all() for g in gradients(model, loss(model, nothing)).values())
    assert model.eval().detect(nothing).isfinite().all()


def test_features_of_other_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="15 places × 10 values"):
        small("qd_detr").detect(small_batch(segments=15))
    with pytest.raises(ConfigError, match=r"9 places × 12 values.* at most 9 × 13"):
        small("qd_detr", frame_dim=13).detect(small_batch())


# Inputs and spans


def test_inputs_are_of_length_1_where_configured_and_zero_in_padding() -> None:
    batch, rows = small_batch(), torch.tensor([4, 1])
    scaled, raw = (
        small("qd_detr", normalise_inputs=yes).inputs(batch, rows) for yes in (True, False)
    )
    for x in (scaled, raw):
        assert x.frames.shape == (2, 5, 12) and x.segments.shape == (2, 7, 10)
        assert not x.frames[~x.frame_mask].any() and not x.segments[~x.segment_mask].any()
    assert torch.equal(raw.segments[0], batch.segment_feats[4, :7])
    lengths = scaled.segments[scaled.segment_mask].norm(dim=-1)
    # The authors add 1e-5 to a norm, which is 3 here.
    torch.testing.assert_close(lengths, torch.ones(13), rtol=0, atol=1e-5)
    ratio = scaled.frames[0, 0] / raw.frames[0, 0]
    torch.testing.assert_close(ratio, ratio[:1].expand(12))


def test_endpoints_cut_the_valid_places_into_equal_parts() -> None:
    mask = torch.tensor([[True, True, False, True, True], [True, False, False, False, False]])
    found = endpoints(mask)
    starts, ends = found[0, mask[0]].T
    assert starts.tolist() == [0, 0.25, 0.5, 0.75] and ends.tolist() == [0.25, 0.5, 0.75, 1]
    assert found[1].tolist() == [[0, 1], [0, 0], [0, 0], [0, 0], [0, 0]]


def test_tef_encodes_where_a_segment_is() -> None:
    """Swapping a track's segments in time changes what the network reads."""
    plain, told = small("moment_detr"), small("moment_detr", tef=True)
    batch = small_batch(segment_counts=[14] * 6)
    rows = torch.arange(6)
    assert told.inputs(batch, rows).segments.shape[-1] == 12
    assert torch.equal(
        told.inputs(batch, rows).segments[..., :10], plain.inputs(batch, rows).segments
    )
    assert told.detect(batch).isfinite().all()


@pytest.mark.parametrize("name", DETECTORS)
def test_spans_of_the_valid_part_become_relative_to_the_canvas(name: str) -> None:
    batch = small_batch(segment_counts=[14, 7, 7, 14, 7, 2])
    canvas, valid = small(name), small(name, span_norm="valid")
    shares = torch.tensor([1, 0.5, 0.5, 1, 0.5, 1 / 7])
    expected = canvas.detect(batch)
    expected[..., :2] *= shares[:, None, None]
    torch.testing.assert_close(valid.detect(batch), expected)
    # So are true ones, read backwards, and cut off where the segments end.
    inside = torch.tensor([[0.5, 0.4]]) * shares[:, None]
    torch.testing.assert_close(valid._truth(inside, batch), torch.tensor([[0.5, 0.4]] * 6))
    beyond = torch.tensor([[0.9, 0.4]]) * shares[:, None]
    torch.testing.assert_close(valid._truth(beyond, batch), torch.tensor([[0.85, 0.3]] * 6))
    assert torch.equal(canvas._truth(beyond, batch), beyond)


# Training


@pytest.mark.sampled
@pytest.mark.parametrize("name", DETECTORS)
def test_terms_are_weighted_and_named(name: str) -> None:
    batch = small_batch()
    terms = small(name).loss(batch)
    assert [*terms][:3] == ["span", "giou", "label"]
    doubled = small(name, span_weight=20.0, label_weight=0.0).loss(batch)
    torch.testing.assert_close(doubled["span"], 2 * terms["span"])
    assert float(doubled["label"].detach()) == 0
    with pytest.raises(ValueError, match="without spans"):
        small(name).loss(replace(batch, spans=None))


PLAINEST = "moment_detr"
"""The others add their parts to it, and are as slow to train."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n == PLAINEST else pytest.mark.thorough) for n in DETECTORS],
)
def test_learns_64_rows_by_heart_from_both_modalities(name: str) -> None:
    batch = pairs()
    assert batch.spans is not None
    model = fitted(name, batch)
    shuffled = torch.arange(64).roll(1)
    wrong = replace(
        batch, frame_feats=batch.frame_feats[shuffled], frame_mask=batch.frame_mask[shuffled]
    )
    right, other = (mean_iou(model.detect(rows), batch.spans) for rows in (batch, wrong))
    assert right >= 0.9
    assert other < right - 0.3


def fitted(name: str, batch: Batch, steps: int = 200) -> SpanDetector:
    still = {"input_dropout": 0.0, "dropout": 0.0}
    sizes = {"max_frames": 5, "max_segments": 12, "canvas_seconds": 30.0}
    sizes |= {"hidden_dim": 32, "feed_forward": 64, "queries": 2}
    torch.manual_seed(0)
    model = build(name, {**SMALL, **OWN.get(name, {}), **still, **sizes, "label_weight": 40.0})
    assert isinstance(model, SpanDetector)
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model, batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


def mean_iou(found: Tensor, truth: Tensor) -> float:
    moments = [spans_to_moments(np.asarray(spans.double())) for spans in (found[:, 0, :2], truth)]
    return float(iou(*moments).mean())


# Shared parts


def test_inverse_sigmoid() -> None:
    x = torch.tensor([-1.0, 0.0, 0.0005, 0.2, 0.5, 0.9, 1.0, 3.0], dtype=torch.float64)
    edge = math.log(1e-3)
    expected = [edge, edge, math.log(1e-3 / 0.9995), *torch.logit(x[3:6]).tolist(), -edge, -edge]
    assert inverse_sigmoid(x).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("dim", [3, 4])
def test_reference_sine(dim: int) -> None:
    found = reference_sine(torch.tensor([0.0, 0.3]), dim)
    assert found.shape == (2, dim)
    for i in range(dim):
        angle = 0.3 * 2 * math.pi / 10000 ** (2 * (i // 2) / dim)
        expected = math.cos(angle) if i % 2 else math.sin(angle)
        assert float(found[1, i]) == pytest.approx(expected, abs=FEW32)


class Shift(nn.Module):
    """A gate that adds its context."""

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        return x + context


def memory(rows: int = 2, places: int = 5, dim: int = 6) -> TokenSequence:
    g = torch.Generator().manual_seed(4)
    shape = rows, places, dim
    mask = torch.arange(places) < torch.tensor([[places], [places - 2]])
    return TokenSequence(torch.randn(shape, generator=g), torch.randn(shape, generator=g), mask)


def test_decoder_references_enter_or_leave_and_train_only_their_own_layer() -> None:
    """At a width whose half is odd."""
    torch.manual_seed(0)
    size = config_of("qd_detr", {"hidden_dim": 6, "heads": 2, "feed_forward": 8}).layer
    entering, leaving = DABDecoder(size, 3), DABDecoder(size, 3, leaving=True)
    leaving.load_state_dict(entering.state_dict())
    start, content = torch.rand(2, 4, 2), torch.randn(2, 4, 6)
    hidden, entered = entering.eval()(content, start, memory())
    same, left = leaving.eval()(content, start, memory())
    assert torch.equal(hidden, same) and hidden.shape == (3, 2, 4, 6)
    assert torch.equal(entered[0], start) and torch.equal(entered[1:], left[:-1])
    step = entering.step_head[0].weight
    (through,) = torch.autograd.grad(entered[1].sum(), step, retain_graph=True)
    (past,) = torch.autograd.grad(hidden[2].sum(), step, allow_unused=True)
    assert through.abs().max() > 0 and past is None


def test_decoder_options_have_their_parts() -> None:
    torch.manual_seed(0)
    size = config_of("qd_detr", {"hidden_dim": 6, "heads": 2, "feed_forward": 8}).layer
    full = DABDecoder(size, 2, full_sine=True, scale_first=True, gate=Shift(), activation=nn.ReLU)
    assert isinstance(full.position_head, MLP) and full.position_head[0].in_features == 12
    owners = [name for name, _ in full.named_modules() if name.endswith("cross_query_position")]
    assert owners == ["layers.0.cross_query_position"]
    content, start = torch.zeros(2, 4, 6), torch.rand(2, 4, 2)
    outs = [full.eval()(content, start, memory(), torch.full((2, 1, 6), c))[0] for c in (0.0, 1.0)]
    assert not torch.allclose(outs[0], outs[1])


def test_cross_modal_context_stays_and_its_padding_is_unseen() -> None:
    torch.manual_seed(0)
    size = config_of("qd_detr", {"hidden_dim": 6, "heads": 2, "feed_forward": 8}).layer
    stack = CrossModal(size, 2).eval()
    x, context = memory(), memory(places=4)
    before = context.tokens.clone()
    plain = stack(x, context)
    assert torch.equal(context.tokens, before)
    louder = context.tokens.masked_fill(~context.mask[..., None], 1e3)
    torch.testing.assert_close(stack(x, context._replace(tokens=louder)), plain)


def test_scrambled_mask_is_the_plain_one_where_rows_are_alike() -> None:
    mask = torch.arange(5) < torch.tensor([[3], [3]])
    context = torch.arange(4) < torch.tensor([[2], [2]])
    same = scrambled_mask(mask, context, 3)
    assert torch.equal(same, context[:, None, None].expand_as(same))
    mixed = torch.arange(4) < torch.tensor([[4], [2]])
    found = scrambled_mask(mask, mixed, 3)
    # Row 0, head 1 obeys row 1, whose places 3 and 4 and keys 2 and 3 are padding.
    assert found[0, 1].tolist() == [[True] * 4] * 3 + [[True, True, False, False]] * 2
    assert found[0, 0].all() and found[0, 2].all()
    assert torch.equal(found[1], mixed[1].expand(3, 5, 4))


def test_focal_label_loss_is_its_formula() -> None:
    g = torch.Generator().manual_seed(0)
    logits, best = torch.randn(2, 3, 4, 2, generator=g).double(), torch.tensor([[0, 3, 1]] * 2)
    found = focal_label_loss()(DetectorOutput(torch.empty(0), logits), torch.empty(0), best)
    for layer in range(2):
        for row in range(3):
            total = 0.0
            for query in range(4):
                for kind in range(2):
                    p = float(logits[layer, row, query, kind].sigmoid())
                    if (query == best[layer, row]) == (kind == 0):
                        total -= 0.25 * (1 - p) ** 2 * math.log(p)
                    else:
                        total -= 0.75 * p**2 * math.log(1 - p)
            assert float(found[layer, row]) == pytest.approx(total / 8)


# TR-DETR's own losses


def test_segments_within_a_moment() -> None:
    spans = torch.tensor([[0.3, 0.2], [0.9, 0.4], [0.55, 0.02]])  # 0.2-0.4, 0.7-1.1, 0.54-0.56
    assert within(spans, 4, 0.25).tolist() == [
        [True, True, False, False],
        [False, False, True, True],
        [False, False, True, False],
    ]


def test_contrasts_prefer_what_belongs_together() -> None:
    model = small("tr_detr")
    assert isinstance(model, TRDETR)
    alike, apart = torch.eye(3), torch.eye(3).roll(1, 0)
    good, bad = (
        float(
            model.contrast(
                DetectorOutput(alike, alike, {"frames": alike, "segments": x}), ("a",) * 3
            )
        )
        for x in (alike, apart)
    )
    assert good < 1e-4 and bad > 10
    inside = torch.tensor([[True, False, False]])
    values = [
        float(model.inside(DetectorOutput(alike, alike, {"agreement": x}), inside, inside | True))
        for x in (torch.tensor([[1.0, -1, -1]]), torch.tensor([[-1.0, 1, 1]]))
    ]
    assert values[0] < 1e-4 and values[1] > 10


def test_contrast_of_several_processes_is_that_of_all_rows() -> None:
    model, batch = small("tr_detr"), small_batch()
    assert isinstance(model, TRDETR)
    whole = model.loss(batch)
    everything = model.detection(batch).aside

    def gather(
        videos: Embedded, tracks: Embedded, ids: tuple[str, ...]
    ) -> tuple[Embedded, Embedded, tuple[str, ...], int]:
        assert len(videos) == len(tracks) == len(ids) == 3
        rows = (everything["frames"], everything["segments"])
        both = (Embedded(x[:, None], torch.ones(6, 1, dtype=torch.bool), x) for x in rows)
        return *both, batch.track_ids, 0

    half = model.loss(rows_of(batch, slice(0, 3)), gather)
    torch.testing.assert_close(half["contrast"], whole["contrast"])
    scores = everything["frames"] @ everything["segments"].T / 0.07
    torch.testing.assert_close(whole["contrast"], 0.3 * info_nce(scores))
