"""UVCOM's own parts against their definitions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from detector_support import small
from mgsv.models.clusters import Centroids, random_walk, representative
from mgsv.models.losses import DetectorOutput, info_nce
from mgsv.models.registry import build
from mgsv.models.uvcom import UVCOM, Neighbours
from model_support import small_batch
from tolerances import NETWORK


def sample(rows: int, places: int, seed: int, dim: int = 6) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(rows, places, dim, generator=g, dtype=torch.float64)


MASK = torch.arange(9) < torch.tensor([[9], [4]])


def test_walk_solves_its_system_of_places() -> None:
    """The K x K system gives what the L x L one of the paper does."""
    x, centroids = sample(2, 9, 0), sample(2, 3, 1)
    for seen in (MASK, MASK | True):
        z = (5 * F.normalize(centroids, dim=-1) @ F.normalize(x, dim=-1).mT).softmax(dim=1)
        z = z * seen[:, None]
        y = z / (z.sum(dim=2, keepdim=True) + 1e-9)
        system = torch.eye(9, dtype=torch.float64) - 0.25 * z.mT @ y
        expected = 0.5 * torch.linalg.inv(system) @ (0.5 * z.mT @ centroids + x)
        torch.testing.assert_close(random_walk(x, centroids, seen), expected)


def test_walk_and_centroids_leave_unseen_places_out() -> None:
    x, centroids = sample(2, 9, 0), sample(2, 3, 1)
    cut = random_walk(x[1:, :4], centroids[1:], MASK[1:, :4])
    torch.testing.assert_close(random_walk(x, centroids, MASK)[1:, :4], cut)
    assert not torch.allclose(random_walk(x, centroids, MASK | True)[1:, :4], cut, atol=1e-3)
    model = Centroids(3, 6, rounds=5).double()
    torch.testing.assert_close(model(x, MASK)[1:], model(x[1:, :4], MASK[1:, :4]))
    assert not torch.allclose(model(x, MASK | True)[1:], model(x, MASK)[1:], atol=1e-3)


def test_centroids_are_means_by_the_distance_of_directions() -> None:
    x, model = sample(1, 9, 2), Centroids(3, 6, rounds=5).double()
    found = model.start.detach()
    for _ in range(5):
        distance = torch.cdist(F.normalize(found, dim=-1), F.normalize(x[0], dim=-1)) ** 2
        share = (-distance / (2 * 1.2**2)).softmax(dim=0)
        found = torch.stack([(w[:, None] * x[0]).sum(dim=0) / w.sum() for w in share])
    torch.testing.assert_close(model(x, MASK[:1])[0], found)


def test_representative_is_the_nearest_to_all() -> None:
    centroids = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]]])
    others = torch.tensor([[[5.0, 0.0], [0.0, 1.0]]])
    assert representative(centroids, others).tolist() == [[3, 3]]  # mean cosine 0.71, else 0.5
    assert representative(centroids, others[:, :1]).tolist() == [[1, 0]]


def test_neighbours_of_the_last_place_are_zero_where_padding_is_unseen() -> None:
    torch.manual_seed(0)
    model, x = Neighbours(6), sample(2, 9, 0).float() * MASK[..., None]
    cut = model(x[1:, :4], MASK[1:, :4])
    torch.testing.assert_close(model(x, MASK)[1:, :4], cut)
    assert not torch.allclose(model(x, MASK | True)[1:, 3], cut[:, 3], atol=10 * NETWORK)


def test_the_similarity_loss_exists_with_its_mlps_alone() -> None:
    batch = small_batch()
    assert "similarity" in small("uvcom", similarity=True).loss(batch)
    assert "similarity" not in small("uvcom").loss(batch)
    plus = small("uvcom_plus", similarity_weight=2.0)
    once = small("uvcom_plus").loss(batch)["similarity"]
    torch.testing.assert_close(plus.loss(batch)["similarity"], 2 * once)
    with torch.device("meta"):
        sizes = [
            sum(p.numel() for p in build("uvcom", {"similarity": on}).parameters())
            for on in (True, False)
        ]
    assert sizes[0] - sizes[1] == 3_150_336


def test_similarity_loss_is_its_two_halves() -> None:
    model = small("uvcom_plus")
    assert isinstance(model, UVCOM)
    g = torch.Generator().manual_seed(0)
    videos, tracks = (F.normalize(torch.randn(3, 4, generator=g), dim=-1) for _ in range(2))
    share = torch.randn(3, 8, generator=g).log_softmax(dim=-1)
    spans = torch.tensor([[0.5, 0.5], [0.3, 0.2], [0.06, 0.05]])  # places 2-5, 1-2, none
    within = [(0, [2, 3, 4, 5]), (1, [1, 2]), (2, [])]
    inside = sum(float(share[row, place]) for row, places in within for place in places) / (3 * 8)
    found = DetectorOutput(spans, spans, {"videos": videos, "tracks": tracks, "inside": share})
    value = model.similarity_loss(
        found, spans, torch.full((3,), 8), torch.ones(3, 8, dtype=torch.bool), ("a", "b", "c")
    )
    expected = (float(info_nce(videos @ tracks.T)) - inside) / 2
    assert float(value) == pytest.approx(expected, rel=NETWORK)
