"""What not every system has, each with what takes its place where it is missing.

Nothing else in the package uses such names. Linux is where the tests run; one of them takes the
names away and goes through the core without them.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import importlib
import os
import select
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

AnyPath = str | bytes | os.PathLike[str]

OPEN_FILES_MOVE = os.name == "posix"
"""Whether a file or folder can be renamed and removed while it is open."""
PIPES_TIME_OUT = hasattr(select, "poll")
"""Whether a pipe can be waited for with a limit. On Windows only sockets can."""
KILLED: int = getattr(signal, "SIGKILL", signal.SIGTERM)
"""The signal that ends a process without asking it."""

_PLAINLY: int = (
    getattr(os, "O_NONBLOCK", 0)  # a FIFO waits for its writer
    | getattr(os, "O_NOCTTY", 0)  # a terminal would become this process's own
    | getattr(os, "O_BINARY", 0)  # Windows takes files for text
)
_NO_LINK: int = getattr(os, "O_NOFOLLOW", 0)


def open_to_read(path: AnyPath, *, follow: bool = True) -> int:
    """A descriptor to read the file, or the folder, at `path`, got without waiting for anything.

    follow: whether a symbolic link is followed; else it is an `OSError`.
    """
    if not follow and not _NO_LINK and os.path.islink(path):  # noqa: PTH114 (may be bytes)
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
    return os.open(path, os.O_RDONLY | _PLAINLY | (0 if follow else _NO_LINK))


def create(path: Path) -> None:
    """Make an empty file. Raises `FileExistsError` where there is anything, a dangling link too."""
    # Not from `tempfile`, which would make it private.
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))


def lock(descriptor: int, *, wait: bool = False) -> bool:
    """Take the lock on an open file, or folder; False where another process holds it.

    It is given back when the descriptor is closed, also by the end of the process, so none is ever
    stale. Windows locks the first byte, against reading too. Raises `OSError` where there are no
    locks.
    """
    from filelock import lock_descriptor  # not at the top: decoder processes need none

    return lock_descriptor(descriptor, blocking=wait)


def hold(descriptor: int) -> bool:
    """The same where nothing better can be done without locks: True then, too."""
    try:
        return lock(descriptor)
    except OSError:
        return True


def seeker(descriptor: int) -> Callable[..., int]:
    """`lseek` of the C library, which answers -1 to a place that no file can have.

    Python code that takes its place misses a Ctrl-C if it is called back from C.
    """
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):  # the C library is not part of the program
        return functools.partial(_seek, descriptor)
    seek = getattr(library, "lseek64", None) or library.lseek
    seek.argtypes, seek.restype = (ctypes.c_int, ctypes.c_int64, ctypes.c_int), ctypes.c_int64
    return functools.partial(seek, descriptor)


def _seek(descriptor: int, offset: int, whence: int = os.SEEK_SET) -> int:
    try:
        return os.lseek(descriptor, offset, whence)
    except (OSError, OverflowError):
        return -1


def sync_file(path: Path) -> None:
    """Return when the content of the file is on the disk."""
    with path.open("r+b") as file:  # Windows syncs only what may be written
        os.fsync(file.fileno())


def sync_name(path: Path) -> None:
    """Have the name of `path` outlive a power cut, where the filesystem can promise that."""
    with contextlib.suppress(OSError):  # folders cannot be opened on Windows
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Return when everything in `folder` is on the disk."""
    # One call for everything, since there may be 100,000 files in it, and syncing each takes longer
    # than writing it.
    sync: Callable[[], None] | None = getattr(os, "sync", None)
    if sync is not None:
        sync()
        return
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink():
            sync_file(file)


def available_cores() -> int:
    """Cores that this process may use; at least 1."""
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


def installed_memory() -> int | None:
    """Bytes; None where the system does not say."""
    sysconf: Callable[[str], int] | None = getattr(os, "sysconf", None)
    if sysconf is None:
        return None
    try:
        return sysconf("SC_PAGE_SIZE") * sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None


def limit_resources(memory: int) -> None:
    """Take no more than `memory` bytes, leave no core files, and be the first process to end where
    memory runs out; each where the system knows how.
    """
    with contextlib.suppress(ImportError):
        resource: Any = importlib.import_module("resource")
        # Data, not address space, of which threads reserve far more than they use.
        for kind, most in (("RLIMIT_DATA", memory), ("RLIMIT_CORE", 0)):
            # A lower limit may stand already.
            with contextlib.suppress(AttributeError, OSError, ValueError):
                resource.setrlimit(getattr(resource, kind), (most, most))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def after_fork(function: Callable[[], None]) -> Callable[[], None]:
    """Have `function` called in each forked copy of this process, where there can be any."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=function)
    return function
