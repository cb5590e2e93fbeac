"""Music grounding by short video: which track, and which moment of it, fits this clip.

    library = mgsv.Library.open("~/Music")
    moments = mgsv.ground("clip.mp4", library, top=5)
    mgsv.render("clip.mp4", moments[0], "out.mp4")

The names below are loaded on first use, so that `import mgsv` and `mgsv --help` stay quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mgsv.errors import MgsvError as MgsvError
    from mgsv.explanation.explain import explain as explain
    from mgsv.grounding import Grounding as Grounding
    from mgsv.grounding import GroundOptions as GroundOptions
    from mgsv.grounding import RankedMoment as RankedMoment
    from mgsv.grounding import Session as Session
    from mgsv.grounding import accept as accept
    from mgsv.grounding import arrange as arrange
    from mgsv.grounding import ground as ground
    from mgsv.grounding import render as render
    from mgsv.grounding import write_timeline as write_timeline
    from mgsv.library import Library as Library
    from mgsv.models.system import System as System
    from mgsv.moment import Moment as Moment
    from mgsv.version import __version__ as __version__

_HOMES = {
    "GroundOptions": "mgsv.grounding",
    "Grounding": "mgsv.grounding",
    "Library": "mgsv.library",
    "MgsvError": "mgsv.errors",
    "Moment": "mgsv.moment",
    "RankedMoment": "mgsv.grounding",
    "Session": "mgsv.grounding",
    "System": "mgsv.models.system",
    "__version__": "mgsv.version",
    "accept": "mgsv.grounding",
    "arrange": "mgsv.grounding",
    "explain": "mgsv.explanation.explain",
    "ground": "mgsv.grounding",
    "render": "mgsv.grounding",
    "write_timeline": "mgsv.grounding",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'mgsv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
