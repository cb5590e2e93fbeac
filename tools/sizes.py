"""How much an installation of mgsv takes on the disk, package by package, as docs/install.md says.

    python tools/sizes.py             # the base package; writes the table of docs/install.md
    python tools/sizes.py research    # with an extra; prints alone

Installs this checkout into an empty environment, without pip in it, and adds up the blocks of what
each package has put there, compiled modules included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from wheels import write_table

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- sizes: tools/sizes.py -->\n", "<!-- end of sizes -->\n"
LISTED = 1e6
"""Bytes; smaller packages share a line."""

LIST = """
import importlib.metadata, json, re
def plain(name):
    return re.sub("[-_.]+", "-", name).lower()
def blocks(path):
    found = path.stat()
    return 512 * getattr(found, "st_blocks", -(-found.st_size // 512))
found = {}
for one in importlib.metadata.distributions():
    files = [file.locate() for file in one.files or ()]
    needs = [need for need in one.requires or () if "extra ==" not in need]
    needs = [plain(re.match("[A-Za-z0-9._-]+", need)[0]) for need in needs]
    found[plain(one.name)] = [sum(blocks(file) for file in files if file.is_file()), needs]
print(json.dumps(found))
"""
"""Prints name → [bytes, names it may need], of the environment that runs it."""


class Package(NamedTuple):
    size: int
    """Bytes on the disk."""
    needs: list[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("extra", nargs="?", help="one of the optional sets of dependencies")
    extra: str | None = parser.parse_args().extra
    with tempfile.TemporaryDirectory(prefix="mgsv-sizes-") as folder:
        found = installed(Path(folder), f"{ROOT}[{extra}]" if extra else str(ROOT))
    table = table_of(found)
    print(table)
    if extra is None:
        write_table(BEGIN, END, table)


def installed(folder: Path, requirement: str) -> dict[str, Package]:
    """What pip brings for `requirement`, by name."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)  # noqa: S603
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", requirement]
    subprocess.run(pip, check=True)  # noqa: S603
    listed = subprocess.run([python, "-c", LIST], check=True, capture_output=True, text=True)  # noqa: S603
    return {name: Package(*entry) for name, entry in json.loads(listed.stdout).items()}


def table_of(found: Mapping[str, Package]) -> str:
    """A row per package, the largest first, with who brings it."""
    lines = ["| package | MB | needed by |", "|---|---|---|"]
    sizes = {name: package.size for name, package in found.items()}
    small = {name: size for name, size in sizes.items() if size < LISTED}
    for name in sorted(sizes.keys() - small.keys(), key=lambda name: -sizes[name]):
        users = ", ".join(sorted(user for user, other in found.items() if name in other.needs))
        lines.append(f"| {name} | {sizes[name] / 1e6:.0f} | {users or 'you'} |")
    lines.append(f"| {len(small)} smaller ones | {sum(small.values()) / 1e6:.0f} | |")
    lines.append(f"| all {len(sizes)} | {sum(sizes.values()) / 1e6:.0f} | |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
