"""Losses: symmetric InfoNCE for matching; matching and set criterion for detection.

Spans are (centre, width) relative to the canvas. Class 0 is foreground. L decoder layers, B rows,
Q queries. Every detection term is a value per layer and row, so that a batch's loss is a plain mean
over rows, in whatever pieces they are computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from mgsv.models.configs import DetectorConfig, MadeConfig


def info_nce(
    scores: Tensor, excluded: Tensor | None = None, *, targets: Tensor | None = None
) -> Tensor:
    """Mean of video→track and track→video cross entropies of logits [B, B]; true pairs diagonal.

    `excluded` [B, B] bool drops pairs from the video→track negatives (the diagonal stays).
    `targets` [B, B], rows that sum to 1, share the truth among pairs, as `like_targets`.
    """
    truth = torch.arange(len(scores), device=scores.device) if targets is None else targets
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
    # Two empty spans have no union; anything finite will do, as their L1 distance still counts.
    tiny = torch.finfo(spans.dtype).tiny
    return shared / union.clamp_min(tiny) - (hull - union) / hull.clamp_min(tiny)


def within(spans: Tensor, count: int, step: float) -> Tensor:
    """Which of `count` segments of length `step` overlap the spans [B, 2]: [B, count] bool."""
    start = torch.arange(count, device=spans.device) * step
    first, last = spans[:, :1] - spans[:, 1:] / 2, spans[:, :1] + spans[:, 1:] / 2
    return (start + step > first) & (start < last)


@dataclass(frozen=True, slots=True)
class DetectorOutput:
    """The spans and logits of every decoder layer."""

    spans: Tensor
    """[L, B, Q, 2]."""
    logits: Tensor
    """[L, B, Q, 2]."""
    aside: Mapping[str, Tensor] = field(default_factory=dict)
    """[B, ...] what only some losses look at, by name; rows come first."""

    @classmethod
    def cat(cls, parts: Sequence[DetectorOutput], order: Tensor) -> DetectorOutput:
        """The rows of all `parts`, then put into `order`; what is aside is padded with zeros."""
        return cls(
            torch.cat([part.spans for part in parts], dim=1)[:, order],
            torch.cat([part.logits for part in parts], dim=1)[:, order],
            {n: _stacked([part.aside[n] for part in parts])[order] for n in parts[0].aside},
        )

    def best_first(self) -> Tensor:
        """The last layer's queries by their foreground probability: [B, Q, 3], (span, score)."""
        score = self.logits[-1].softmax(dim=-1)[..., 0]
        best = score.argsort(dim=1, descending=True, stable=True)
        ranked = torch.cat([self.spans[-1], score[..., None]], dim=-1)
        return ranked.gather(1, best[..., None].expand_as(ranked))


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    """[B, n, ...] of each part, n padded to the longest, one after the other."""
    if parts[0].dim() == 1:
        return torch.cat(list(parts))
    longest, rest = max(part.shape[1] for part in parts), [0, 0] * (parts[0].dim() - 2)
    return torch.cat([F.pad(part, (*rest, 0, longest - part.shape[1])) for part in parts])


Term = Callable[[DetectorOutput, Tensor, Tensor], Tensor]
"""(detection, true spans [B, 2], best query [L, B]) → unweighted loss [L, B]."""


def chosen(values: Tensor, best: Tensor) -> Tensor:
    """The best query's entry of values [L, B, Q, n]: [L, B, n]."""
    index = best[..., None, None].expand(*best.shape, 1, values.shape[-1])
    return values.gather(2, index).squeeze(2)


def span_loss(found: DetectorOutput, truth: Tensor, best: Tensor) -> Tensor:
    """L1 distance, mean of centre and width."""
    return (chosen(found.spans, best) - truth).abs().mean(dim=-1)


def giou_loss(found: DetectorOutput, truth: Tensor, best: Tensor) -> Tensor:
    return 1 - generalised_iou(chosen(found.spans, best), truth)


def class_labels(found: DetectorOutput, best: Tensor) -> Tensor:
    """Class of every query [L, B, Q]: 0, foreground, for the best [L, B], else 1."""
    labels = torch.ones(found.logits.shape[:3], dtype=torch.long, device=best.device)
    return labels.scatter_(2, best[..., None], 0)


def label_loss(background_weight: float) -> Term:
    """Cross entropy over queries; the plain mean of weighted values, as the authors take it."""

    def loss(found: DetectorOutput, _: Tensor, best: Tensor) -> Tensor:
        labels = class_labels(found, best)
        weight = found.logits.new_tensor([1.0, background_weight])
        values = F.cross_entropy(
            found.logits.flatten(0, 2), labels.flatten(), weight=weight, reduction="none"
        )
        return values.view(labels.shape).mean(dim=-1)

    return loss


def focal_label_loss(alpha: float = 0.25, gamma: float = 2.0) -> Term:
    """Sigmoid focal loss of both logits against the one-hot class, mean over both and queries."""

    def loss(found: DetectorOutput, _: Tensor, best: Tensor) -> Tensor:
        truth = F.one_hot(class_labels(found, best), 2).to(found.logits)
        entropy = F.binary_cross_entropy_with_logits(found.logits, truth, reduction="none")
        share = found.logits.sigmoid()
        missed = torch.where(truth > 0, 1 - share, share)
        weight = torch.where(truth > 0, alpha, 1 - alpha)
        return (weight * missed**gamma * entropy).mean(dim=(-2, -1))

    return loss


def alignment_loss(temperature: float) -> Term:
    """−log of the matched query's share of the agreement with the frames; 0 for one query."""

    def loss(found: DetectorOutput, _: Tensor, best: Tensor) -> Tensor:
        queries, frames = found.aside["queries"].transpose(0, 1), found.aside["frames"]
        logits = (queries * frames[:, None]).sum(dim=-1) / temperature
        return logits.logsumexp(dim=-1) - chosen(logits[..., None], best)[..., 0]

    return loss


@dataclass(frozen=True)
class Matcher:
    """Assigns the one true span to a query: with one target, Hungarian matching is an arg-min."""

    span_cost: float
    giou_cost: float
    label_cost: float

    @torch.no_grad()
    def __call__(self, found: DetectorOutput, truth: Tensor) -> Tensor:
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

    def unweighted(self, found: DetectorOutput, truth: Tensor) -> dict[str, Tensor]:
        """Each term per layer and row, [L, B]."""
        best = self.matcher(found, truth)
        return {name: term(found, truth, best) for name, term in self.terms.items()}

    def __call__(self, found: DetectorOutput, truth: Tensor) -> Tensor:
        """Weighted terms, in the order of `terms`, summed over layers and rows: [terms]."""
        values = self.unweighted(found, truth)
        return torch.stack([self.weights[name] * value.sum() for name, value in values.items()])


def set_criterion(
    config: MadeConfig | DetectorConfig,
    *,
    label: Term | None = None,
    more: Mapping[str, tuple[Term, float]] | None = None,
) -> SetCriterion:
    """The terms `span`, `giou`, `label` with the config's costs and weights.

    `label` takes the place of the cross entropy; `more` are further terms with their weights.
    """
    c, more = config, more or {}
    return SetCriterion(
        Matcher(c.span_cost, c.giou_cost, c.label_cost),
        {
            "span": span_loss,
            "giou": giou_loss,
            "label": label or label_loss(c.background_weight),
            **{name: term for name, (term, _) in more.items()},
        },
        {
            "span": c.span_weight,
            "giou": c.giou_weight,
            "label": c.label_weight,
            **{name: weight for name, (_, weight) in more.items()},
        },
    )
