"""The weights that come with mgsv; their model card lies beside them."""

from __future__ import annotations

import os
from pathlib import Path

_FOLDER = Path(__file__).parent

SHIPPED = "made"
"""The model whose weights they are."""

DEFAULT = "default"
"""The name of the shipped checkpoint, in place of a file's."""


def shipped() -> Path:
    """The shipped model, exported, made by recipes/default_model.py."""
    return _FOLDER / f"{SHIPPED}.onnx"


def shipped_checkpoint() -> Path:
    """What it was exported from: the checkpoint that a training may start from."""
    return _FOLDER / f"{SHIPPED}.safetensors"


def checkpoint_named(name: str | os.PathLike[str]) -> Path:
    """The checkpoint that a user named: a file, or `default` for the shipped one."""
    return shipped_checkpoint() if str(name) == DEFAULT else Path(name)
