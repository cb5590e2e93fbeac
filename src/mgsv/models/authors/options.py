"""The authors' options that the project's modules have one value of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mgsv.errors import ConfigError


def refuse_others(system: str, options: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    """ConfigError where `options` give one of `fixed` another value: it would be ignored."""
    for name, value in fixed.items():
        if options.get(name, value) != value:
            raise ConfigError(
                f"{name}={options[name]!r} of the authors' {system} is not supported",
                f"only models with {name}={value!r} can be replayed",
            )
