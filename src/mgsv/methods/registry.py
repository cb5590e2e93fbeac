"""The ways of grounding by name."""

from __future__ import annotations

from collections.abc import Callable

from mgsv.errors import ConfigError
from mgsv.methods.base import Method
from mgsv.methods.sync import Sync

METHODS: dict[str, Callable[[], Method]] = {"sync": Sync}
DEFAULT_METHOD = "sync"


def method(name: str = DEFAULT_METHOD) -> Method:
    """The method registered as `name`; raises ConfigError naming the choices."""
    if name not in METHODS:
        raise ConfigError(f"--method {name}: no such method", f"choose from {', '.join(METHODS)}")
    return METHODS[name]()
