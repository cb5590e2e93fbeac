"""Which track fits: embeddings, X-Pool and the scores of all pairs in bounded memory.

V videos, M tracks, S segments, d width. Scores are [V, M], rows are videos.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mgsv.models import cpu
from mgsv.models.blocks import Linear
from mgsv.models.cpu.folded import folded_cosines
from mgsv.models.cpu.functional import dropout
from mgsv.models.cpu.groups import rows_by_length
from mgsv.models.masks import softmax_over, visible

PAIRS_AT_ONCE = 8192
"""Pairs whose pooled vectors exist at one time on a CPU: 8 MB at d = 256, about what its caches
hold."""
PAIRS_ON_A_GPU = 1 << 18
"""The same elsewhere, where small pieces leave most of the device idle: 268 MB at d = 256."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """One modality of N rows, embedded: each place, and their normalised mean."""

    tokens: Tensor
    """[N, L, d], zero where not valid."""
    mask: Tensor
    """[N, L] bool, True = valid."""
    pooled: Tensor
    """[N, d], of length 1 (or 0 for a row without anything)."""

    def __len__(self) -> int:
        return self.pooled.shape[0]

    def __getitem__(self, rows: Tensor | slice) -> Embedded:
        return Embedded(self.tokens[rows], self.mask[rows], self.pooled[rows])

    def to(self, device: torch.device | str) -> Embedded:
        return Embedded(self.tokens.to(device), self.mask.to(device), self.pooled.to(device))

    def summary(self) -> Embedded:
        """The rows without their places: all that a video is to any track."""
        return Embedded(self.tokens[:, :0], self.mask[:, :0], self.pooled)

    @classmethod
    def cat(cls, parts: list[Embedded]) -> Embedded:
        """All rows of `parts`, whose lengths may differ."""
        length = max(part.mask.shape[1] for part in parts)
        return cls(
            torch.cat([F.pad(p.tokens, (0, 0, 0, length - p.tokens.shape[1])) for p in parts]),
            torch.cat([F.pad(p.mask, (0, length - p.mask.shape[1])) for p in parts]),
            torch.cat([p.pooled for p in parts]),
        )


Gather = Callable[
    [Embedded, Embedded, tuple[str, ...]], tuple[Embedded, Embedded, tuple[str, ...], int]
]
"""(videos, tracks, track ids) of this process → those of all, and where this process' rows start.

Gradients must flow back to the process that an embedding came from."""


class PairScores(NamedTuple):
    """What one pass over all pairs gives."""

    scores: Tensor
    """[V, M] cosine of each video and the track as this video sees it."""
    mean: Tensor
    """[M, d] pooled track, averaged over the videos."""
    own: Tensor
    """[M, d] pooled track m as video m sees it (only for V = M, else empty)."""


class XPool(nn.Module):
    """Text-to-video X-Pool, used video-to-track: a track summarised as one video sees it."""

    def __init__(self, dim: int, rate: float) -> None:
        super().__init__()
        self.dim, self.rate = dim, rate
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(dim) for _ in range(3))
        self.query, self.key, self.value, self.out, self.linear = (
            Linear(dim, dim) for _ in range(5)
        )
        for part in (self.query, self.key, self.value, self.out, self.linear):
            nn.init.eye_(part.weight)
            nn.init.zeros_(part.bias)

    def forward(self, videos: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """h1(M | v) [M, V, d] of pooled videos [V, d] and track tokens [M, S, d]."""
        return self._pool(self.queries(videos), tokens, mask)

    def queries(self, videos: Tensor) -> Tensor:
        """Scaled attention queries [V, d] of pooled videos [V, d]."""
        scaled: Tensor = self.query(self.norm1(videos)) * self.dim**-0.5
        return scaled

    def weights_and_values(
        self, queries: Tensor, tokens: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Attention weights [M, V, S] and values that have passed the output projection [M, S, d].

        The weights sum to 1, so projecting each value before the sum equals projecting the sum:
        M * S projections instead of M * V.
        """
        normed = self.norm1(tokens)
        scores = queries @ self.key(normed).transpose(1, 2)
        weights = softmax_over(scores, visible(mask)[:, None, :])
        return weights, self.out(self.value(normed))

    def _pool(self, queries: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        weights, values = self.weights_and_values(queries, tokens, mask)
        mixed = self.norm2(weights @ values)
        mixed = mixed + dropout(self.linear(mixed), self.rate, self.training)
        pooled: Tensor = self.norm3(mixed)
        return pooled

    def pairs(
        self, videos: Tensor, tracks: Embedded, *, fused: bool, summaries: bool
    ) -> PairScores:
        """Scores of all pairs, with gradients, never holding more than a chunk's pooled vectors.

        `videos` [V, d] pooled. `fused` scores against h0 + h1 instead of h1; `summaries` asks for
        `mean` and `own` too (else empty), taken from the same pass, thus the same dropout.
        Backward recomputes each chunk.
        """
        queries = self.queries(videos)
        groups = _in_pieces(videos, tracks)
        parts = []
        for rows, length in groups:
            tokens, mask = tracks.tokens[rows, :length], tracks.mask[rows, :length]
            own = rows if summaries and len(videos) == len(tracks) else None
            offset = tracks.pooled[rows] if fused else None
            arguments = (videos, queries, tokens, mask, offset, own, summaries)
            if torch.is_grad_enabled():
                parts.append(checkpoint(self._chunk, *arguments, use_reentrant=False))
            else:
                parts.append(self._chunk(*arguments))
        back = torch.cat([rows for rows, _ in groups]).argsort()
        return PairScores(
            *(torch.cat(column)[back] for column in zip(*parts, strict=True))
        )._replace(scores=torch.cat([scores for scores, _, _ in parts])[back].T)

    def _chunk(
        self,
        videos: Tensor,
        queries: Tensor,
        tokens: Tensor,
        mask: Tensor,
        offset: Tensor | None,
        own: Tensor | None,
        summaries: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        pooled = self._pool(queries, tokens, mask)
        target = pooled if offset is None else pooled + offset[:, None]
        # cos(v, x) with a unit v: no normalised copy of x is made.
        scores = torch.linalg.vecdot(target, videos) / target.norm(dim=-1).clamp_min(1e-12)
        mean = pooled.mean(dim=1) if summaries else pooled[:, 0, :0]
        chosen = pooled[:, 0, :0] if own is None else pooled[torch.arange(len(own)), own]
        return scores, mean, chosen

    @torch.no_grad()
    def scores(self, videos: Tensor, tracks: Embedded, *, fused: bool) -> Tensor:
        """Evaluation's scores [V, M]: those of :meth:`pairs`, folded where that is cheaper."""
        if self.training:
            raise RuntimeError("folded scores leave dropout out: call eval() first")
        # With few videos the Gram matrices would cost more than they save.
        if not cpu.enabled() or len(videos) < tracks.mask.shape[1]:
            return self.pairs(videos, tracks, fused=fused, summaries=False).scores
        queries = self.queries(videos)
        groups = _in_pieces(videos, tracks)
        result = videos.new_empty(len(videos), len(tracks))
        for rows, length in groups:
            tokens, mask = tracks.tokens[rows, :length], tracks.mask[rows, :length]
            result[:, rows] = folded_cosines(
                videos,
                *self.weights_and_values(queries, tokens, mask),
                tracks.pooled[rows] if fused else None,
                self.norm2,
                self.linear,
                self.norm3,
            ).T
        return result


def _in_pieces(videos: Tensor, tracks: Embedded) -> list[tuple[Tensor, int]]:
    """Groups of `tracks` that have not too many pairs with `videos`, as `rows_by_length`."""
    pairs = PAIRS_AT_ONCE if videos.device.type == "cpu" else PAIRS_ON_A_GPU
    return rows_by_length(tracks.mask, max(1, pairs // max(1, len(videos))) * tracks.mask.shape[1])


class PairScorer(Protocol):
    """What :func:`rerank_all` needs of a model."""

    def pair_scores(self, videos: Embedded, tracks: Embedded) -> Tensor: ...


def rerank_all(
    model: PairScorer, videos: Embedded, tracks: Embedded, tracks_at_once: int = 256
) -> Tensor:
    """Final scores of every pair, [V, M] on the CPU, tracks taken in chunks.

    `tracks` may live on another device (or a memory map) than the model: a chunk at a time is
    moved to where `videos` are.
    """
    device = videos.pooled.device
    return torch.cat(
        [
            model.pair_scores(videos, tracks[start : start + tracks_at_once].to(device)).cpu()
            for start in range(0, len(tracks), tracks_at_once)
        ],
        dim=1,
    )


def log_temperature(temperature: float) -> nn.Parameter:
    """A learnable τ; logits are scores * exp(τ)."""
    return nn.Parameter(torch.tensor(math.log(1 / temperature)))
