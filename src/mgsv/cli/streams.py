"""Printing to terminals and files that cannot show every character."""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_LOOKALIKES = str.maketrans(
    {
        "–": "-",
        "—": "-",
        "−": "-",
        "…": "...",
        "×": "x",
        "→": "->",
        "•": "*",
        "·": "*",
    }
)
"""What we print ourselves besides letters, and how people type it."""

_HANDLER = "mgsv.readable"


def printable(text: str, encoding: str | None) -> str:
    """`text` with each character that `encoding` lacks as a lookalike or an escape.

    File names are not transliterated, since two of them could become one: ü is `\\xfc` in ASCII.
    """
    encoding = encoding or "utf-8"
    return text.encode(encoding, _HANDLER).decode(encoding)


@contextmanager
def readable_streams() -> Iterator[None]:
    """Inside, stdout and stderr take any text: `printable` is applied to what is written to them.

    Their encodings (the locale's, or `PYTHONIOENCODING`'s) stay as they are.
    """
    changed = []
    for stream in (sys.stdout, sys.stderr):
        # Anything may stand in for them: an `io.StringIO` has no encoding and lacks nothing.
        if isinstance(stream, io.TextIOWrapper):
            changed.append((stream, stream.errors))
            stream.reconfigure(errors=_HANDLER)
    try:
        yield
    finally:
        for stream, errors in changed:
            if not stream.closed:
                stream.reconfigure(errors=errors)


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    typed = [char.translate(_LOOKALIKES) for char in lacking]
    readable = (
        t if t.isascii() else c.encode("ascii", "backslashreplace").decode()
        for c, t in zip(lacking, typed, strict=True)
    )
    return "".join(readable), error.end


codecs.register_error(_HANDLER, _replace)
