"""Parts that other distributions bring, found by their entry points and loaded when named.

A distribution registers what it brings in its pyproject.toml, in a group per kind of part:

    [project.entry-points."mgsv.methods"]
    longest = "their_package.longest:open_longest"

What an entry point names is described where each kind is kept: `models.registry.ModelEntry`,
`encoders.registry`, `library.stores` and `methods.registry`. A name of
mgsv's own always means its own part.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal

from mgsv.errors import ConfigError, MgsvError, shown

Kind = Literal["system", "encoder", "store", "method"]


class PluginError(ConfigError):
    """A part of another distribution that cannot be loaded or used; the text names both."""


@dataclass(frozen=True)
class Plugin:
    """One part that an installed distribution brings. Nothing of it has been imported yet."""

    kind: Kind
    name: str
    distribution: str
    """Its name and version."""
    entry: metadata.EntryPoint

    def load(self) -> Any:
        """What the entry point names. Raises `PluginError` where it cannot be imported."""
        try:
            return self.entry.load()
        except MgsvError:
            raise
        except (Exception, SystemExit) as error:  # whatever a module of somebody else's does
            raise self.broken(f"cannot be loaded ({_line(error)})") from error

    def make(self, *arguments: Any, **named: Any) -> Any:
        """What calling it gives. Raises `PluginError` where that fails with anything but an error
        of mgsv's, which is the plug-in's own message to the user.
        """
        part = self.load()
        try:
            return part(*arguments, **named)
        except MgsvError:
            raise
        except Exception as error:
            raise self.broken(f"cannot be opened ({_line(error)})") from error

    def broken(self, problem: str) -> PluginError:
        return PluginError(
            f"{self.distribution}: its {self.kind} {shown(self.name)} {problem}",
            "update or uninstall it",
        )


def find(kind: Kind, name: str) -> Plugin | None:
    """The part of this name; None where no distribution brings one.

    Raises `PluginError` where several do.
    """
    found = [plugin for plugin in plugins(kind) if plugin.name == name]
    if len({plugin.entry.value for plugin in found}) > 1:
        one, *others = found
        raise one.broken(f"is also brought by {', '.join(o.distribution for o in others)}")
    return found[0] if found else None


def plugins(kind: Kind) -> list[Plugin]:
    """All parts of a kind that installed distributions bring, by name."""
    found = []
    for entry in metadata.entry_points(group=f"mgsv.{kind}s"):
        origin = entry.dist
        brought_by = (
            "an unknown distribution" if origin is None else f"{origin.name} {origin.version}"
        )
        found.append(Plugin(kind, entry.name, shown(brought_by), entry))
    return sorted(found, key=lambda plugin: (plugin.name, plugin.distribution))


def names(kind: Kind) -> list[str]:
    """Of all parts of a kind that installed distributions bring."""
    return list(dict.fromkeys(plugin.name for plugin in plugins(kind)))


def _line(error: BaseException) -> str:
    return shown(" ".join(f"{type(error).__name__}: {error}".split()))
