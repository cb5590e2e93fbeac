"""Build the documentation site: `python tools/build_site.py`, or `make docs`.

1. Pages are gathered in build/site-pages: those of docs/, a few from elsewhere in the repository,
   and the reference, which is made from the code (site_reference.py).
2. Zensical builds build/site from them, and ends with an error at a link to a page or heading that
   is not there, or at the name of an object that does not exist.
3. What Zensical does not look at is checked in the finished pages (check_site.py).
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import check_site
import site_reference

ROOT = Path(__file__).parents[1]
PAGES, SITE = ROOT / "build/site-pages", ROOT / "build/site"
FROM_ELSEWHERE = {
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "recipes/mgsv_ec.md": "mgsv-ec.md",
    "src/mgsv/models/weights/made.md": "model-card.md",
}
"""Pages that lie outside docs/, where people look for them in a repository."""

LINK = re.compile(r"(!?)\[((?:[^][]|\[[^]]*\])*)\]\(([^)\s]+)\)")


def gather(pages: Path = PAGES) -> None:
    """Write all pages that the site is built from to `pages`, a folder that is made anew."""
    shutil.rmtree(pages, ignore_errors=True)
    places = {path: path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    places |= {ROOT / source: Path(name) for source, name in FROM_ELSEWHERE.items()}
    for source, place in places.items():
        target = pages / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_with_links_of_the_site(source, place, places), encoding="utf-8")
    shutil.copytree(ROOT / "docs/images", pages / "images")
    site_reference.write_pages(pages / "reference")


def _with_links_of_the_site(source: Path, place: Path, places: dict[Path, Path]) -> str:
    """The page's text; its links to files that the site does not have become their words."""

    def moved(link: re.Match[str]) -> str:
        mark, words, target = link.groups()
        name, hash_, heading = target.partition("#")
        if "://" in target or not name:
            return link[0]
        path = Path(os.path.normpath(source.parent / name))
        if path in places:
            name = os.path.relpath(places[path], place.parent)
        elif path.is_relative_to(ROOT / "docs"):
            name = os.path.relpath(path.relative_to(ROOT / "docs"), place.parent)
        elif path.exists():
            return words
        return f"{mark}[{words}]({name}{hash_}{heading})"

    text = source.read_text(encoding="utf-8")
    blocks = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(b if b.startswith("```") else LINK.sub(moved, b) for b in blocks)


def build() -> list[str]:
    """Gather, build and check; returns what is wrong, a line each."""
    gather()
    shutil.rmtree(SITE, ignore_errors=True)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    done = subprocess.run(  # noqa: S603
        command, cwd=ROOT, env=os.environ | {"NO_COLOR": "1"}
    )
    if done.returncode:
        return ["Zensical did not build the site"]
    return check_site.problems(SITE, pages=PAGES)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=Path, help="only gather the pages, in this folder")
    arguments = parser.parse_args()
    if arguments.pages:
        gather(arguments.pages)
        return 0
    begun = time.monotonic()
    wrong = build()
    print(*wrong, sep="\n", end="\n" if wrong else "")
    if not wrong:
        count = len(list(SITE.rglob("*.html")))
        print(f"{SITE / 'index.html'}: {count} pages in {time.monotonic() - begun:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
