"""What a file says of itself in its tags: ID3, Vorbis comments, MP4's, RIFF's and the like."""

from __future__ import annotations

import contextlib
import os
import re

from mgsv.media.source import open_media

LONGEST = 300
"""Characters of a tag that are kept; a field may hold a book."""
_CONTROLS = re.compile(r"[\x80-\x9f]")  # of Latin-1: no text has them
_GAPS = re.compile(r"[\s\x00-\x1f\x7f]+")


def read_tags(path: str | os.PathLike[str]) -> dict[str, str]:
    """Tag in lower case → its text in one line, of the file and of its main sound.

    Bytes that are no text come out as `�`; UTF-8 and Windows-1252 that were declared as Latin-1 are
    put right. Raises `MediaError` if it is no media file.
    """
    with open_media(path) as container:
        sound = container.streams.best("audio")
        # Ogg's comments belong to the stream.
        own = dict(sound.metadata) if sound is not None else {}
        found = {**own, **container.metadata}
    tags = {name.lower(): _line(text) for name, text in found.items()}
    return {name: text for name, text in tags.items() if text}


def _line(text: str) -> str:
    if not text.isascii():
        for encoding in ("utf-8", "cp1252") if _CONTROLS.search(text) else ("utf-8",):
            with contextlib.suppress(UnicodeError):
                text = text.encode("latin-1").decode(encoding)
                break
        text = _CONTROLS.sub("�", text)
    text = _GAPS.sub(" ", text).strip()
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
