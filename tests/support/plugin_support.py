"""Distributions with entry points, put into a folder as an installer would, without one."""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs/plugins.md").read_text()


def install(
    site: Path,
    name: str,
    entries: Mapping[str, Mapping[str, str]],
    files: Mapping[str, str],
    version: str = "1.0",
) -> None:
    """A distribution in `site`: entries by group and name, files by path."""
    for path, text in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    listed = configparser.ConfigParser(delimiters="=", interpolation=None)
    listed.read_dict(entries)
    with (folder / "entry_points.txt").open("w") as file:
        listed.write(file)


def files_of_the_manual() -> dict[str, str]:
    """The code blocks of docs/plugins.md that start with the name of a file."""
    blocks = re.findall(r"^```(?:python|toml)\n# (\S+)\n(.*?)^```", PAGE, re.M | re.S)
    return dict(blocks)
