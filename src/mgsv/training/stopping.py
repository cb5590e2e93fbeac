"""Which epoch was best by which figure, and when to stop looking for a better one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

WATCHED = ("R1", "R5", "mIoU", "MoR1@0.5", "MoR1@0.7")
"""Val figures whose improvement keeps a run going (spec of the published training)."""
KEPT = ("R1", "mIoU", "MoR1@0.5", "MoR1@0.7")
"""Val figures by which a best checkpoint is kept."""


@dataclass
class Best:
    """The best value so far of each watched figure and the epoch (from 1) that reached it."""

    value: dict[str, float] = field(default_factory=dict)
    epoch: dict[str, int] = field(default_factory=dict)

    def update(self, epoch: int, figures: Mapping[str, float]) -> tuple[str, ...]:
        """Take in an epoch's val figures; returns the names that improved.

        Only a strictly better value improves. Figures a model does not have (a detector has no R1)
        are passed over.
        """
        improved = tuple(
            name
            for name in WATCHED
            if name in figures and figures[name] > self.value.get(name, float("-inf"))
        )
        for name in improved:
            self.value[name] = figures[name]
            self.epoch[name] = epoch
        return improved

    def exhausted(self, epoch: int, *, min_epochs: int, patience: int) -> bool:
        """Whether, with `epoch` done, nothing watched has improved for `patience` epochs."""
        latest = max(self.epoch.values(), default=0)
        return epoch >= min_epochs and epoch - latest >= patience
