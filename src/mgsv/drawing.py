"""The style of the package's pictures, and matplotlib without a screen: a figure in, bytes out.

Matplotlib is imported only where something is drawn: it takes half a second.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Kind = Literal["png", "svg"]

# Blue and orange differ for every kind of colour vision, and in grey print.
BLUE, ORANGE, GREY = "#2f6db5", "#d9822b", "#9aa3ad"
INK, SOFT, FAINT = "#1d2733", "#5b6672", "#e6e8eb"

STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": FAINT,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "text.parse_math": False,  # names of files and classes may hold $
    "svg.hashsalt": "mgsv",  # the same figures give the same bytes
}


@contextmanager
def styled(more: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Draw and encode inside this: the style, and `more` of matplotlib's settings."""
    import matplotlib

    settings: Any = {**STYLE, **(more or {})}
    with matplotlib.rc_context(settings):
        yield


def encoded(figure: Figure, kind: Kind, *, dpi: float = 130) -> bytes:
    """The file that `figure` becomes; `dpi` is the PNG's."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=dpi, metadata={"Date": None} if kind == "svg" else {})
    return buffer.getvalue()
