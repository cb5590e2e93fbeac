"""Processes in which PyTorch and what else `mgsv[research]` brings cannot be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mgsv.errors import RESEARCH

_HOOK = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {set(RESEARCH)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """`python ARGUMENTS…` without those packages; `folder` holds what keeps them out."""
    (folder / "sitecustomize.py").write_text(_HOOK)
    paths = [str(folder), *(path for path in sys.path if path)]
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
