"""How much is loaded to build each image of containers/, as docs/install.md says.

    python tools/image_sizes.py       # needs uv, and a wheel in dist/ (make lock, make dist)

Adds up the sizes of the wheels that pip would take for Python 3.13 on Linux x86-64, as the package
index states them; nothing is loaded or built. The Python image below them is not counted.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from wheels import write_table

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- images: tools/image_sizes.py -->\n", "<!-- end of images -->\n"
PROJECT = """\
[project]
name = "image"
version = "0"
requires-python = ">=3.11"
dependencies = {dependencies}

[tool.uv]
environments = [
    "sys_platform == 'linux' and platform_machine == 'x86_64' and python_version == '3.13'",
]
"""
SUITS = re.compile(
    r"-(cp313-cp313|cp3\d+-abi3|py3-none|py2\.py3-none)-(any|.*manylinux.*x86_64.*)\.whl$"
)
GPU = "onnxruntime-gpu[cuda,cudnn]>=1.20,<2"
LISTED = 20e6
"""Bytes; smaller wheels share a line."""


def sizes(dependencies: list[str]) -> dict[str, int]:
    """Bytes of the wheel of each package that these need, by name."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pyproject.toml").write_text(PROJECT.format(dependencies=dependencies))
        command = [sys.executable, "-m", "uv", "lock", "--quiet", "--project", folder]
        subprocess.run(command, check=True)  # noqa: S603 (uv, on our own file)
        locked = tomllib.loads(Path(folder, "uv.lock").read_text())["package"]
    found = {}
    for package in locked:
        fitting = [w["size"] for w in package.get("wheels", ()) if SUITS.search(w["url"])]
        if fitting:
            found[package["name"]] = min(fitting)
        elif package["name"] != "image":
            sys.exit(f"no wheel of {package['name']} for Python 3.13 on Linux x86-64")
    return found


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = [*project["dependencies"], *project["optional-dependencies"]["studio"]]
    (wheel,) = (ROOT / "dist").glob("*.whl")
    own = {"mgsv": wheel.stat().st_size}
    on_cpu = own | sizes(base)
    on_gpu = own | sizes([*(d for d in base if not d.startswith("onnxruntime")), GPU])
    names = sorted({**on_cpu, **on_gpu}, key=lambda n: -max(on_cpu.get(n, 0), on_gpu.get(n, 0)))
    large = [n for n in names if max(on_cpu.get(n, 0), on_gpu.get(n, 0)) >= LISTED]
    lines = ["| wheel | base, MB | GPU, MB |", "|---|---|---|"]
    for name in large:
        cells = (f"{held[name] / 1e6:.0f}" if name in held else "" for held in (on_cpu, on_gpu))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    rest = (sum(size for n, size in held.items() if n not in large) for held in (on_cpu, on_gpu))
    lines.append(f"| smaller ones | {' | '.join(f'{size / 1e6:.0f}' for size in rest)} |")
    lines.append(f"| all | {sum(on_cpu.values()) / 1e6:.0f} | {sum(on_gpu.values()) / 1e6:.0f} |")
    table = "\n".join(lines) + "\n"
    write_table(BEGIN, END, table)
    print(table)


if __name__ == "__main__":
    main()
