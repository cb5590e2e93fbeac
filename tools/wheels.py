"""Whether each dependency of the base package has a wheel for every system and Python we name.

    python tools/wheels.py          # asks pip's index; writes the table of docs/install.md

A package's own dependencies are asked for too, by the names in the metadata of what is installed.
"""

from __future__ import annotations

import importlib.metadata
import itertools
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SYSTEMS = {
    "Windows x86-64": ("win_amd64",),
    "macOS arm64": tuple(
        f"macosx_{n}_0_{kind}" for n in (14, 13, 12, 11) for kind in ("arm64", "universal2")
    ),
    "macOS x86-64": (
        *(f"macosx_{n}_0_{kind}" for n in (14, 13, 12, 11) for kind in ("x86_64", "universal2")),
        *(
            f"macosx_10_{n}_{kind}"
            for n in (15, 14, 13, 12, 9)
            for kind in ("x86_64", "universal2")
        ),
    ),
    "Linux x86-64": tuple(f"manylinux{n}_x86_64" for n in ("_2_28", "_2_27", "_2_17", "2014")),
    "Linux arm64": tuple(f"manylinux{n}_aarch64" for n in ("_2_28", "_2_27", "_2_17", "2014")),
}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PAGE = Path(__file__).parents[1] / "docs/install.md"
BEGIN, END = "<!-- wheels: tools/wheels.py -->\n", "<!-- end of wheels -->\n"


def dependencies(package: str = "mgsv") -> dict[str, str]:
    """What `package` needs, directly or not, without extras: name → requirement."""
    found: dict[str, str] = {}
    waiting = [package]
    while waiting:
        for requirement in importlib.metadata.requires(waiting.pop()) or ():
            text, _, marker = requirement.partition(";")
            name = re.split(r"[\s<>=!~\[(;]", text.strip(), maxsplit=1)[0].lower()
            if "extra" in marker or name in found or not installed(name):
                continue
            found[name] = text.strip()
            waiting.append(name)
    return dict(sorted(found.items()))


def installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def missing(requirements: list[str], system: str, python: str) -> list[str]:
    """Those that have no wheel there."""
    if have_wheels(requirements, system, python):
        return []
    if len(requirements) == 1:
        return requirements
    half = len(requirements) // 2
    parts = requirements[:half], requirements[half:]
    return [name for part in parts for name in missing(part, system, python)]


def have_wheels(requirements: list[str], system: str, python: str) -> bool:
    """Whether pip finds a wheel of every one, without what they need in turn."""
    platforms = [word for tag in SYSTEMS[system] for word in ("--platform", tag)]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(  # noqa: S603 (pip, with our own requirements)
            [
                *(sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps"),
                *("--ignore-installed", "--only-binary=:all:", "--python-version", python),
                *(*platforms, "--target", folder, *requirements),
            ],
            capture_output=True,
            check=False,
        )
    return done.returncode == 0


def write_table(begin: str, end: str, table: str) -> None:
    """Put a table between two lines of the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    PAGE.write_text(f"{before}{begin}\n{table}\n{end}{after}", encoding="utf-8")


def main() -> None:
    wanted = dependencies()
    lacking: dict[str, dict[str, list[str]]] = {name: {} for name in wanted.values()}

    def ask(place: tuple[str, str]) -> None:
        system, python = place
        for requirement in missing([*wanted.values()], system, python):
            lacking[requirement].setdefault(system, []).append(python)
        print(system, python, file=sys.stderr, flush=True)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(ask, itertools.product(SYSTEMS, PYTHONS)))

    def cell(requirement: str, system: str) -> str:
        without = lacking[requirement].get(system, [])
        good = [python for python in PYTHONS if python not in without]
        return "all" if not without else ", ".join(good) or "none"

    lines = [f"| package | {' | '.join(SYSTEMS)} |", "|---" * (len(SYSTEMS) + 1) + "|"]
    for name, requirement in wanted.items():
        lines.append(f"| {name} | {' | '.join(cell(requirement, system) for system in SYSTEMS)} |")
    table = "\n".join(lines) + "\n"
    write_table(BEGIN, END, table)
    print(table)


if __name__ == "__main__":
    main()
