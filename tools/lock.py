"""Pins every package of every extra, for a set-up that gives the same tomorrow: constraints.txt.

    python tools/lock.py        # needs uv; `make lock` installs it

One file serves all systems and Pythons: uv puts a condition where they differ. It is for those who
work on mgsv. Who installs mgsv gets the newest releases that pyproject.toml allows.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILE = ROOT / "constraints.txt"
OLDEST = "3.11"
HELD = ("torch==2.13.*",)
"""The release that the Makefile looks for on the local disk."""
HEAD = """\
# Every package of every extra, pinned. Made by tools/lock.py; do not edit.
#   pip install --constraint constraints.txt --editable '.[dev]'
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        held, made = Path(folder, "held.txt"), Path(folder, "constraints.txt")
        held.write_text("\n".join(HELD))
        command = [
            *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal"),
            *("--all-extras", "--python-version", OLDEST, "--constraint", held),
            # The names of packages and versions alone, not from where or for whom.
            *("--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate"),
            *("--output-file", made, ROOT / "pyproject.toml"),
        ]
        subprocess.run(command, check=True)  # noqa: S603 (uv, with our own file)
        lines = made.read_text().splitlines()
    strange = [line for line in lines if not re.match(r"[a-z0-9._-]+==[^/@]+$", line)]
    if strange:
        sys.exit(f"a line that is no pinned release: {strange[0]}")
    FILE.write_text(HEAD + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
