"""Reading the authors' checkpoint files.

Nothing is unpickled but tensors in plain containers (`weights_only=True`).
"""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import torch
from torch import Tensor

from mgsv.errors import ConfigError, shown


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of an authors' checkpoint (`.pt`, `.pth`, `.bin`), under their names.

    The state dict may lie under a usual key and its names may start with `module.`. ConfigError
    for a file that is missing, truncated, or holds anything but tensors in plain containers.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of protocols it then refuses; the error says it
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except FileNotFoundError:
        raise ConfigError(f"{shown(path)}: no such file") from None
    except Exception as error:  # torch raises whatever its zip and pickle readers raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, pickle.UnpicklingError):  # torch's text advises to load it unsafely
            reason = "it holds other objects, or is damaged"
        raise ConfigError(
            f"{shown(path)}: not a checkpoint of plain tensors ({reason[:120]})",
            "files that hold code or other objects are never loaded",
        ) from None
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"{shown(path)}: holds no named weights")
    for name, value in content.items():
        if not isinstance(value, Tensor):
            raise ConfigError(f"{shown(path)}: {name!r} is not a tensor")
    return {str(name).removeprefix("module."): value for name, value in content.items()}
