"""Which music files lie under a folder."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from mgsv.errors import LibraryError, shown
from mgsv.media.extensions import COMPANION_EXTENSIONS, EITHER_EXTENSIONS, MUSIC_EXTENSIONS

_ENDINGS_NAMED = 6


class Found(NamedTuple):
    """A music file as the walk saw it, or a place that should have held one and cannot be read."""

    path: bytes
    size: int = 0
    mtime_ns: int = 0
    problem: str = ""
    may_be_video: bool = False
    """Its ending is one that songs and videos have; `is_video` looks inside."""


def plain(path: str | os.PathLike[str]) -> bytes:
    """`path` as absolute bytes, `~` expanded, `..` folded, links kept as they are.

    Bytes, because that is what names are: one that is not UTF-8 has no text form SQLite would take.
    """
    # Not Path.resolve(), which follows links.
    return os.fsencode(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100


def bounds_inside(folder: bytes, separator: bytes = os.sep.encode()) -> tuple[bytes, bytes]:
    """Between which two byte strings all paths inside `folder` sort, and no others."""
    # What lies inside "a" sorts between "a/" and "a0", "0" being the next byte.
    inside = folder.rstrip(separator)
    return inside + separator, inside + bytes([separator[0] + 1])


def lies_inside(path: bytes, root: bytes) -> bool:
    """Whether a path is `root` or below it."""
    low, high = bounds_inside(root)
    return path == root or low < path < high


def outermost(roots: list[bytes]) -> list[bytes]:
    """Those that lie in no other."""
    return [
        root
        for root in dict.fromkeys(roots)
        if not any(root != other and lies_inside(root, other) for other in roots)
    ]


def find_music(roots: list[bytes], others: set[bytes] | None = None) -> Iterator[Found]:
    """Every file at or under the absolute `roots` that is music, or may be; see `find_files`."""
    return find_files(roots, MUSIC_EXTENSIONS, EITHER_EXTENSIONS, others)


def find_files(
    roots: list[bytes],
    endings: frozenset[str],
    uncertain: frozenset[str] = frozenset(),
    others: set[bytes] | None = None,
) -> Iterator[Found]:
    """Every file with one of `endings` (lower case, no dot) at or under the absolute `roots`.

    Each path comes once, by name in each folder; a root that is a file may have any ending.

    uncertain: endings of files that come marked as such. others: gets the paths of all files in
    the folders that are left out, other than hidden ones and covers, lists and notes
    (`COMPANION_EXTENSIONS`).

    Links are followed; a folder reached a second time, by a loop or otherwise, is not entered
    again. Hidden files and folders are skipped inside a root. What has such an ending but is no
    readable regular file, and folders that cannot be listed, come out as `Found` with a `problem`.

    Raises `LibraryError` for a root that does not exist, cannot be listed, or is neither a file
    nor a folder.
    """
    others = set() if others is None else others
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
            found = _walk(root, endings, uncertain, others, entered)
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
    others -= given


def is_video(found: Found) -> bool:
    """Whether what was found among music has a moving picture. Raises `MediaError` if its ending
    does not tell and it is no readable media file.
    """
    if not found.may_be_video:
        return False
    from mgsv.media.isolated import has_moving_picture

    return has_moving_picture(os.fsdecode(found.path))


def require_unchanged(found: Found) -> None:
    """Raises `OSError` if the file is no longer as the walk saw it."""
    status = os.stat(found.path)  # noqa: PTH116 (bytes)
    if (status.st_size, status.st_mtime_ns) != (found.size, found.mtime_ns):
        raise OSError(0, "it changed while it was being read; try again when it is finished")


def by_ending(paths: Iterable[bytes]) -> dict[str, int]:
    """How many of `paths` have which ending ("" = none), the most frequent first."""
    counts = Counter(_ending(os.path.basename(path)) for path in paths)  # noqa: PTH119 (bytes)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def listed(counts: Mapping[str, int]) -> str:
    """What `by_ending` counted, as in "2 .webm, 1 without an ending"."""
    named = [
        f"{count} .{shown(ending)}" if ending else f"{count} without an ending"
        for ending, count in counts.items()
    ]
    if len(named) > _ENDINGS_NAMED:
        rest = sum(counts.values()) - sum(list(counts.values())[:_ENDINGS_NAMED])
        named = [*named[:_ENDINGS_NAMED], f"{rest} with other endings"]
    return ", ".join(named)


def left_out(counts: Mapping[str, int], kind: str) -> str:
    """The line that says what folders hold besides the `kind` of file that was looked for."""
    total = sum(counts.values())
    which = "1 file that is" if total == 1 else f"{total} files that are"
    return f"left out: {which} not {kind}: {listed(counts)} (name a file itself to use it)"


def _walk(
    folder: bytes,
    endings: frozenset[str],
    uncertain: frozenset[str],
    others: set[bytes],
    entered: set[tuple[int, int]],
) -> Iterator[Found]:
    """Depth first with a stack of its own, so that depth is no limit."""
    pending = [folder]
    while pending:
        folder = pending.pop()
        try:
            status = os.stat(folder)  # noqa: PTH116 (bytes); on Windows an entry's has no identity
            identity = status.st_dev, status.st_ino
            if identity in entered:
                continue
            entered.add(identity)
            with os.scandir(folder) as entries:
                listing = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield Found(folder, problem=_reason(error))
            continue
        inner = []
        for entry in listing:
            if entry.name.startswith(b"."):
                continue
            ending = _ending(entry.name)
            wanted, may_be = ending in endings, ending in uncertain
            try:
                # Without this test every other file would cost a stat.
                if not (wanted or may_be) and not entry.is_dir():
                    if ending not in COMPANION_EXTENSIONS:
                        others.add(entry.path)
                    continue
                status = entry.stat()
            except OSError as error:
                if wanted:
                    yield Found(entry.path, problem=_reason(error))
                else:
                    others.add(entry.path)
                continue
            if stat.S_ISDIR(status.st_mode):
                inner.append(entry.path)
            elif stat.S_ISREG(status.st_mode):
                yield Found(entry.path, status.st_size, status.st_mtime_ns, may_be_video=not wanted)
            elif wanted:
                yield Found(entry.path, problem="not a regular file")
            else:
                others.add(entry.path)
        pending.extend(reversed(inner))


def _ending(name: bytes) -> str:
    """Lower case and without the dot; "" where there is none."""
    _, dot, ending = name.rpartition(b".")
    return ending.decode("utf-8", "surrogateescape").lower() if dot else ""


def _reason(error: OSError | ValueError) -> str:
    return str(getattr(error, "strerror", None) or error).lower()


def _shown(path: bytes) -> str:
    return shown(os.fsdecode(path))
