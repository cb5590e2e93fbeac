"""Licences: their short names, which of them a use may be made under, and lists of them.

A name is read out of what people write ("Creative Commons Attribution 3.0", an address, "CC BY"),
never guessed: a text that names no licence known here stays as it is, and fits only itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mgsv.errors import ConfigError

_ADDRESS = re.compile(
    r"creativecommons\.org/(?:licen[sc]es/([a-z-]+)|publicdomain/(zero|mark))(?:/(\d\.\d))?", re.I
)
_SHORT = re.compile(r"\bcc[ _-]?(0|by)((?:[ _-]?(?:nc|nd|sa))*)(?:[ _-]v?(\d(?:\.\d)?))?\b", re.I)
_LONG = re.compile(r"creative ?commons", re.I)
_LONG_PARTS = (
    ("by", r"attribution|\bby\b"),
    ("nc", r"non[ -]?commercial"),
    ("nd", r"no[ -]?deriv"),
    ("sa", r"share[ -]?alike"),
)
_VERSION = re.compile(r"\b(\d\.\d)\b")
_PUBLIC = re.compile(r"\bpublic[ -]domain\b", re.I)
_OTHERS = re.compile(
    r"\b(l?gpl|agpl|mit|bsd|apache|expat|ofl|wtfpl)(?:[ -]?(?:v|version )?(\d(?:\.\d)?)(\+)?|\b)",
    re.I,
)
_WORD = re.compile(r"[a-z0-9.+-]+")


def names_licence(text: str) -> bool:
    """Whether a licence known here stands in `text`."""
    return bool(_names(text))


def licence_name(text: str) -> str:
    """The short name of the licence that `text` names, as in "CC-BY-4.0"; else `text`.

    Several, of which one may choose, stay with an "or" between them.
    """
    return " or ".join(_names(text)) or text.strip()


def allowed(licence: str, wanted: Sequence[str]) -> bool:
    """Whether `licence`, a track's, is among `wanted`, which come from `wanted_licences`.

    A name without a version stands for all versions. Of several that one may choose among, one is
    enough; what is unknown is never allowed.
    """
    choices = [_key(one) for one in licence.split(" or ")] if licence else []
    return any(_is(choice, one) for choice in choices for one in wanted)


def wanted_licences(text: str) -> list[str]:
    """The licences named in `text`, with commas between them, as keys for `allowed`.

    Raises `ConfigError` where one is empty.
    """
    names = [part.strip() for part in text.split(",")]
    if not all(names):
        raise ConfigError(
            f"`licence` {text}: a name is missing", "name licences, as in cc0,cc-by,public-domain"
        )
    return [_key(licence_name(name)) for name in names]


def _is(choice: str, wanted: str) -> bool:
    if choice == wanted:
        return True
    family, _, version = choice.rpartition("-")
    return bool(re.fullmatch(r"\d(\.\d)?\+?", version)) and family == wanted


def _key(name: str) -> str:
    return "-".join(_WORD.findall(name.casefold()))


def _names(text: str) -> list[str]:
    parts = re.split(r"\s+or\s+", text)
    if len(parts) > 1:
        found = [_one(part) for part in parts]
        return list(dict.fromkeys(found)) if all(found) else []
    name = _one(text)
    return [name] if name else []


def _one(text: str) -> str:
    """The one licence that is named, as the most telling form of it in `text` says; "" for none."""
    if found := _ADDRESS.search(text):
        if found[2]:
            return "CC0-1.0" if found[2].lower() == "zero" else "Public-Domain"
        return _versioned(f"CC-{found[1].strip('-').upper()}", found[3])
    if found := _SHORT.search(text):
        if found[1] == "0":
            return "CC0-1.0"
        more = re.findall(r"nc|nd|sa", found[2].lower())
        return _creative(["by", *more], found[3])
    if _LONG.search(text):
        parts = [short for short, words in _LONG_PARTS if re.search(words, text, re.I)]
        version = _VERSION.search(text)
        if parts:
            return _creative(parts, version and version[1])
        return "CC0-1.0" if re.search(r"\bzero\b|\b0\b", text, re.I) else ""
    if _PUBLIC.search(text):
        return "Public-Domain"
    others = _OTHERS.findall(text)
    if len(others) == 1:  # several without an "or" say that parts differ
        name, version, later = others[0]
        return f"{_versioned(name.upper(), version)}{later}"
    return ""


def _creative(parts: list[str], version: str | None) -> str:
    order = [part for part in ("by", "nc", "nd", "sa") if part in parts]
    if "by" not in order:
        order = ["by", *order]
    return _versioned(f"CC-{'-'.join(order).upper()}", version)


def _versioned(name: str, version: str | None) -> str:
    return f"{name}-{version}" if version else name
