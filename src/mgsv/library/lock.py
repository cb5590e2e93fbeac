"""The right to write a library, held by one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mgsv.errors import LibraryError, shown


@contextlib.contextmanager
def locked(folder: Path, wait: float, tell: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of the library in `folder`.

    An advisory lock: the kernel drops it when its holder dies, so none is ever stale. If another
    process holds it, `tell` is called once and up to `wait` seconds are waited. Raises
    `LibraryError` where it is not free by then or the filesystem has no locks, and `OSError` where
    its file cannot be made.
    """
    with (folder / "lock").open("a+b", buffering=0) as lock:
        end = time.monotonic() + wait
        told = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                lock.seek(0)
                holder = f"process {lock.read(20).decode('ascii', 'replace').strip() or '?'}"
                if time.monotonic() >= end:
                    raise LibraryError(
                        f"{shown(folder)}: {holder} is writing this library",
                        "try again when it has finished",
                    ) from None
                if not told:
                    tell(f"waiting for {holder}, which is writing this library")
                    told = True
                time.sleep(0.05)
            except OSError as error:
                raise LibraryError(
                    f"{shown(folder)}: its filesystem cannot lock files ({error.strerror})",
                    "keep the library on a local disk: name another folder with --library",
                ) from error
        with contextlib.suppress(OSError):  # a full disk has no room for the number
            lock.truncate(0)
            lock.write(b"%d\n" % os.getpid())
        yield
