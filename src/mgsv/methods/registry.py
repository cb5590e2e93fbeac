"""The ways of grounding by name: `sync`, and every learned model by its own."""

from __future__ import annotations

import os

from mgsv.errors import ConfigError
from mgsv.methods.base import DEFAULT_RERANK, Method, Rerank
from mgsv.methods.sync import Sync
from mgsv.models.registry import list_models

DEFAULT_METHOD = "sync"


def method_names() -> list[str]:
    """Names that `method` knows."""
    return [DEFAULT_METHOD, *list_models("match")]


def method(
    name: str = DEFAULT_METHOD,
    *,
    model: str | os.PathLike[str] | None = None,
    rerank: Rerank = DEFAULT_RERANK,
) -> Method:
    """The method registered as `name`.

    model: the checkpoint of a learned method, which `sync` does not have. rerank: how many
    candidates a learned method scores with all it knows, or "all". Raises ConfigError naming the
    choices, the checkpoint or the option.
    """
    if name not in method_names():
        choices = ", ".join(method_names())
        raise ConfigError(f"--method {name}: no such method", f"choose from {choices}")
    if name == DEFAULT_METHOD:
        if model is not None:
            learned = " or ".join(method_names()[1:])
            raise ConfigError(f"--method {name} uses no --model", f"choose --method {learned}")
        return Sync()
    if model is None:
        raise ConfigError(
            f"--method {name} needs --model", "give the checkpoint that `mgsv train` wrote"
        )
    from mgsv.methods.learned import Learned  # imports torch

    return Learned.load(model, name, rerank=rerank)
