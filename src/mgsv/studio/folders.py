"""The folders that were named at the start: nothing outside of them is ever opened."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mgsv.media.extensions import VIDEO_EXTENSIONS
from mgsv.studio.problems import Refusal

CLIP_EXTENSIONS = VIDEO_EXTENSIONS | {"gif", "png", "apng"}
MOST_ENTRIES = 2000
LONGEST_NAME = 180
"""Bytes of the name of a clip that is kept: file systems take 255, and results add to it."""
_SEPARATORS = re.compile(r"[/\\]")


@dataclass(frozen=True)
class Entry:
    """A folder or a clip in a listing."""

    name: str
    path: str
    """Below the folder that was named, with slashes."""
    folder: bool
    size: int = 0


class Folders:
    """The clips at and under some folders."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = [root.expanduser().resolve() for root in roots]

    def names(self) -> list[str]:
        return [root.name or str(root) for root in self.roots]

    def clip(self, number: int, path: str) -> Path:
        """The clip at `path` below the folder `number`, all links followed.

        Raises `Refusal` where there is none, wherever else the path may lead.
        """
        found = self._inside(number, path)
        if not found.is_file() or not _is_clip(found.name):
            raise _missing()
        return found

    def list(self, number: int, path: str = "") -> list[Entry]:
        """What lies in a folder: folders first, then clips, at most 2,000. Hidden ones are not
        shown."""
        folder, root = self._inside(number, path), self.roots[number]
        if not folder.is_dir():
            raise _missing()
        entries = []
        try:
            with os.scandir(folder) as found:
                for entry in found:
                    if (one := _entry(entry, folder, root)) is not None:
                        entries.append(one)
                    if len(entries) == MOST_ENTRIES:
                        break
        except OSError as error:
            raise _missing() from error
        return sorted(entries, key=lambda one: (not one.folder, one.name.casefold()))

    def holds(self, path: Path) -> bool:
        """Whether a file that was picked earlier is still inside of one of the folders."""
        try:
            real = path.resolve(strict=True)
        except OSError:
            return False
        return real == path and any(real.is_relative_to(root) for root in self.roots)

    def _inside(self, number: int, path: str) -> Path:
        if not 0 <= number < len(self.roots):
            raise _missing()
        root, parts = self.roots[number], [part for part in path.split("/") if part]
        if path.startswith("/") or any(part.startswith(".") or "\0" in part for part in parts):
            raise _missing()
        try:
            found = root.joinpath(*parts).resolve(strict=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise _missing() from error
        if not found.is_relative_to(root):
            raise _missing()
        return found


def safe_name(name: str) -> str:
    """What a file is called here that was called `name` elsewhere: no folders, nothing that hides
    or turns round parts of it, and not too long for a file system."""
    last = _SEPARATORS.split(name)[-1]
    kept = "".join(c for c in last if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    stem, dot, ending = kept.strip().lstrip(".").rpartition(".")
    if not dot:
        stem, ending = ending, ""
    ending = ending[:10]
    room = LONGEST_NAME - len(ending.encode()) - 1
    stem = stem.encode()[:room].decode(errors="ignore").strip() or "clip"
    return f"{stem}.{ending}" if ending else stem


def _is_clip(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower().lstrip(".") in CLIP_EXTENSIONS


def _entry(entry: os.DirEntry[str], folder: Path, root: Path) -> Entry | None:
    if entry.name.startswith(".") or not entry.name.isprintable():
        return None
    try:
        place = Path(entry.path).resolve(strict=True)
        if not place.is_relative_to(root):
            return None
        path = (folder.relative_to(root) / entry.name).as_posix()
        if place.is_dir():
            return Entry(entry.name, path, True)
        if place.is_file() and _is_clip(entry.name):
            return Entry(entry.name, path, False, place.stat().st_size)
    except (OSError, RuntimeError):
        pass
    return None


def _missing() -> Refusal:
    return Refusal(404, "there is no such clip or folder", "choose one that GET /folders lists")
