"""Pseudo-events, their assignment to predictions, and slots, against the plain way to get them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from detector_support import small
from mgsv.assignment import assign
from mgsv.models.clusters import SlotAttention
from mgsv.models.eatr import EaTR
from mgsv.models.events import Events, event_losses, events_between_changes
from mgsv.models.losses import generalised_iou
from model_support import small_batch
from tolerances import NETWORK

# Pseudo-events


def plain_events(features: Tensor, count: int, over: int) -> list[tuple[float, float]]:
    """(centre, width) of one row of `count` places, its mean novelty taken over `over` places."""
    length = len(features)
    x = [row / max(float(row.norm()), 1e-8) for row in features[:count]]
    x += [torch.zeros_like(features[0])] * (length - count)
    sign = [1, 1, 0, -1, -1]
    novelty = [0.0] * length
    for i in range(length):
        for a, b in itertools.product(range(5), range(5)):
            row, column = i + a - 2, i + b - 2
            if 0 <= row < length and 0 <= column < length:
                novelty[i] += sign[a] * sign[b] * float(x[row] @ x[column])
    mean = sum(novelty[:over]) / over
    novelty[0] = novelty[count - 1] = 100
    changes = [
        i for i in range(over) if novelty[i] >= max(novelty[i - 1], novelty[(i + 1) % length], mean)
    ]
    return [((a + b) / 2, b - a) for a, b in itertools.pairwise(changes)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 13), min_size=1, max_size=4),
    st.booleans(),
    st.integers(0, 10_000),
)
def test_pseudo_events_are_those_of_a_plain_loop(
    counts: list[int], masked: bool, seed: int
) -> None:
    length = max(counts) + seed % 3
    g = torch.Generator().manual_seed(seed)
    features = torch.randn(len(counts), length, 3, generator=g, dtype=torch.float64)
    mask = torch.arange(length) < torch.tensor(counts)[:, None]
    spans, numbers = events_between_changes(features, mask, mask if masked else mask | True)
    for row, count in enumerate(counts):
        expected = plain_events(features[row], count, count if masked else length)
        assert [tuple(span) for span in spans[row, : numbers[row]].tolist()] == expected
        assert not spans[row, numbers[row] :].any()


def test_pseudo_events_begin_where_the_track_changes() -> None:
    """Three parts of 6, 5 and 4 places, each of one feature; padding is not an event."""
    parts = torch.eye(3).repeat_interleave(torch.tensor([6, 5, 4]), dim=0)
    features = torch.cat([parts, torch.full((3, 3), 7.0)])[None]
    mask = torch.arange(18)[None] < 15
    spans, counts = events_between_changes(features, mask, mask)
    starts, ends = (spans[0, :, 0] + side * spans[0, :, 1] / 2 for side in (-1, 1))
    # Two places are equally new at a change: the last of the old part and the first of the new.
    assert starts.tolist() == [0, 5, 6, 10, 11] and ends.tolist() == [5, 6, 10, 11, 14]
    assert counts.tolist() == [5]


# Assignment


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_assignment_is_the_cheapest_of_all(data: st.DataObject) -> None:
    tables, rows, most = (data.draw(st.integers(*ends)) for ends in ((1, 3), (1, 4), (0, 5)))
    columns = [data.draw(st.integers(0, most)) for _ in range(tables)]
    numbers = st.integers(-40, 40)  # small and whole: equal costs are frequent
    flat = data.draw(
        st.lists(numbers, min_size=tables * rows * most, max_size=tables * rows * most)
    )
    cost = np.array(flat, dtype=np.float64).reshape(tables, rows, most)
    found = assign(cost, np.array(columns))
    assert found.shape == (tables, rows)
    for table, row_of, count in zip(cost, found, columns, strict=True):
        assigned = [(i, int(j)) for i, j in enumerate(row_of) if j >= 0]
        assert len({j for _, j in assigned}) == len(assigned) == min(rows, count)
        assert all(j < count for _, j in assigned)
        assert sum(table[i, j] for i, j in assigned) == cheapest(table[:, :count])


def cheapest(table: np.ndarray) -> float:
    if table.shape[0] > table.shape[1]:
        table = table.T
    orders = itertools.permutations(range(table.shape[1]), table.shape[0])
    return min(sum(table[i, j] for i, j in enumerate(order)) for order in orders)


def test_event_losses_are_means_over_the_cheapest_pairs() -> None:
    g = torch.Generator().manual_seed(3)
    spans = torch.rand(3, 3, 2, generator=g, dtype=torch.float64)
    events = Events(torch.rand(3, 4, 2, generator=g, dtype=torch.float64), torch.tensor([4, 2, 0]))
    pairs = []
    for found, truth, count in zip(*(spans, *events), strict=True):
        choices = {}
        for order in itertools.permutations(range(3)):
            for chosen in itertools.combinations(range(int(count)), min(3, int(count))):
                both = [*zip(order, chosen, strict=False)]
                cost = sum(
                    10 * float((found[q] - truth[e]).abs().sum())
                    - float(generalised_iou(found[q], truth[e]))
                    for q, e in both
                )
                choices[cost] = [(found[q], truth[e]) for q, e in both]
        pairs += choices[min(choices)]
    assert len(pairs) == 5
    span, giou = event_losses(spans, events, span_cost=10.0, giou_cost=1.0)
    expected = sum(float((a - b).abs().mean()) for a, b in pairs) / 5
    assert float(span) == pytest.approx(expected)
    assert float(giou) == pytest.approx(sum(1 - float(generalised_iou(a, b)) for a, b in pairs) / 5)


def test_rows_without_events_have_no_loss_of_them() -> None:
    spans = torch.rand(2, 3, 2, requires_grad=True)
    none = Events(torch.zeros(2, 0, 2), torch.tensor([0, 0]))
    total = torch.stack(event_losses(spans, none, 10.0, 1.0)).sum()
    assert float(total.detach()) == 0
    total.backward()
    assert spans.grad is not None and not spans.grad.any()


# Slots


def test_one_slot_is_as_good_as_many_that_are_alike() -> None:
    """The authors start 30 equal slots; equal they stay."""
    torch.manual_seed(0)
    attention = SlotAttention(8, 12, mlp_layers=3, rounds=5)
    slot, x = torch.randn(2, 1, 8), torch.randn(2, 7, 8)
    mask = torch.arange(7) < torch.tensor([[7], [3]])
    for seen in (mask, mask | True):
        one, many = (attention(slot.expand(2, n, 8), x, mask, seen) for n in (1, 4))
        torch.testing.assert_close(one.expand(2, 4, 8), many, rtol=0, atol=NETWORK)


def test_unseen_places_win_no_share() -> None:
    torch.manual_seed(0)
    attention = SlotAttention(8, 8, mlp_layers=2, rounds=3)
    slots, x = torch.randn(1, 3, 8), torch.randn(1, 7, 8)
    mask = torch.arange(7)[None] < 4
    cut = attention(slots, x[:, :4], mask[:, :4], mask[:, :4])
    torch.testing.assert_close(attention(slots, x, mask, mask), cut)
    assert not torch.allclose(attention(slots, x, mask, mask | True), cut, atol=1e-3)


def test_event_losses_take_events_in_the_unit_of_the_spans() -> None:
    batch = small_batch(segment_counts=[14, 7, 10, 3, 2, 1])
    counts = torch.tensor([14, 7, 10, 3, 2, 1])
    seen = []
    for norm, unit in (("max", torch.full((6,), 14)), ("valid", counts)):
        model = small("eatr", span_norm=norm, mask_padding=True)
        assert isinstance(model, EaTR)
        spans, numbers = model.pseudo_events(batch.segment_feats, batch.segment_mask)
        ends = (spans[..., 0] + spans[..., 1] / 2).amax(dim=1)
        assert (ends == counts - 1).all()  # the last event ends with the track
        found = model.detection(batch)
        expected = model.event_losses(found, Events(spans / unit[:, None, None], numbers))
        terms = model.own_terms(found, batch, None)
        torch.testing.assert_close(terms["event_span"], 30 * expected[0])
        torch.testing.assert_close(terms["event_giou"], 3 * expected[1])
        seen.append(float(expected[0].detach()))
    assert seen[0] != seen[1]
