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

from mgsv.encoders.registry import SEGMENT_STEP
from mgsv.errors import ConfigError, needs_extra, shown
from mgsv.methods.base import Method, Placer, Ranker
from mgsv.methods.first_stage import FirstStage
from mgsv.methods.model_placer import ModelPlacer
from mgsv.methods.model_ranker import ModelRanker
from mgsv.methods.placement import FinePlacer
from mgsv.methods.survey import Survey
from mgsv.methods.surveyed import SURVEYED_CANDIDATES, SurveyedPlacer, SurveyedRanker
from mgsv.methods.sync import Sync
from mgsv.models.system import DEFAULT_RERANK, Rerank, System
from mgsv.runtime.exported import ENDING, load_exported
from mgsv.runtime.model import GroundingModel


def learned(model: GroundingModel, *, rerank: Rerank | None = None) -> Method:
    """The method of one system.

    rerank: how many candidates get the final score, or "all"; None: `DEFAULT_RERANK`, or
    `SURVEYED_CANDIDATES` where a survey goes with the model. ConfigError where the model reads
    other segments than libraries hold.
    """
    name, limits = model.name, model.limits
    step = limits.canvas_seconds / limits.max_segments
    if abs(step - SEGMENT_STEP) > 1e-6:
        raise ConfigError(
            f"the model {name} reads a segment per {step:g} s, a library holds one per "
            f"{SEGMENT_STEP:g} s",
            "train it on features of that stride",
        )
    survey = Survey.of(model.record)
    rerank = rerank or (DEFAULT_RERANK if survey is None else SURVEYED_CANDIDATES)
    network = None if model.matcher is None else ModelRanker(model, rerank=rerank)
    ranker: Ranker = network or Sync()
    if model.detector is None:
        return Method(name, ranker, Sync())
    placer: Placer = ModelPlacer(model)
    if survey is not None:
        placer = SurveyedPlacer(placer, survey)
        if network is not None:
            ranker = SurveyedRanker(network, survey, FirstStage.of(model.record))
    return Method(name, ranker, FinePlacer(placer))


def open_learned(system: System) -> Method:
    """From a system's files; ConfigError where they hold another model than `system.name`."""
    model = open_model(system)
    if system.name not in (None, model.name):
        field = "`matcher`" if system.checkpoint is None else "`checkpoint`"
        raise ConfigError(
            f"{field} {shown(system.files[0])}: holds a model {model.name}, not {system.name}",
            f"choose `method` {model.name}, or another checkpoint",
        )
    return learned(model, rerank=system.rerank)


def open_model(system: System) -> GroundingModel:
    """The model of a system's files: one exported file, or PyTorch's checkpoints.

    Raises ConfigError where the files are not usable, or PyTorch is needed and not installed.
    """
    exported = [path for path in system.files if path.suffix.lower() == ENDING]
    if exported:
        if system.files != (system.checkpoint,):
            raise ConfigError(
                f"{shown(exported[0])}: an exported file is a whole system",
                "give it as `checkpoint` alone, or checkpoints for all parts",
            )
        return load_exported(exported[0])
    try:
        from mgsv.models.adapter import grounding_model
    except ModuleNotFoundError as error:
        raise needs_extra(f"{shown(system.files[0])}: a checkpoint", error) from None
    return grounding_model(system.open(), system.fingerprint)
