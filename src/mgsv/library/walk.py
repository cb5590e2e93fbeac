"""Which music files lie under a folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mgsv.errors import LibraryError, shown
from mgsv.media.extensions import MUSIC_EXTENSIONS


class Found(NamedTuple):
    """A music file as the walk saw it, or a place that should have held one and cannot be read."""

    path: bytes
    size: int = 0
    mtime_ns: int = 0
    problem: str = ""


def plain(path: str | os.PathLike[str]) -> bytes:
    """`path` as absolute bytes, `~` expanded, `..` folded, links kept as they are.

    Bytes, because that is what names are: one that is not UTF-8 has no text form SQLite would take.
    """
    # Not Path.resolve(), which follows links.
    return os.fsencode(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100


def find_music(roots: list[bytes]) -> Iterator[Found]:
    """Every music file at or under the absolute `roots`; see `find_files`."""
    return find_files(roots, MUSIC_EXTENSIONS)


def find_files(roots: list[bytes], endings: frozenset[str]) -> Iterator[Found]:
    """Every file with one of `endings` (lower case, no dot) at or under the absolute `roots`.

    Each path comes once, by name in each folder; a root that is a file may have any ending.

    Links are followed; a folder reached a second time, by a loop or otherwise, is not entered
    again. Hidden files and folders are skipped inside a root. What has such an ending but is no
    readable regular file, and folders that cannot be listed, come out as `Found` with a `problem`.

    Raises `LibraryError` for a root that does not exist, cannot be listed, or is neither a file
    nor a folder.
    """
    entered: set[tuple[int, int]] = set()
    given: set[bytes] = set()
    for root in roots:
        try:
            status = os.stat(root)  # noqa: PTH116 (bytes)
            if stat.S_ISDIR(status.st_mode):
                os.scandir(root).close()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise LibraryError(
                f"{_shown(root)}: {_reason(error)}", "check the name and its permissions"
            ) from error
        if stat.S_ISDIR(status.st_mode):
            found = _walk(root, status, endings, entered)
        elif stat.S_ISREG(status.st_mode):
            found = iter([Found(root, status.st_size, status.st_mtime_ns)])
        else:
            raise LibraryError(
                f"{_shown(root)}: neither a folder nor a regular file",
                "name a music file or folder",
            )
        for item in found:
            if item.path not in given:
                given.add(item.path)
                yield item


def _walk(
    folder: bytes,
    status: os.stat_result,
    endings: frozenset[str],
    entered: set[tuple[int, int]],
) -> Iterator[Found]:
    """Depth first with a stack of its own, so that depth is no limit."""
    pending = [(folder, status)]
    while pending:
        folder, status = pending.pop()
        identity = status.st_dev, status.st_ino
        if identity in entered:
            continue
        entered.add(identity)
        try:
            with os.scandir(folder) as entries:
                listing = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield Found(folder, problem=_reason(error))
            continue
        inner = []
        for entry in listing:
            if entry.name.startswith(b"."):
                continue
            wanted = _has_ending(entry.name, endings)
            try:
                # Without this test every other file would cost a stat.
                if not wanted and not entry.is_dir():
                    continue
                status = entry.stat()
            except OSError as error:
                if wanted:
                    yield Found(entry.path, problem=_reason(error))
                continue
            if stat.S_ISDIR(status.st_mode):
                inner.append((entry.path, status))
            elif stat.S_ISREG(status.st_mode):
                yield Found(entry.path, status.st_size, status.st_mtime_ns)
            else:
                yield Found(entry.path, problem="not a regular file")
        pending.extend(reversed(inner))


def _has_ending(name: bytes, endings: frozenset[str]) -> bool:
    _, dot, ending = name.rpartition(b".")
    return bool(dot) and ending.decode("ascii", "replace").lower() in endings


def _reason(error: OSError | ValueError) -> str:
    return str(getattr(error, "strerror", None) or error).lower()


def _shown(path: bytes) -> str:
    return shown(os.fsdecode(path))
