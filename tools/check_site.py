"""Check a built site: `python tools/check_site.py build/site`.

Every link, picture, script and style must be there, every `#heading` too; nothing may be loaded
from another host; and every page must be reachable from the first one.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}
"""What a browser loads by itself, and where the address stands."""
HARMLESS = {"canonical", "next", "prev", "alternate"}
"""Kinds of `<link>` that load nothing."""
VOID_PAGES = {"404.html"}


@dataclass
class _Page(HTMLParser):
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag in LOADED and LOADED[tag] in given and given.get("rel") not in HARMLESS:
            self.loaded.append(given[LOADED[tag]])


def problems(site: Path, pages: Path | None = None) -> list[str]:
    """What is wrong in the folder `site`, a line each.

    pages: the Markdown files that it was built from; each must have become a page.
    """
    read: dict[Path, _Page] = {}
    for path in sorted(site.rglob("*.html")):
        read[path] = _Page()
        read[path].feed(path.read_text(encoding="utf-8"))
    wrong: list[str] = []
    reached = {site / name for name in ("index.html", *VOID_PAGES)}
    for path, page in read.items():
        where = path.relative_to(site)
        for address in page.loaded:
            if urlsplit(address).netloc:
                wrong.append(f"{where}: {address} would be loaded from another host")
        for address in [*page.links, *page.loaded]:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or path.name in VOID_PAGES:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                wrong.append(f"{where}: {address} leads nowhere")
            elif target in read:
                reached |= {target} if target != path else set()
                if parts.fragment and unquote(parts.fragment) not in read[target].ids | {"__top"}:
                    wrong.append(f"{where}: {address}: there is no such heading")
    wrong += [f"{path.relative_to(site)}: no page links to it" for path in read.keys() - reached]
    for source in sorted(pages.rglob("*.md")) if pages else ():
        if not (page_file := site / source.relative_to(pages).with_suffix(".html")).exists():
            wrong.append(f"{page_file.relative_to(site)}: it was not built")
    return wrong


if __name__ == "__main__":
    found = problems(Path(sys.argv[1]).resolve())
    print(*found, sep="\n")
    raise SystemExit(1 if found else 0)
