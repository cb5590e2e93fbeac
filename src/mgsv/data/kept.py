"""Arrays kept in a cache folder: one safetensors file per thing, whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from mgsv.errors import DataError

Arrays = Mapping[str, npt.NDArray[Any]]


def read_kept(file: Path) -> Arrays | None:
    """The arrays in `file`; None where there is none, or none that can be read."""
    try:
        return load_file(file)
    except (OSError, SafetensorError):
        return None


def write_kept(file: Path, arrays: Arrays) -> None:
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
