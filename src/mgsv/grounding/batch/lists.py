"""Reports and credits of a batch, which are written anew when it goes on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

from mgsv.errors import ConfigError
from mgsv.grounding.batch.journal import LISTED, NAME, journals
from mgsv.library.walk import plain


def wrote_list(path: Path, homes: Collection[Path]) -> bool:
    """Whether a batch with its results in one of `homes` wrote the file at `path` as it is now.

    Raises as `journals` does.
    """
    known = [home for home in homes if (home / NAME).exists()]
    if (state := _state(path)) is None or not known:
        return False
    with journals(known) as held:
        return any(journal.get(_name(path), LISTED, state) for journal in held.values())


def note_list(path: Path, homes: Collection[Path]) -> None:
    """Note in `homes` that a batch wrote the file at `path`."""
    # Where another process has come to work on a folder, the file counts as the user's own.
    with contextlib.suppress(ConfigError), journals([*homes]) as held:
        for journal in held.values():
            if (state := _state(path)) is not None:
                journal.add(_name(path), LISTED, state, True)


def _name(path: Path) -> str:
    return os.fsdecode(plain(path))


def _state(path: Path) -> tuple[int, int] | None:
    """(bytes, time of change in ns); None for what is no file."""
    if path.is_symlink() or not path.is_file():
        return None
    status = path.stat()
    return status.st_size, status.st_mtime_ns
