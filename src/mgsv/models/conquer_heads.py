"""What CONQUER reads off a pair: P pairs, S segments, widths D in and d inside."""

from __future__ import annotations

from torch import Tensor, nn

from mgsv.models.bert import Contextual
from mgsv.models.configs import ConquerConfig

HIDDEN = -1e4
"""Begin and end score of padding: nothing beside any real one."""


class MomentHead(nn.Module):
    """A score for each segment, from itself and its neighbours."""

    def __init__(self, context: Contextual, config: ConquerConfig) -> None:
        super().__init__()
        self.context, self.hides = context, config.mask_padding
        d, inner, kernel = config.hidden_dim, config.score_dim, config.kernel
        self.score = nn.Sequential(
            nn.Conv1d(d, inner, kernel, padding=kernel // 2, bias=False),
            nn.ReLU(),
            nn.Conv1d(inner, 1, 1, bias=False),
        )

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Scores [P, S] and what they were read from [P, S, d], of x [P, S, D]."""
        features = self.context(x, mask)
        seen = features * mask[..., None] if self.hides else features
        scores = self.score(seen.transpose(1, 2))[:, 0]
        return scores.masked_fill(~mask, HIDDEN), features


class TrackHead(nn.Module):
    """A score for the whole track."""

    def __init__(self, context: Contextual, config: ConquerConfig) -> None:
        super().__init__()
        self.context, self.hides = context, config.mask_padding
        d, inner = config.hidden_dim, config.score_dim
        self.score = nn.Sequential(
            nn.Linear(d, inner, bias=False), nn.ReLU(), nn.Linear(inner, 1, bias=False)
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[P] of x [P, S, D]."""
        features = self.context(x, mask)
        if self.hides:
            features = features.masked_fill(~mask[..., None], float("-inf"))
        best = features.amax(dim=1).nan_to_num(neginf=0.0)  # a track without anything
        scores: Tensor = self.score(best)[:, 0]
        return scores
