"""The weights that come with mgsv; their model card lies beside them."""

from __future__ import annotations

import os
from pathlib import Path

SHIPPED = "made"
"""The model whose weights they are."""

DEFAULT = "default"
"""The name of the shipped checkpoint, in place of a file's."""


def shipped() -> Path:
    """The shipped checkpoint, made by recipes/default_model.py."""
    return Path(__file__).parent / f"{SHIPPED}.safetensors"


def checkpoint_named(name: str | os.PathLike[str]) -> Path:
    """The checkpoint that a user named: a file, or `default` for the shipped one."""
    return shipped() if str(name) == DEFAULT else Path(name)
