"""The ways of grounding by name: every learned model by its own, `composite`, and `sync`."""

from __future__ import annotations

import os

from mgsv.errors import ConfigError
from mgsv.methods.base import DEFAULT_RERANK, Method, Rerank
from mgsv.methods.sync import Sync
from mgsv.models.registry import COMPOSITE, list_models
from mgsv.models.weights import SHIPPED, shipped

DEFAULT_METHOD = SHIPPED


def method_names() -> list[str]:
    """Names that `method` knows."""
    return [Sync.name, *list_models(), COMPOSITE]


def method(
    name: str = DEFAULT_METHOD,
    *,
    model: str | os.PathLike[str] | None = None,
    matcher: str | os.PathLike[str] | None = None,
    detector: str | os.PathLike[str] | None = None,
    first_stage: str | os.PathLike[str] | None = None,
    rerank: Rerank = DEFAULT_RERANK,
) -> Method:
    """The method registered as `name`.

    model: the checkpoint of a learned method; for `made` it need not be given, since one comes with
    mgsv, and `sync` has none. matcher, detector: the checkpoints of a composite's parts, instead.
    first_stage: the checkpoint of a matching model, for a model that only re-ranks. rerank: how
    many candidates a learned method scores with all it knows, or "all". Raises ConfigError naming
    the choices, the checkpoint or the option.
    """
    if name not in method_names():
        choices = ", ".join(method_names())
        raise ConfigError(f"--method {name}: no such method", f"choose from {choices}")
    files = {
        "--model": model,
        "--matcher": matcher,
        "--detector": detector,
        "--first-stage": first_stage,
    }
    given = [flag for flag, file in files.items() if file is not None]
    if name == Sync.name:
        if given:
            learned = " or ".join(method_names()[1:])
            raise ConfigError(f"--method {name} uses no {given[0]}", f"choose --method {learned}")
        return Sync()
    parts = {"--matcher", "--detector"} & {*given}
    if name == COMPOSITE and model is not None:
        raise ConfigError(
            f"--method {name} uses no --model", "give its parts: --matcher and --detector"
        )
    if name != COMPOSITE and parts:
        raise ConfigError(f"--method {name} uses no {min(parts)}", f"choose --method {COMPOSITE}")
    if name == SHIPPED and model is None:
        model = shipped()
    if name != COMPOSITE and model is None:
        raise ConfigError(
            f"--method {name} needs --model", "give the checkpoint that `mgsv train` wrote"
        )
    from mgsv.methods.learned import Learned  # imports torch

    return Learned.load(
        model, name, matcher=matcher, detector=detector, first_stage=first_stage, rerank=rerank
    )
