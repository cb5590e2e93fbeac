"""Few vectors that stand for the places of a sequence: centroids and slots.

Centroids are found by expectation-maximisation, and a walk leads between them and the places
(UVCOM, CVPR 2024). Slots share the places out among themselves by attention (NeurIPS 2020), one
round after another, as the moment DETRs have it. B rows, L places, K centroids, S slots, d width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgsv.models.blocks import MLP
from mgsv.models.detr import initialise_xavier

_VARIANCE = 1.2**2
"""Of the Gaussians around directions; the authors' value."""
_SHARPNESS = 5.0
"""Of the cosines that the walk follows; the authors' value."""


class Centroids(nn.Module):
    """Expectation-maximisation from learned starts, unrolled; gradients go through all rounds.

    Places belong to centroids by the distance of their directions. Of unit vectors it is their
    product alone that decides, as the squares cancel in the softmax.
    """

    def __init__(self, count: int, dim: int, rounds: int) -> None:
        super().__init__()
        self.rounds = rounds
        self.start = nn.Parameter(nn.init.xavier_uniform_(torch.empty(count, dim)))

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """Centroids [B, K, d] of x [B, L, d]; only places of `seen` [B, L] count."""
        centroids = self.start.expand(x.shape[0], -1, -1)
        keys = _direction(x).transpose(1, 2) / _VARIANCE
        for _ in range(self.rounds):
            share = (_direction(centroids) @ keys).softmax(dim=1) * seen[:, None]
            centroids = _per_place(share) @ x
        return centroids


def representative(centroids: Tensor, others: Tensor) -> Tensor:
    """The centroid [B, d] of [B, K, d] that is nearest to all `others` [B, J, d] in the mean."""
    towards = _direction(others).mean(dim=1, keepdim=True)
    best = (_direction(centroids) * towards).sum(dim=-1).argmax(dim=1)
    return centroids[torch.arange(best.shape[0], device=best.device), best]


def random_walk(x: Tensor, centroids: Tensor, seen: Tensor, onward: float = 0.5) -> Tensor:
    """Places [B, L, d] after an endless walk to centroids [B, K, d] and back, of x [B, L, d].

    The walk goes on with probability `onward`. Z [K, L] are the shares of centroids in places, Y
    the same with rows of sum 1, and W = `onward`; only places of `seen` [B, L] are walked. What is
    asked for is (1 - W) (I - W² Zᵀ Y)⁻¹ B with B = W Zᵀ c + x: an L × L system, which Woodbury's
    identity reduces to a K × K one: (I - W² Zᵀ Y)⁻¹ B = B + W² Zᵀ (I - W² Y Zᵀ)⁻¹ Y B.
    """
    cosines = F.normalize(centroids, dim=-1) @ F.normalize(x, dim=-1).transpose(1, 2)
    z = (_SHARPNESS * cosines).softmax(dim=1) * seen[:, None]
    y, back = _per_place(z), z.transpose(1, 2)
    known = onward * back @ centroids + x
    step = onward**2 * y @ back
    walked = known + onward**2 * back @ _solved(step, y @ known)
    settled: Tensor = (1 - onward) * walked
    return settled


def _solved(step: Tensor, known: Tensor) -> Tensor:
    """(I - step)⁻¹ known, of steps [B, K, K] whose rows sum to `onward`² at most."""
    if torch.onnx.is_in_onnx_export():
        # ONNX cannot solve. The series of powers has a quarter of its error left after each term.
        found = known
        for _ in range(15):
            found = known + step @ found
    else:
        found = torch.linalg.solve(torch.eye(step.shape[1]).to(step) - step, known)
    return found


def _direction(x: Tensor) -> Tensor:
    direction: Tensor = x / (x.norm(dim=-1, keepdim=True) + 1e-9)
    return direction


def _per_place(share: Tensor) -> Tensor:
    """Shares [B, K, L] with rows of sum 1."""
    return share / (share.sum(dim=-1, keepdim=True) + 1e-9)


class SlotAttention(nn.Module):
    """A single head, no dropout; every round adds to the slots what they have won, then an MLP.

    One slot wins every place, whatever its query and the keys: they are then left out, and their
    weights, like the slots' norm, stay as they are.
    """

    def __init__(self, dim: int, hidden: int, mlp_layers: int, rounds: int) -> None:
        super().__init__()
        self.rounds = rounds
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))
        self.norm_inputs, self.norm_slots = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.norm_mlp, self.norm_out = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.mlp = MLP(dim, hidden, dim, mlp_layers)
        initialise_xavier(self)

    def forward(self, slots: Tensor, x: Tensor, mask: Tensor, seen: Tensor) -> Tensor:
        """Slots [B, S, d] after all rounds, from slots [B, S, d] and x [B, L, d].

        `mask` [B, L] says which places compete for slots. The others go to all slots alike, or to
        none where `seen` [B, L] is False: the authors see them all.
        """
        x = self.norm_inputs(x)
        alone = slots.shape[1] == 1
        keys, values = x if alone else self.key(x), self.value(x)
        share = counted = seen[:, None].to(x)
        for _ in range(self.rounds):
            if not alone:
                scores = self.query(self.norm_slots(slots)) @ keys.transpose(1, 2)
                scores = (scores * x.shape[-1] ** -0.5).masked_fill(~mask[:, None], 0.0)
                share = scores.softmax(dim=1) * counted
            slots = slots + share / (share.sum(dim=-1, keepdim=True) + 1e-8) @ values
            slots = slots + self.mlp(self.norm_mlp(slots))
        out: Tensor = self.norm_out(slots)
        return out
