"""Losses: symmetric InfoNCE for matching; matching and set criterion for detection.

Spans are (centre, width) relative to the canvas. Class 0 is foreground. L decoder layers, B rows,
Q queries. Every detection term is a value per layer and row, so that a batch's loss is a plain mean
over rows, in whatever pieces they are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mgsv.models.configs import MadeConfig


def info_nce(scores: Tensor, excluded: Tensor | None = None) -> Tensor:
    """Mean of video→track and track→video cross entropies of logits [B, B]; true pairs diagonal.

    `excluded` [B, B] bool drops pairs from the video→track negatives (the diagonal stays).
    """
    truth = torch.arange(len(scores), device=scores.device)
    to_tracks = scores
    if excluded is not None:
        diagonal = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
        to_tracks = scores.masked_fill(excluded & ~diagonal, float("-inf"))
    return (F.cross_entropy(to_tracks, truth) + F.cross_entropy(scores.T, truth)) / 2


def same_track(track_ids: tuple[str, ...], device: torch.device) -> Tensor:
    """[B, B] bool: rows i and j use the same track."""
    numbers = {track: i for i, track in enumerate(dict.fromkeys(track_ids))}
    ids = torch.tensor([numbers[track] for track in track_ids], device=device)
    return ids[:, None] == ids[None, :]


def generalised_iou(spans: Tensor, truth: Tensor) -> Tensor:
    """Generalised IoU in one dimension of (centre, width) [..., 2], with broadcasting."""
    start, end = spans[..., 0] - spans[..., 1] / 2, spans[..., 0] + spans[..., 1] / 2
    first, last = truth[..., 0] - truth[..., 1] / 2, truth[..., 0] + truth[..., 1] / 2
    shared = (torch.minimum(end, last) - torch.maximum(start, first)).clamp_min(0)
    union = (end - start) + (last - first) - shared
    hull = torch.maximum(end, last) - torch.minimum(start, first)
    # Two empty spans have no union; anything finite will do, as their L1 distance still speaks.
    tiny = torch.finfo(spans.dtype).tiny
    return shared / union.clamp_min(tiny) - (hull - union) / hull.clamp_min(tiny)


@dataclass(frozen=True, slots=True)
class Detection:
    """What a detector says, of every decoder layer."""

    spans: Tensor
    """[L, B, Q, 2]."""
    logits: Tensor
    """[L, B, Q, 2]."""
    queries: Tensor
    """[L, B, Q, d] projected queries of length 1, for the alignment loss."""
    frames: Tensor
    """[B, d] sum over all frame slots of the projected frames of length 1."""

    @classmethod
    def cat(cls, parts: Sequence[Detection], order: Tensor) -> Detection:
        """The rows of all `parts`, then put into `order`."""
        return cls(
            torch.cat([part.spans for part in parts], dim=1)[:, order],
            torch.cat([part.logits for part in parts], dim=1)[:, order],
            torch.cat([part.queries for part in parts], dim=1)[:, order],
            torch.cat([part.frames for part in parts])[order],
        )


Term = Callable[[Detection, Tensor, Tensor], Tensor]
"""(detection, true spans [B, 2], best query [L, B]) → unweighted loss [L, B]."""


def chosen(values: Tensor, best: Tensor) -> Tensor:
    """The best query's entry of values [L, B, Q, n]: [L, B, n]."""
    index = best[..., None, None].expand(*best.shape, 1, values.shape[-1])
    return values.gather(2, index).squeeze(2)


def span_loss(found: Detection, truth: Tensor, best: Tensor) -> Tensor:
    """L1 distance, mean of centre and width."""
    return (chosen(found.spans, best) - truth).abs().mean(dim=-1)


def giou_loss(found: Detection, truth: Tensor, best: Tensor) -> Tensor:
    return 1 - generalised_iou(chosen(found.spans, best), truth)


def label_loss(background_weight: float) -> Term:
    """Cross entropy over queries; the plain mean of weighted values, as the authors take it."""

    def loss(found: Detection, _: Tensor, best: Tensor) -> Tensor:
        labels = torch.ones(found.logits.shape[:3], dtype=torch.long, device=best.device)
        labels.scatter_(2, best[..., None], 0)
        weight = found.logits.new_tensor([1.0, background_weight])
        values = F.cross_entropy(
            found.logits.flatten(0, 2), labels.flatten(), weight=weight, reduction="none"
        )
        return values.view(labels.shape).mean(dim=-1)

    return loss


def alignment_loss(temperature: float) -> Term:
    """−log of the matched query's share of the agreement with the frames; 0 for one query."""

    def loss(found: Detection, _: Tensor, best: Tensor) -> Tensor:
        logits = (found.queries * found.frames[:, None]).sum(dim=-1) / temperature
        return logits.logsumexp(dim=-1) - chosen(logits[..., None], best)[..., 0]

    return loss


@dataclass(frozen=True)
class Matcher:
    """Assigns the one true span to a query: with one target, Hungarian matching is an arg-min."""

    span_cost: float
    giou_cost: float
    label_cost: float

    @torch.no_grad()
    def __call__(self, found: Detection, truth: Tensor) -> Tensor:
        """Number of the best query [L, B] for true spans [B, 2]; the first of equals."""
        truth = truth[:, None]
        distance = (found.spans - truth).abs().sum(dim=-1)
        foreground = found.logits.softmax(dim=-1)[..., 0]
        cost = (
            self.span_cost * distance
            - self.giou_cost * generalised_iou(found.spans, truth)
            - self.label_cost * foreground
        )
        return cost.argmin(dim=-1)


@dataclass(frozen=True)
class SetCriterion:
    """Detection loss: each layer is matched by itself, and its weighted terms are added up."""

    matcher: Matcher
    terms: Mapping[str, Term]
    weights: Mapping[str, float]
    """Weight of each term."""

    def unweighted(self, found: Detection, truth: Tensor) -> dict[str, Tensor]:
        """Each term per layer and row, [L, B]."""
        best = self.matcher(found, truth)
        return {name: term(found, truth, best) for name, term in self.terms.items()}

    def __call__(self, found: Detection, truth: Tensor) -> Tensor:
        """Weighted terms, in the order of `terms`, summed over layers and rows: [terms]."""
        values = self.unweighted(found, truth)
        return torch.stack([self.weights[name] * value.sum() for name, value in values.items()])


def set_criterion(config: MadeConfig) -> SetCriterion:
    """MaDe's detection loss."""
    return SetCriterion(
        Matcher(config.span_cost, config.giou_cost, config.label_cost),
        {
            "span": span_loss,
            "giou": giou_loss,
            "label": label_loss(config.background_weight),
            "alignment": alignment_loss(config.alignment_temperature),
        },
        {
            "span": config.span_weight,
            "giou": config.giou_weight,
            "label": config.label_weight,
            "alignment": config.alignment_weight,
        },
    )
