"""Arrays kept in a cache folder: one safetensors file per thing, whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from mgsv.errors import OutputError
from mgsv.files import write_file

Arrays = Mapping[str, npt.NDArray[Any]]


def cached(folder: Path, content: str, maker: str, make: Callable[[], Arrays]) -> Arrays:
    """What `make` gives, made only where the cache `folder` does not hold it yet.

    content: hash of the file it is made from. maker: all else that shapes it, an encoder's
    fingerprint and a version say. A kept file that cannot be read is made anew. Raises OutputError
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
    data = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    try:
        write_file(file, data, overwrite=True, parents=True)
    except OutputError as error:
        raise OutputError(file, error.reason, "free some space, or give another --cache") from error
