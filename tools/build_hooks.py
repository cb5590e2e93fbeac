"""What hatchling calls while it builds: the manual, and a README that reads well elsewhere."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

REPOSITORY = "MGSV_REPOSITORY"
"""Environment variable that holds the address of the repository at the tag that is released, as in
https://HOST/OWNER/NAME/blob/v0.2.0. The release workflow knows it, and sets it.
"""


class ManPage(BuildHookInterface):  # type: ignore[type-arg]
    """Puts the commands' manual into the wheel, for `man mgsv`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        self._folder = tempfile.TemporaryDirectory(prefix="mgsv-man-")
        page = Path(self._folder.name) / "mgsv.1"
        with importable(Path(self.root) / "tools", Path(self.root) / "src"):
            from man_page import man_page

            page.write_text(man_page(self.metadata.version), encoding="utf-8")
        build_data["shared_data"][str(page)] = "share/man/man1/mgsv.1"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        self._folder.cleanup()


class Readme(MetadataHookInterface):
    """Gives the README absolute links, and the project its addresses, where these are known."""

    def update(self, metadata: dict[str, Any]) -> None:
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        if address := os.environ.get(REPOSITORY):
            with importable(Path(self.root) / "tools"):
                from readme_links import absolute_links

            text = absolute_links(text, address)
            home = address.partition("/blob/")[0]
            metadata["urls"] = {
                "Source": home,
                "Issues": f"{home}/issues",
                "Changes": f"{address}/CHANGELOG.md",
            }
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


@contextmanager
def importable(*folders: Path) -> Iterator[None]:
    """Inside, modules of these folders can be imported."""
    before = sys.path[:]
    sys.path[:0] = map(str, folders)
    try:
        yield
    finally:
        sys.path[:] = before
