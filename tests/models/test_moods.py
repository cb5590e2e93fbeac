"""Targets that like tracks share in, and the heads that tell how the other side is."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mgsv.data.batch import Batch
from mgsv.errors import ConfigError
from mgsv.models.losses import info_nce, within
from mgsv.models.matching import Embedded
from mgsv.models.moods import Moods, like_targets, masked_mean
from model_support import small_batch, small_made


@settings(deadline=None)
@given(rows=st.integers(1, 9), share=st.floats(0, 0.9), seed=st.integers(0, 99))
def test_like_targets_share_one_row_among_all(rows: int, share: float, seed: int) -> None:
    features = torch.randn(rows, 5, generator=torch.Generator().manual_seed(seed))
    targets = like_targets(features, share, 0.1)
    assert torch.allclose(targets.sum(dim=1), torch.ones(rows), atol=1e-5)
    own = 1 - share if rows > 1 else 1.0
    assert torch.allclose(targets.diagonal(), torch.full((rows,), own), atol=1e-5)


def test_the_share_goes_to_the_like_track() -> None:
    calm, loud = torch.tensor([1.0, 0.0, 0.2]), torch.tensor([0.0, 1.0, 0.7])
    targets = like_targets(torch.stack([calm, loud, calm + 0.01, loud - 0.01]), 0.4, 0.1)
    assert [int(row.argsort(descending=True)[1]) for row in targets] == [2, 3, 0, 1]
    assert (targets.sort(dim=1).values[:, 2] > 0.39).all()


def test_tracks_that_are_all_the_same_share_evenly() -> None:
    targets = like_targets(torch.ones(4, 3), 0.3, 0.1)
    others = targets[~torch.eye(4, dtype=torch.bool)]
    assert torch.allclose(others, torch.full((12,), 0.1))


def test_info_nce_with_targets_of_the_true_pairs_alone_is_the_plain_one() -> None:
    scores = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(info_nce(scores, targets=torch.eye(5)), info_nce(scores))


def test_info_nce_is_the_cross_entropy_with_its_targets() -> None:
    g = torch.Generator().manual_seed(1)
    scores, targets = torch.randn(4, 4, generator=g), torch.rand(4, 4, generator=g).softmax(dim=1)
    a, t = scores.double().numpy(), targets.double().numpy()

    def entropy(logits: np.ndarray) -> float:
        share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return float(-(t * np.log(share)).sum(axis=1).mean())

    expected = (entropy(a) + entropy(a.T)) / 2
    assert float(info_nce(scores, targets=targets)) == pytest.approx(expected, rel=1e-5)


def test_a_masked_mean_sees_valid_places_alone() -> None:
    features = torch.tensor([[[1.0], [3.0], [float("nan")]], [[float("inf")]] * 3])
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]])
    assert masked_mean(features, mask).tolist() == [[2.0], [0.0]]


def test_a_head_that_tells_the_other_side_loses_nothing() -> None:
    batch = small_batch(6)
    moods = Moods(16, 12, 10)
    look = masked_mean(batch.frame_feats, batch.frame_mask)
    spans = torch.tensor([[0.5, 1.0]]).expand(6, 2)  # the moment is the whole track
    sound = masked_mean(batch.segment_feats, batch.segment_mask)
    with torch.no_grad():
        for head, true in ((moods.sound, sound), (moods.look, look)):
            centred = (true - true.mean(0)) / true.std(0, correction=0)
            head.weight.zero_()
            head.weight[:, :6] = centred.T
            head.bias.zero_()

    def one_hot() -> Embedded:
        pooled = F.pad(torch.eye(6), (0, 10))
        return Embedded(pooled[:, None], torch.ones(6, 1, dtype=torch.bool), pooled)

    loss = moods(replace(batch, spans=spans), one_hot(), one_hot(), 1 / 14)
    assert loss.item() == pytest.approx(0, abs=1e-5)


def test_the_batch_of_all_processes_counts() -> None:
    """Two processes of three rows each, beside one of six."""
    batch = small_batch(6)
    model = small_made(mood_weight=1.0, like_share=0.3)
    whole = model.loss(batch)
    videos, tracks = model.embed_videos(batch), model.embed_tracks(batch)
    moods = model.moods
    assert moods is not None
    looks = masked_mean(batch.frame_feats, batch.frame_mask)
    inside = within(batch.spans, batch.segment_mask.shape[1], 1 / 14)
    sounds = masked_mean(batch.segment_feats, inside & batch.segment_mask)
    halves = []
    for start in (0, 3):

        def gather(
            a: Embedded, b: Embedded, ids: tuple[str, ...], start: int = start
        ) -> tuple[Embedded, Embedded, tuple[str, ...], int]:
            """Of features as wide as the frames', those of all rows; else of the segments."""
            every = looks if a.pooled.shape[1] == looks.shape[1] else sounds
            rows = Embedded(a.tokens[:1].expand(6, -1, -1), a.mask[:1].expand(6, -1), every)
            assert torch.equal(every[start : start + 3], a.pooled)
            return rows, rows, ids * 2, start

        part = rows_of(batch, slice(start, start + 3))
        rows = slice(start, start + 3)
        halves.append(moods(part, videos[rows], tracks[rows], 1 / 14, gather))
    assert torch.stack(halves).mean().item() == pytest.approx(whole["mood"].item(), abs=1e-5)


def rows_of(batch: Batch, rows: slice) -> Batch:
    values = {field.name: getattr(batch, field.name)[rows] for field in fields(Batch)}
    return Batch(**values)


def test_the_published_network_has_neither() -> None:
    assert not [name for name in small_made().state_dict() if name.startswith("moods")]
    assert "mood" not in small_made().loss(small_batch(4))


def test_both_reach_the_towers() -> None:
    plain = small_made(mood_weight=1.0)
    loss = plain.loss(small_batch(4))
    loss["mood"].backward()

    def reached(tower: torch.nn.Module) -> Tensor:
        return torch.stack([p.grad.abs().sum() for p in tower.parameters() if p.grad is not None])

    assert reached(plain.video).sum() > 0
    assert reached(plain.music).sum() > 0


@pytest.mark.parametrize(
    "changes",
    [{"like_share": 1.0}, {"like_temperature": 0.0}, {"like_share": 0.2, "mask_same_track": True}],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        small_made(**changes)
