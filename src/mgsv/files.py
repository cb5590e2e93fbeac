"""Results that appear complete or not at all. Every result is written through this module.

A file or folder is made under a passing name beside its place, and gets its own name only when
every byte is on the disk. Whatever goes wrong before that, Ctrl-C included, it is removed.

What a kill leaves behind is removed by the next run that writes the same result, and by
`remove_leftovers`. A lock distinguishes it from what another process is writing, and the
system drops it when its holder dies; where there are no locks, by its age.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from mgsv import portable
from mgsv.errors import ConfigError, OutputError, shown

StrPath = str | os.PathLike[str]

_PASSING = re.compile(r"\.mgsv-[0-9a-f]{16}(-[0-9a-f]{16})?\.part")
_OLD = 24 * 60 * 60.0
"""Seconds without a change after which a file is taken for abandoned."""
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def check_output(
    path: StrPath, suffixes: Collection[str], *, overwrite: bool, inputs: Collection[StrPath]
) -> Path:
    """`path` as a Path, if a result may be written there; called before any work is done.

    Raises `ConfigError` for an ending not in `suffixes`, and `OutputError` where the folder is
    missing, where something exists and `overwrite` is false, and, whatever `overwrite` says, where
    the name stands for a folder or, through any link, for one of the `inputs`.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise ConfigError(
            f"{shown(path)}: a result of this kind cannot be written",
            f"end the output's name in {', '.join(suffixes)}",
        )
    if not path.parent.is_dir():
        raise OutputError(path, "the folder it should go to does not exist", "create it first")
    if path.is_dir():
        raise OutputError(path, "there is a folder of this name", "choose another output name")
    for source in inputs:
        with contextlib.suppress(OSError):  # what is missing is not the same file
            if path.samefile(source):
                raise OutputError(path, "this is the input itself", "choose another output name")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(
            path, "it exists already", "choose another output name, or allow `overwrite`"
        )
    return path


def refuse_existing(path: StrPath) -> None:
    """Raise `OutputError` where there is anything at `path`, a dangling link included."""
    if os.path.lexists(path):
        raise _exists(path)


def refuse_special(path: StrPath) -> None:
    """`ConfigError` where `path` is a pipe or a device: to read it may take for ever."""
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ConfigError(f"{shown(path)}: is not a regular file")


@contextlib.contextmanager
def new_file(
    path: StrPath, *, overwrite: bool = False, parents: bool = False
) -> Iterator[BinaryIO]:
    """A binary file to write and seek in, which becomes `path` when the `with` block ends well.

    overwrite: whether `path` may exist. A symbolic link there is replaced, not followed.
    parents: make the folders above that are missing.

    Raises `OutputError` where it cannot be written, where `path` has come to exist meanwhile and
    `overwrite` is false, and where another process is writing it; with `overwrite`, that one is
    waited for.
    """
    path = Path(path)
    with _passing(path, portable.create, parents=parents, wait=overwrite) as passing:
        # A plain buffered file, since it writes all it is given or raises, and so that no Python
        # code runs inside FFmpeg's callbacks, where a Ctrl-C would be lost. To be read too, since
        # an edit list is mended in what was written.
        file = passing.open("w+b")
        try:
            with file:
                yield file
                # A write error that a caller missed comes up again here, before the result is
                # named.
                file.flush()
                os.fsync(file.fileno())
            _give_name(passing, path, overwrite)
        finally:
            with contextlib.suppress(OSError):
                file.close()  # a full disk makes the second flush fail as well


@contextlib.contextmanager
def new_text(path: StrPath, *, overwrite: bool = False, errors: str = "strict") -> Iterator[TextIO]:
    """A `new_file` for text in UTF-8, whose line ends are written as they are given."""
    with new_file(path, overwrite=overwrite) as file:
        text = io.TextIOWrapper(file, "utf-8", errors, newline="")
        try:
            yield text
        finally:
            text.detach()  # flushed, and not closed


@contextlib.contextmanager
def new_folder(path: StrPath, *, parents: bool = False) -> Iterator[Path]:
    """An empty folder to fill, which becomes `path` when the `with` block ends well.

    Raises `OutputError` where there is anything at `path`, and as `new_file` does.
    """
    path = Path(path)
    refuse_existing(path)
    with _passing(path, Path.mkdir, parents=parents, wait=False) as passing:
        yield passing
        portable.sync_folder(passing)
        refuse_existing(path)
        passing.rename(path)
        portable.sync_name(path)


def write_file(
    path: StrPath, content: bytes | str, *, overwrite: bool = False, parents: bool = False
) -> None:
    """Write a `new_file` in one go; text as UTF-8."""
    data = content.encode() if isinstance(content, str) else content
    with new_file(path, overwrite=overwrite, parents=parents) as file:
        file.write(data)


def put_in_place(finished: Path, path: Path, *, overwrite: bool = False) -> None:
    """Give a file that was written under another name in the same folder its own, `path`.

    For files that are made over several runs, or by another library. Raises as `new_file` does.
    """
    try:
        portable.sync_file(finished)
        _give_name(finished, path, overwrite)
    except OSError as error:
        raise unwritable(path, error) from error


def remove_leftovers(folder: StrPath) -> None:
    """Remove what killed runs left in `folder`. Nothing else is touched, and no other run's work.

    For folders that are this program's own; where the user's files lie, what writes the same result
    again removes its own leftover. What cannot be removed stays.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _PASSING.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    _remove_leftover(Path(entry.path), wait=False)


def remove_leftover(path: StrPath) -> None:
    """Remove what killed runs left of the result `path`; no other run's work."""
    path = Path(path)
    with contextlib.suppress(OSError):
        for passing in path.parent.glob(f".mgsv-{_mark(path)}*.part"):
            _remove_leftover(passing, wait=False)


def unwritable(path: StrPath, error: OSError) -> OutputError:
    """The error a user sees for an `OSError` met while writing `path`."""
    remedy = "free some space" if error.errno in _NO_ROOM else "check the folder's permissions"
    return OutputError(
        path,
        f"it cannot be written ({error.strerror or type(error).__name__})",
        f"{remedy}, or choose another output",
    )


def _exists(path: StrPath) -> OutputError:
    return OutputError(path, "it exists already", "choose another output, or move it away")


@contextlib.contextmanager
def _passing(
    path: Path, make: Callable[[Path], object], *, parents: bool, wait: bool
) -> Iterator[Path]:
    """What `make` makes beside `path`, held by this process alone; removed where the block fails.

    An `OSError` that leaves the block and names no other file is one of writing `path`.
    """
    try:
        if parents:
            path.parent.mkdir(parents=True, exist_ok=True)
        passing, descriptor = _take(path, make, wait)
        made = passing.lstat()
    except BlockingIOError as error:
        raise OutputError(
            path, "another process is writing it", "wait for that one, or choose another output"
        ) from error
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield passing
    except OSError as error:
        if _concerns(error, path, passing):
            raise unwritable(path, error) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            # Where it has its own name, the passing one may be another process's by now.
            if os.path.samestat(made, passing.lstat()):
                _remove(passing)
        if descriptor is not None:
            os.close(descriptor)


def _concerns(error: OSError, path: Path, passing: Path) -> bool:
    if not isinstance(error.filename, str | bytes):
        return True
    named = Path(os.fsdecode(error.filename))
    return path.is_relative_to(named) or named.is_relative_to(passing)


def _take(path: Path, make: Callable[[Path], object], wait: bool) -> tuple[Path, int | None]:
    """A passing name, made just now, and a descriptor that holds its lock; None without locks.

    The name is the same for every run that writes `path`, so that a leftover is found without
    looking through the folder. Raises `BlockingIOError` where another process holds it.
    """
    mark = _mark(path)
    name = path.with_name(f".mgsv-{mark}.part")
    while True:
        try:
            make(name)
        except FileExistsError:
            if not _remove_leftover(name, wait=wait):
                name = path.with_name(f".mgsv-{mark}-{secrets.token_hex(8)}.part")
            continue
        try:
            return name, _lock(name, wait=False)
        except (BlockingIOError, FileNotFoundError):
            continue  # taken for a leftover in the instant before it was locked
        except OSError:  # no locks here
            return name, None


def _mark(path: Path) -> str:
    return hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()


def _remove_leftover(path: Path, *, wait: bool) -> bool:
    """Remove what a killed run left at `path`; False where it must stay.

    Raises `BlockingIOError` where another process holds it, unless `wait`.
    """
    descriptor = None
    try:
        descriptor = _lock(path, wait=wait)
    except FileNotFoundError:
        return True
    except BlockingIOError:
        raise
    except OSError:  # no locks here
        try:
            if time.time() - path.lstat().st_mtime < _OLD:
                return False
        except FileNotFoundError:
            return True
    try:
        _remove(path)
    except OSError:  # another user's
        return False
    finally:
        if descriptor is not None:
            os.close(descriptor)
    return True


def _lock(path: Path, *, wait: bool) -> int:
    """A descriptor that holds the lock on the file or folder at `path`.

    Raises `BlockingIOError` where another process holds it, `FileNotFoundError` where it is gone,
    and another `OSError` where there are no locks, or none that let the result be renamed.
    """
    if not portable.OPEN_FILES_MOVE:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK), os.fspath(path))
    descriptor = portable.open_to_read(path, follow=False)
    try:
        if not portable.lock(descriptor, wait=wait):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), os.fspath(path))
        if not os.path.samestat(os.fstat(descriptor), path.lstat()):
            raise FileNotFoundError(errno.ENOENT, "replaced meanwhile", os.fspath(path))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _give_name(passing: Path, path: Path, overwrite: bool) -> None:
    """Rename; without `overwrite` in one step that, unlike `rename`, fails where `path` exists."""
    if overwrite:
        passing.replace(path)
    else:
        try:
            os.link(passing, path)
        except FileExistsError as error:
            raise _exists(path) from error
        except OSError:  # a filesystem without hard links
            refuse_existing(path)
            passing.rename(path)
        else:
            passing.unlink()
    portable.sync_name(path)
