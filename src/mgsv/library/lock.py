"""The right to write a library, held by one process at a time."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mgsv.errors import LibraryError, shown
from mgsv.portable import lock


@contextlib.contextmanager
def locked(folder: Path, wait: float, tell: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of the library in `folder`.

    An advisory lock: the system drops it when its holder dies, so none is ever stale. If another
    process holds it, `tell` is called once and up to `wait` seconds are waited. Raises
    `LibraryError` where it is not free by then or the filesystem has no locks, and `OSError` where
    its file cannot be made.
    """
    with (folder / "lock").open("a+b", buffering=0) as file:
        end = time.monotonic() + wait
        notified = False
        while not _taken(file.fileno(), folder):
            file.seek(1)
            holder = f"process {file.read(20).decode('ascii', 'replace').strip() or '?'}"
            if time.monotonic() >= end:
                raise LibraryError(
                    f"{shown(folder)}: {holder} is writing this library",
                    "try again when it has finished",
                )
            if not notified:
                tell(f"waiting for {holder}, which is writing this library")
                notified = True
            time.sleep(0.05)
        with contextlib.suppress(OSError):  # a full disk has no room for the number
            file.truncate(0)
            file.write(b" %d\n" % os.getpid())  # the first byte cannot be read on every system
        yield


def _taken(descriptor: int, folder: Path) -> bool:
    try:
        return lock(descriptor)
    except OSError as error:
        raise LibraryError(
            f"{shown(folder)}: its filesystem cannot lock files ({error.strerror})",
            "keep the library on a local disk: name another folder with `folder`",
        ) from error
