"""Files that appear complete or not at all.

A result is written under a passing name in the folder it is meant for and gets its own name only
when every byte is on the disk. Whatever goes wrong before that, Ctrl-C included, the passing name
is removed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from mgsv.errors import ConfigError, MediaError, shown

StrPath = str | os.PathLike[str]


def check_output(
    path: StrPath, suffixes: Collection[str], *, overwrite: bool, inputs: Collection[StrPath]
) -> Path:
    """`path` as a Path, if a result may be written there; asked before any work is done.

    Raises `ConfigError` for an ending not in `suffixes`, and `MediaError` where the folder is
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
        raise MediaError(path, "the folder it should go to does not exist", "create it first")
    if path.is_dir():
        raise MediaError(path, "there is a folder of this name", "choose another output name")
    for source in inputs:
        with contextlib.suppress(OSError):  # what is missing is not the same file
            if path.samefile(source):
                raise MediaError(path, "this is the input itself", "choose another output name")
    if os.path.lexists(path) and not overwrite:
        raise _exists(path)
    return path


@contextlib.contextmanager
def new_file(path: Path, *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """A binary file to write and seek in, which becomes `path` when the `with` block ends well.

    Raises `MediaError` where it cannot be written, or where `path` has come to exist meanwhile and
    `overwrite` is false. A symbolic link at `path` is replaced, not followed.
    """
    passing = path.with_name(f".mgsv-{secrets.token_hex(8)}.part")
    try:
        # Not from `tempfile`, which would make the result private. A plain buffered file, since it
        # writes all it is given or raises, and so that no Python code runs inside FFmpeg's
        # callbacks, where a Ctrl-C would be lost.
        file = passing.open("x+b")
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        with file:
            yield file
            # A write error that a caller missed comes up again here, before the result is named.
            file.flush()
            os.fsync(file.fileno())
        _give_name(passing, path, overwrite)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            file.close()  # a full disk makes the second flush fail as well
        passing.unlink(missing_ok=True)


def unwritable(path: StrPath, error: OSError) -> MediaError:
    """The error a user sees for an `OSError` met while writing `path`."""
    return MediaError(
        path,
        f"it cannot be written ({error.strerror or type(error).__name__})",
        "check the folder's permissions and the free space, or choose another output name",
    )


def _give_name(passing: Path, path: Path, overwrite: bool) -> None:
    """Rename; without `overwrite` in one step that, unlike `rename`, fails where `path` exists."""
    if overwrite:
        passing.replace(path)
        return
    try:
        os.link(passing, path)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise _exists(path) from None
        passing.rename(path)


def _exists(path: Path) -> MediaError:
    return MediaError(path, "it exists already", "choose another output name, or allow --overwrite")
