"""The functions of networks as modules that can be traced into graphs.

Rows of tracks and lengths of both sides are free, and there is one video. Nothing here cuts a batch
to its rows' lengths, as `mgsv.models` does for speed: padding changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mgsv.errors import ConfigError
from mgsv.models.configs import Matching, MomentQuery, SpanNorm
from mgsv.models.detection import SpanDetector
from mgsv.models.embedding import Tower, TwoTowers
from mgsv.models.made import MaDe

ROWS = 3
"""Tracks in what a function is traced with."""
_LENGTHS = {"video": 5, "track": 7}
_COUNTS = {"video": 1, "track": ROWS}


@dataclass(frozen=True)
class Function:
    """A part of a network to trace. free: of each input, the names of the axes of any length."""

    module: nn.Module
    inputs: Mapping[str, Tensor]
    """What it is traced with."""
    outputs: tuple[str, ...]
    free: Mapping[str, Mapping[int, str]]


def functions_of(network: nn.Module) -> dict[str, Function]:
    """What is exported of a network, by name. ConfigError where that is not known."""
    if isinstance(network, TwoTowers):
        inputs, free = _embedded(network)
        functions = {
            "embed_videos": _embedding(network.video),
            "embed_tracks": _embedding(network.music),
            "rerank": Function(_Rerank(network), inputs, ("scores",), free),
        }
        if isinstance(network, MaDe):
            inputs = {**inputs, "seconds": torch.ones(1)}
            detect = _DetectEmbedded(network)
            functions["detect"] = Function(detect, inputs, ("spans", "scores"), free)
        return functions
    if isinstance(network, SpanDetector):
        inputs, free = _features(network)
        answers = _DetectFeatures(network)
        return {"detect": Function(answers, inputs, ("spans", "scores"), free)}
    raise ConfigError(
        f"a {type(network).__name__} cannot be exported", "ground with its checkpoint"
    )


Named = dict[str, Tensor]
Axes = dict[str, dict[int, str]]


def _embedding(tower: Tower) -> Function:
    feats, mask = torch.randn(ROWS, 5, tower.projection.in_features), torch.ones(ROWS, 5) > 0
    free = {0: "rows", 1: "places"}
    inputs = {"feats": feats, "mask": mask}
    return Function(_Embed(tower), inputs, ("tokens", "pooled"), dict.fromkeys(inputs, free))


def _embedded(network: Any) -> tuple[Named, Axes]:
    """One video and some tracks, embedded."""
    inputs: Named = {}
    free: Axes = {}
    for side, length in _LENGTHS.items():
        tokens = torch.randn(_COUNTS[side], length, network.config.hidden_dim)
        inputs |= {
            f"{side}_tokens": tokens,
            f"{side}_mask": tokens[..., 0] < torch.inf,
            f"{side}_pooled": F.normalize(tokens[:, 0], dim=-1),
        }
        rows = {0: "rows"} if side == "track" else {}
        for part in ("tokens", "mask"):
            free[f"{side}_{part}"] = {**rows, 1: f"{side}_places"}
        free[f"{side}_pooled"] = rows
    return inputs, free


def _features(network: SpanDetector) -> tuple[Named, Axes]:
    """One video and some tracks, as features."""
    widths = {"video": network.config.frame_dim, "track": network.config.segment_dim}
    inputs: Named = {}
    free: Axes = {}
    for side, length in _LENGTHS.items():
        feats = torch.randn(_COUNTS[side], length, widths[side])
        inputs |= {f"{side}_feats": feats, f"{side}_mask": feats[..., 0] < torch.inf}
        rows = {0: "rows"} if side == "track" else {}
        for part in ("feats", "mask"):
            free[f"{side}_{part}"] = {**rows, 1: f"{side}_places"}
    return {**inputs, "seconds": torch.ones(1)}, free


class _Embed(nn.Module):
    def __init__(self, tower: Tower) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, feats: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        tokens = self.tower(feats, mask)
        return tokens, self.tower.pool(tokens, mask)


class _Rerank(nn.Module):
    """The scores of one video with each track."""

    def __init__(self, network: TwoTowers) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, _t: Tensor, _m: Tensor, video: Tensor, tokens: Tensor, mask: Tensor, pooled: Tensor
    ) -> Tensor:
        network = self.network
        dual: Tensor = (video @ pooled.T)[0]
        if not isinstance(network, MaDe) or network.xpool is None:
            return dual
        matching = network.config.matching
        seen = network.xpool(video, tokens, mask)[:, 0]
        if matching is Matching.FUSED:
            seen = seen + pooled
        interaction: Tensor = (seen @ video[0]) / seen.norm(dim=-1).clamp_min(1e-12)
        both = matching in (Matching.DUAL_AND_POOLED, Matching.SUM)
        return dual + interaction if both else interaction


class _DetectEmbedded(nn.Module):
    """The last layer's spans and scores of a network that detects on what it embeds."""

    def __init__(self, network: MaDe) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        frames: Tensor,
        frame_mask: Tensor,
        video: Tensor,
        segments: Tensor,
        segment_mask: Tensor,
        track: Tensor,
        seconds: Tensor,
    ) -> tuple[Tensor, Tensor]:
        network, rows = self.network, segments.shape[0]
        frames = frames.expand(rows, -1, -1)
        frame_mask, video = frame_mask.expand(rows, -1), video.expand(rows, -1)
        if network.fusion is not None:
            mask = segment_mask
            memory = network.fusion(segments, frames, frame_mask) * mask[..., None]
        else:
            # Positions count valid places only, so padding may stay where it is.
            memory = torch.cat([frames, segments], dim=1)
            mask = torch.cat([frame_mask, segment_mask], dim=1)
        width = seconds.expand(rows) / network.config.canvas_seconds
        content = self._content(video, segments, segment_mask, track)
        # Of the frames' sum, only a loss reads what becomes of it.
        found = network.detector(memory, mask, content, width, torch.zeros_like(video))
        return _answer(found.spans, found.logits)

    def _content(self, video: Tensor, tokens: Tensor, mask: Tensor, track: Tensor) -> Tensor:
        query = self.network.config.moment_query
        if query is MomentQuery.VIDEO:
            return video
        if query is MomentQuery.ZERO:
            return torch.zeros_like(video)
        if query is MomentQuery.MUSIC:
            return track
        assert self.network.xpool is not None  # MadeConfig refuses these queries without it
        seen: Tensor = self.network.xpool(video[:1], tokens, mask)[:, 0]
        return seen


class _DetectFeatures(nn.Module):
    """The last layer's spans and scores of a network that only detects."""

    def __init__(self, network: SpanDetector) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        frames: Tensor,
        frame_mask: Tensor,
        segments: Tensor,
        segment_mask: Tensor,
        _seconds: Tensor,
    ) -> tuple[Tensor, Tensor]:
        network, rows = self.network, segments.shape[0]
        frames, frame_mask = frames.expand(rows, -1, -1), frame_mask.expand(rows, -1)
        found = network(network.prepared(frames, frame_mask, segments, segment_mask))
        spans, scores = _answer(found.spans, found.logits)
        if network.config.span_norm is SpanNorm.VALID:
            spans = spans * network.valid_share(segment_mask)[:, None]
        return spans, scores


def _answer(spans: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """The last layer's spans [B, Q, 2] and foreground probabilities [B, Q]."""
    return spans[-1], logits[-1].softmax(dim=-1)[..., 0]
