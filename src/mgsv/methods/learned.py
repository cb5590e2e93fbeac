"""A learned system as a method: what ranks, what places, and `sync` for what it does not do.

| the system | ranks | places |
|---|---|---|
| matches and detects | the model | the model |
| only matches | the model | `sync` |
| only detects | `sync` | the model |

A checkpoint may bring a survey of the whole track by the clip's cuts and motion
(`methods.survey`), which then has a say in the ranking and in the moment.
"""

from __future__ import annotations

import hashlib
from typing import Any

from mgsv.encoders.registry import SEGMENT_STEP
from mgsv.errors import ConfigError, shown
from mgsv.methods.base import Method, Placer, Ranker
from mgsv.methods.model_placer import ModelPlacer
from mgsv.methods.model_ranker import ModelRanker
from mgsv.methods.placement import FinePlacer
from mgsv.methods.survey import Survey
from mgsv.methods.surveyed import SurveyedPlacer, SurveyedRanker
from mgsv.methods.sync import Sync
from mgsv.models.checkpoint import Checkpoint
from mgsv.models.composite import parts_of
from mgsv.models.system import DEFAULT_RERANK, Rerank, System


def learned(
    checkpoint: Checkpoint, *, rerank: Rerank = DEFAULT_RERANK, fingerprint: str = ""
) -> Method:
    """The method of one system.

    rerank: how many candidates get the final score, or "all". fingerprint: of the weights.
    ConfigError where the model neither matches nor detects, or reads other segments.
    """
    name, parts = checkpoint.name, parts_of(checkpoint.model)
    if parts.matcher is None and parts.detector is None:
        raise ConfigError(f"the model {name} neither matches nor detects", "use another one")
    config: Any = checkpoint.model.config
    step = config.canvas_seconds / config.max_segments
    if abs(step - SEGMENT_STEP) > 1e-6:
        raise ConfigError(
            f"the model {name} reads a segment per {step:g} s, a library holds one per "
            f"{SEGMENT_STEP:g} s",
            "train it on features of that stride",
        )
    checkpoint.model.eval()
    ranker: Ranker = Sync()
    if parts.matcher is not None:
        ranker = ModelRanker(checkpoint, rerank=rerank, fingerprint=fingerprint)
    if parts.detector is None:
        return Method(name, ranker, Sync())
    placer: Placer = ModelPlacer(checkpoint, fingerprint=fingerprint)
    if (survey := Survey.of(checkpoint.record)) is not None:
        placer = SurveyedPlacer(placer, survey)
        if parts.matcher is not None:
            ranker = SurveyedRanker(ranker, survey)
    return Method(name, ranker, FinePlacer(placer))


def open_learned(system: System) -> Method:
    """From checkpoint files; ConfigError where they hold another model than `system.name`."""
    checkpoint = system.open()
    if system.name not in (None, checkpoint.name):
        field = "`matcher`" if system.checkpoint is None else "`checkpoint`"
        raise ConfigError(
            f"{field} {shown(system.files[0])}: holds a model {checkpoint.name}, not {system.name}",
            f"choose `method` {checkpoint.name}, or another checkpoint",
        )
    digests = []
    for path in system.files:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest()[:12])
    return learned(checkpoint, rerank=system.rerank, fingerprint="+".join(digests))
