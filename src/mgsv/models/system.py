"""A learned system by its checkpoint files: one model, one behind a first stage, or a composite."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mgsv.errors import ConfigError, shown

if TYPE_CHECKING:
    from mgsv.models.checkpoint import Checkpoint

Rerank = int | Literal["all"]

DEFAULT_RERANK = 100
"""Candidates of a learned model that get its final score: the published table's largest k."""


@dataclass(frozen=True)
class System:
    """Which files make a system: `checkpoint` alone, or `matcher` and `detector`.

    `first_stage` must be given where the model that ranks only re-ranks candidates, and only there.
    The same file may stand for several parts.
    """

    name: str | None = None
    """The model that the files must hold, or `sync`; None takes what they hold."""
    checkpoint: Path | None = None
    """A model that does all it can by itself."""
    matcher: Path | None = None
    """The part of a composite that ranks."""
    detector: Path | None = None
    """The part of a composite that finds the moment."""
    first_stage: Path | None = None
    """A matching model, whose best tracks another model ranks."""

    rerank: Rerank | None = None
    """How many candidates get the final score of a model that has a cheaper one, or "all"; None: as
    many as the method needs, and `DEFAULT_RERANK` in evaluation."""

    def __post_init__(self) -> None:
        if isinstance(self.rerank, int) and self.rerank < 1:
            raise ConfigError(f"`rerank` {self.rerank}: at least one candidate is needed")

    @property
    def files(self) -> tuple[Path, ...]:
        """Those that are given, in the order of the fields."""
        named = (self.checkpoint, self.matcher, self.detector, self.first_stage)
        return tuple(file for file in named if file is not None)

    @property
    def fingerprint(self) -> str:
        """Of the files' content."""
        digests = []
        for path in self.files:
            with path.open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest()[:12])
        return "+".join(digests)

    def open(self) -> Checkpoint:
        """The model of these files, in evaluation mode.

        Raises ConfigError where they do not say which system is meant or a part cannot do its task,
        and EncoderMismatch where the parts were made for different features.
        """
        from mgsv.models import checkpoint, composite  # torch

        if self.matcher is None and self.detector is None:
            if self.checkpoint is None:
                raise ConfigError(
                    "no model is named", "give a checkpoint, or `matcher` and `detector`"
                )
            if self.first_stage is None:
                return checkpoint.load(self.checkpoint)
            return composite.load_composite(self.checkpoint, self.checkpoint, self.first_stage)
        if self.checkpoint is not None:
            raise ConfigError(
                f"{shown(self.checkpoint)}: a checkpoint, and parts of a composite too",
                "give either the checkpoint, or `matcher` and `detector`",
            )
        if self.matcher is None or self.detector is None:
            missing = "`matcher`" if self.matcher is None else "`detector`"
            raise ConfigError(f"{missing} is missing", "a composite needs `matcher` and `detector`")
        return composite.load_composite(self.matcher, self.detector, self.first_stage)
