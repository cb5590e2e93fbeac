"""Several models behind one interface: one ranks, one finds the moment.

MGSV (ICCV 2025) pairs MVPt+ with UVCOM+ this way; any matcher and any detector will do. A third
model may stand between them: one that is too slow for a whole set (`Reranks`, as CONQUER) and puts
the matcher's best candidates into its own order. CONQUER by itself is then its own detector.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from mgsv.data.batch import Batch
from mgsv.errors import ConfigError, shown
from mgsv.models import checkpoint
from mgsv.models.checkpoint import Checkpoint
from mgsv.models.configs import InputConfig
from mgsv.models.matching import Embedded
from mgsv.models.registry import COMPOSITE, Detects, Matches, Reranks


class Composite(nn.Module):
    """Matches like `matcher`, detects like `detector`.

    Its embeddings are the matcher's; `detect` lets the detector embed for itself. With `reranker`
    the matcher is only the first stage: whoever ranks takes both from :func:`parts_of`.
    """

    def __init__(
        self, matcher: nn.Module, detector: nn.Module, reranker: nn.Module | None = None
    ) -> None:
        """ConfigError where a part cannot do its task, or they expect different inputs."""
        super().__init__()
        parts = {"matcher": matcher, "detector": detector, "reranker": reranker}
        for (role, part), ability in zip(parts.items(), (Matches, Detects, Reranks), strict=True):
            if part is not None and not isinstance(part, ability):
                raise ConfigError(f"a {type(part).__name__} cannot be a {role}")
        self.matcher, self.detector, self.reranker = matcher, detector, reranker
        self.config: Any = matcher.config
        others: list[Any] = [part for part in (detector, reranker) if part is not None]
        for part, field in itertools.product(others, fields(InputConfig)):
            own, other = (getattr(config, field.name) for config in (self.config, part.config))
            if own != other:
                raise ConfigError(
                    f"the parts expect different inputs: {field.name} is {own} of the matcher and "
                    f"{other} of the {type(part).__name__}",
                    "train them with the same setting",
                )

    @property
    def score_meaning(self) -> str:
        ranks = self.matcher if self.reranker is None else self.reranker
        return str(getattr(ranks, "score_meaning", "higher is better"))

    def embed_videos(self, batch: Batch) -> Embedded:
        return self._matcher.embed_videos(batch)

    def embed_tracks(self, batch: Batch) -> Embedded:
        return self._matcher.embed_tracks(batch)

    def score_all(self, videos: Embedded, tracks: Embedded) -> Tensor:
        """The matcher's cheap scores [V, M]."""
        return self._matcher.score_all(videos, tracks)

    def pair_scores(self, videos: Embedded, tracks: Embedded) -> Tensor:
        """The matcher's scores [V, M]."""
        return self._matcher.pair_scores(videos, tracks)

    def rerank(self, video: Embedded, candidates: Embedded) -> Tensor:
        """The matcher's scores of one video with K candidates, [K]."""
        return self._matcher.rerank(video, candidates)

    def detect(self, batch: Batch, embedded: tuple[Embedded, Embedded] | None = None) -> Tensor:
        """The detector's spans [B, K, 3]; `embedded`, the matcher's, is of no use to it."""
        del embedded
        return cast(Detects, self.detector).detect(batch)

    @property
    def _matcher(self) -> Matches:
        return cast(Matches, self.matcher)


@dataclass(frozen=True)
class SystemParts:
    """Who does what in a system; None for what it does not do."""

    matcher: Any = None
    """Scores whole sets."""
    reranker: Any = None
    """Puts the matcher's best candidates into its own order."""
    detector: Any = None
    """Finds the moment."""


def parts_of(model: nn.Module) -> SystemParts:
    """The parts of any model, alone or composite.

    A model that only re-ranks, without a first stage, ranks nothing.
    """
    if isinstance(model, Composite):
        return SystemParts(model.matcher, model.reranker, model.detector)
    return SystemParts(
        matcher=model if isinstance(model, Matches) else None,
        detector=model if isinstance(model, Detects) else None,
    )


def load_composite(matcher: Path, detector: Path, first_stage: Path | None = None) -> Checkpoint:
    """A composite from the checkpoints of its parts, in evaluation mode.

    `first_stage` is the checkpoint of a matching model; it must be given where `matcher` only
    re-ranks candidates, and only there. The same file may stand for several parts. Raises
    ConfigError naming the part that cannot do its task, and EncoderMismatch where the
    parts were made for different features.
    """
    paths = {"matcher": matcher, "detector": detector}
    if first_stage is not None:
        paths["first_stage"] = first_stage
    files = {path: checkpoint.load(path) for path in dict.fromkeys(paths.values())}
    parts = {role: files[path] for role, path in paths.items()}
    ranks, finds, first = parts["matcher"], parts["detector"], parts.get("first_stage")
    _require(finds, Detects, "find moments", detector, "`detector`")
    if first is not None:
        _require(first, Matches, "rank a whole set", paths["first_stage"], "`first_stage`")
        if not isinstance(ranks.model, Reranks):
            raise ConfigError(
                f"`first_stage`: the model {ranks.name} ranks whole sets by itself",
                "leave `first_stage` out",
            )
    elif isinstance(ranks.model, Reranks):
        raise ConfigError(
            f"{shown(matcher)}: the model {ranks.name} only ranks another's candidates",
            "give `first_stage` with a checkpoint of mvpt, mvpt_plus or made",
        )
    else:
        _require(ranks, Matches, "rank tracks", matcher, "`matcher`")
    for other in (finds, first):
        if other is not None:
            ranks.require(other.encoders)
    if first is None:
        model = Composite(ranks.model, finds.model)
    else:
        model = Composite(first.model, finds.model, ranks.model)
    used = [file for file in (ranks, finds, first) if file is not None]
    return Checkpoint(
        # CONQUER is its own detector: with a first stage it stays what it is.
        name=ranks.name if first is not None and ranks is finds else COMPOSITE,
        model=model.eval(),
        encoders=ranks.encoders,
        record={role: {"model": file.name, **file.record} for role, file in parts.items()},
        licence=" and ".join(dict.fromkeys(file.licence for file in used)),
    )


def _require(part: Checkpoint, ability: type, task: str, path: Path, field: str) -> None:
    if not isinstance(part.model, ability):
        raise ConfigError(f"{field} {shown(path)}: the model {part.name} does not {task}")
