"""The ways of grounding by name: every learned model by its own, `composite`, and `sync`.

Other distributions bring some by entry points of the group `mgsv.methods`: functions that take a
`System`, whose files may be given or not, and return a `Method`.
"""

from __future__ import annotations

from dataclasses import replace

from mgsv.errors import ConfigError
from mgsv.methods.base import Method
from mgsv.methods.sync import Sync
from mgsv.models.registry import COMPOSITE, list_models
from mgsv.models.system import System
from mgsv.models.weights import SHIPPED, shipped
from mgsv.plugins import Plugin, find, names
from mgsv.runtime.exported import ENDING

DEFAULT_METHOD = SHIPPED


def method_names() -> list[str]:
    """Names that `open_method` takes."""
    own = _own_names()
    return [*own, *(name for name in names("method") if name not in own)]


def _own_names() -> list[str]:
    return [Sync.name, *list_models(), COMPOSITE]


def open_method(system: str | System = DEFAULT_METHOD) -> Method:
    """The method of a system, or of its name alone.

    A learned method needs checkpoints; for `made` none need be given, since one comes with mgsv,
    and `sync` has none. Raises ConfigError naming the choices, the checkpoint or the option.
    """
    if isinstance(system, str):
        system = System(system)
    name = system.name
    if name is None and not system.files:
        name = DEFAULT_METHOD
    if name not in (None, *_own_names()) and (plugin := find("method", name or "")):
        return _brought(plugin, replace(system, name=name))
    if name is not None:
        system = replace(_checked(system, name), name=name)
    if name == Sync.name:
        return Method(name, Sync(), Sync())
    from mgsv.methods.learned import open_learned  # imports torch

    return open_learned(system)


def _brought(plugin: Plugin, system: System) -> Method:
    method = plugin.make(system)
    if not isinstance(method, Method):
        raise plugin.broken(f"is a {type(method).__name__}, no Method")
    return method


def _checked(system: System, name: str) -> System:
    """`system` with the shipped checkpoint where none is named; ConfigError for files that do not
    go with `name`.
    """
    if name not in method_names():
        choices = ", ".join(method_names())
        raise ConfigError(f"`method` {name}: no such method", f"choose from {choices}")
    given = _fields(system)
    if name == Sync.name and given:
        learned = " or ".join(_own_names()[1:])
        raise ConfigError(f"`method` {name} uses no {given[0]}", f"choose `method` {learned}")
    exported = system.checkpoint is not None and system.checkpoint.suffix.lower() == ENDING
    if name == COMPOSITE and system.checkpoint is not None and not exported:
        raise ConfigError(
            f"`method` {name} uses no `checkpoint`",
            f"give its parts: `matcher` and `detector`, or the {ENDING} file made of them",
        )
    if name != COMPOSITE and (parts := {"`matcher`", "`detector`"} & {*given}):
        raise ConfigError(f"`method` {name} uses no {min(parts)}", f"choose `method` {COMPOSITE}")
    if name == SHIPPED and system.checkpoint is None:
        return replace(system, checkpoint=shipped())
    if name not in (COMPOSITE, Sync.name) and system.checkpoint is None:
        raise ConfigError(
            f"`method` {name} needs `checkpoint`", "give the checkpoint that `mgsv train` wrote"
        )
    return system


def _fields(system: System) -> list[str]:
    """The fields of the files that are given, as errors name them."""
    files = {
        "`checkpoint`": system.checkpoint,
        "`matcher`": system.matcher,
        "`detector`": system.detector,
        "`first_stage`": system.first_stage,
    }
    return [field for field, file in files.items() if file is not None]
