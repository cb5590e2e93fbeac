"""Arrays kept in a cache folder: one safetensors file per thing, whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from mgsv.errors import DataError

Arrays = Mapping[str, npt.NDArray[Any]]


def cached(folder: Path, content: str, maker: str, make: Callable[[], Arrays]) -> Arrays:
    """What `make` gives, made only where the cache `folder` does not hold it yet.

    content: hash of the file it is made from. maker: all else that shapes it, an encoder's
    fingerprint and a version say. A kept file that cannot be read is made anew. Raises DataError
    where the folder cannot be written.
    """
    file = folder / f"{content}-{maker.rpartition(':')[2]}.safetensors"
    try:
        return load_file(file)
    except (OSError, SafetensorError):
        arrays = make()
        _write(file, arrays)
        return arrays


def _write(file: Path, arrays: Arrays) -> None:
    """Keep `arrays` as `file`. Several processes may keep the same thing: the last one stays."""
    partial = file.with_name(f".{file.name}.{secrets.token_hex(4)}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, partial)
        partial.replace(file)
    except (OSError, SafetensorError) as error:
        raise DataError(
            file.parent, f"cannot be written ({error})", "make room or give another --cache"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
