"""Frozen dataclasses as configuration: documented fields, strict reading, overrides by name.

A config is a frozen dataclass whose fields are made by :func:`option`, so that every field carries
its own sentence of documentation (:func:`describe` lists them for help texts and reports). Fields
are bool, int, float, str, a ``StrEnum``, or another config. ``__post_init__`` calls :func:`check`
first, and may then look at values together; it raises :class:`~mgsv.errors.ConfigError`.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, field, fields, is_dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from mgsv.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")


def option(default: Any, doc: str) -> Any:
    """A field of a config with its default and a sentence that explains it.

    A config given as default stands for itself: configs are frozen, so one may be shared.
    """
    if is_dataclass(default):
        return field(default_factory=lambda: default, metadata={"doc": doc})
    return field(default=default, metadata={"doc": doc})


def check(config: DataclassInstance) -> None:
    """Refuse values of the wrong type; names of a StrEnum's members become the members."""
    kinds = _kinds(type(config))
    for name in kinds:
        object.__setattr__(config, name, _read(kinds, name, getattr(config, name), ""))


def describe(config: type[C] | C, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """(name, default, documentation) of every field; fields of nested configs as `outer.inner`."""
    for name, kind in _kinds(config if isinstance(config, type) else type(config)).items():
        entry = next(f for f in fields(config) if f.name == name)
        default = entry.default if entry.default_factory is MISSING else entry.default_factory()
        if not isinstance(config, type):
            default = getattr(config, name)
        if is_dataclass(kind):
            yield from describe(
                kind if default is MISSING else default,
                f"{prefix}{name}.",
            )
        else:
            shown = "" if default is MISSING else str(_plain(default))
            yield prefix + name, shown, entry.metadata.get("doc", "")


def to_dict(config: DataclassInstance) -> dict[str, Any]:
    """The config as JSON-ready values, every field present."""
    return {f.name: _plain(getattr(config, f.name)) for f in fields(config)}


def from_dict(kind: type[C], values: Mapping[str, Any], where: str = "") -> C:
    """The config that `values` describe; fields left out take their defaults.

    Raises ConfigError naming the field (prefixed by `where`) for an unknown key, a missing field
    without a default, a value of the wrong type or one that the config itself refuses.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where.rstrip('.') or 'config'} must be a table of named values")
    kinds = _kinds(kind)
    known = {name: _read(kinds, name, value, where) for name, value in values.items()}
    for entry in fields(kind):
        required = entry.default is MISSING and entry.default_factory is MISSING
        if required and entry.name not in known:
            raise ConfigError(f"{where}{entry.name} is missing", "give it a value")
    return kind(**known)


def override(config: C, assignments: Iterable[str], where: str = "`set`") -> C:
    """`config` with `name=value` assignments applied in turn; `outer.inner=value` reaches inside.

    Values are read by the field's type: `true`/`false` for a bool, numbers as usual, text as it is.
    Assignments that depend on each other (`hidden_dim=24`, `heads=3`) are checked together.

    where: what errors say that the assignments were given as.
    """
    changes: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"{where} {assignment}: no value", f"write {where} name=value")
        spot, kind = changes, type(config)
        *outer, last = name.strip().split(".")
        for depth, part in enumerate(outer):
            inner = _kind_of(_kinds(kind), part, ".".join(outer[:depth]), where)
            if not is_dataclass(inner):
                raise ConfigError(f"{where} {name}: {part} has no fields inside it")
            spot, kind = spot.setdefault(part, {}), inner  # type: ignore[assignment]
        inner = _kind_of(_kinds(kind), last, ".".join(outer), where)
        spot[last] = _parse(inner, text.strip(), f"{where} {name.strip()}")
    return _replaced(config, changes)


def _replaced(config: C, changes: Mapping[str, Any]) -> C:
    nested = {
        name: _replaced(getattr(config, name), value) if isinstance(value, dict) else value
        for name, value in changes.items()
    }
    return replace(config, **nested)


def _kinds(kind: type[Any]) -> dict[str, type[Any]]:
    hints = get_type_hints(kind)
    return {entry.name: hints[entry.name] for entry in fields(kind)}


def _kind_of(kinds: Mapping[str, type[Any]], name: str, outer: str, where: str) -> type[Any]:
    if name not in kinds:
        close = difflib.get_close_matches(str(name), kinds, n=1)
        remedy = f"did you mean {close[0]}?" if close else f"known are {', '.join(kinds)}"
        path = f"{outer}.{name}" if outer else name
        raise ConfigError(f"{where} {path}: no such field".strip(), remedy)
    return kinds[name]


def _read(kinds: Mapping[str, type[Any]], name: str, value: Any, where: str) -> Any:
    kind = _kind_of(kinds, name, where.rstrip("."), "")
    spot = f"{where}{name}"
    if is_dataclass(kind):
        if isinstance(value, kind):
            return value
        return from_dict(kind, value, f"{spot}.")
    if issubclass(kind, StrEnum):
        if value in list(kind):
            return kind(value)
        raise ConfigError(f"{spot}={value!r} is not a choice", f"choose {_choices(kind)}")
    # bool is a subclass of int, and an int is a fine float; nothing else passes for another type.
    fits = type(value) is kind or (kind is float and type(value) is int)
    if not fits:
        raise ConfigError(f"{spot}={value!r} is not {_name(kind)}")
    if kind is float and not math.isfinite(value):
        raise ConfigError(f"{spot}={value!r} is not a finite number")
    return kind(value)


def _parse(kind: type[Any], text: str, where: str) -> Any:
    if is_dataclass(kind):
        raise ConfigError(f"{where} is a group of fields", "name one of its fields after a dot")
    value: Any = text
    if kind in (bool, int, float):
        try:
            value = json.loads(text.lower() if kind is bool else text)
        except ValueError:
            raise ConfigError(f"{where}={text} is not {_name(kind)}") from None
    *outer, name = where.split(" ", 1)[-1].split(".")
    try:
        return _read({name: kind}, name, value, "".join(f"{part}." for part in outer))
    except ConfigError as error:
        raise ConfigError(f"{where.split(' ', 1)[0]} {error.problem}", error.remedy) from None


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return to_dict(value)
    return value.value if isinstance(value, StrEnum) else value


def _choices(kind: type[StrEnum]) -> str:
    return " or ".join(kind)


def _name(kind: type[Any]) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return names.get(kind, kind.__name__)
