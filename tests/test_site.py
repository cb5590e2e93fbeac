"""The documentation site: all pages are in it, and nothing in it leads nowhere."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import click
import pytest

import mgsv
from mgsv import plugins

ROOT = Path(__file__).parents[1]
NAV = re.findall(r"^ +- .*: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)


@pytest.fixture(scope="module")
def tools() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tools"))
        yield


@pytest.fixture(scope="module")
def reference(tools: None) -> Any:
    return importlib.import_module("site_reference")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, tools: None) -> Path:
    pytest.importorskip("fastapi", reason="the REST reference needs the extra mgsv[studio]")
    folder = tmp_path_factory.mktemp("site") / "pages"
    importlib.import_module("build_site").gather(folder)
    return folder


def named(name: str) -> Any:
    """The object of a dotted name."""
    module, rest = name, list[str]()
    while True:
        try:
            found = importlib.import_module(module)
            break
        except ModuleNotFoundError:
            module, _, last = module.rpartition(".")
            rest.insert(0, last)
    for part in rest:
        found = getattr(found, part)
    return found


def test_every_page_is_in_the_navigation(pages: Path) -> None:
    assert sorted(str(page.relative_to(pages)) for page in pages.rglob("*.md")) == sorted(NAV)


def test_a_page_has_one_name_in_the_menu_and_as_its_heading(pages: Path) -> None:
    """The heading may say more after a colon; the front page is called home."""
    for name, place in re.findall(
        r"^ +- (.*): (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M
    ):
        heading = re.search(r"^# (.*)$", (pages / place).read_text(), re.M)
        assert heading is not None, place
        assert place == "index.md" or heading[1].partition(":")[0] == name, place


def test_links_between_pages_hold(pages: Path) -> None:
    """And a link to a file that only the repository has is no link on the site."""
    for page in pages.rglob("*.md"):
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.relative_to(pages)}: {target}"
    assert "[model card](model-card.md)" in (pages / "limits.md").read_text().replace("\n", " ")
    recipe = (pages / "mgsv-ec.md").read_text()
    assert "](" not in re.sub(r"\]\((cluster|results)\.md#", "", recipe)


def test_no_code_in_a_table_has_a_backslash_before_a_bar(pages: Path) -> None:
    """A forge drops the backslash there, the site shows it; values have code spans of their own."""
    for page in pages.rglob("*.md"):
        for row in re.findall(r"^\|.*", page.read_text(), re.M):
            assert not re.search(r"`[^`]*\\\|[^`]*`", row), f"{page.relative_to(pages)}: {row}"


def test_the_reference_has_every_public_name(reference: Any) -> None:
    names = {name for part in reference.PYTHON.values() for name in part.names}
    public = [getattr(mgsv, name) for name in mgsv.__all__ if name != "__version__"]
    assert {f"{one.__module__}.{one.__qualname__}" for one in public} <= names


def test_the_reference_has_every_command_and_option(reference: Any, pages: Path) -> None:
    text = (pages / "reference/commands.md").read_text()
    assert "## mgsv library uses forget\n" in text
    for context, command in reference.commands():
        _, _, section = text.partition(f"\n## {context.command_path}\n")
        section = section.partition("\n## ")[0]
        for option in (one for one in command.params if isinstance(one, click.Option)):
            assert option.hidden or all(flag in section for flag in option.opts), option.name


def test_the_rest_reference_has_every_call(reference: Any, pages: Path) -> None:
    text = (pages / "reference/rest.md").read_text()
    document = reference.openapi()
    for path, operations in document["paths"].items():
        for method in operations:
            assert f"\n## {method.upper()} {path}\n" in text
    for name in document["components"]["schemas"]:
        assert f"\n### {name}\n" in text
    headings = {h.lower() for h in re.findall(r"^#+ (.*)$", text, re.M)}
    assert set(re.findall(r"\]\(#([^)]*)\)", text)) <= headings


def test_names_on_the_pages_exist() -> None:
    """What stands in backticks as `mgsv.something` can be imported, or is a group of plug-ins."""
    found, groups = 0, {f"mgsv.{kind}s" for kind in get_args(plugins.Kind)}
    for page in (ROOT / "docs").rglob("*.md"):
        for name in re.findall(r"`(mgsv(?:\.[A-Za-z_]+)+)(?:\([^`]*\))?`", page.read_text()):
            if name not in groups and not re.search(r"\.(mp4|jsonl|onnx)$", name):
                named(name)
                found += 1
    assert found > 20


def write(site: Path, name: str, body: str) -> None:
    (site / name).write_text(f"<html><body>{body}</body></html>")


def test_the_check_finds_what_is_wrong(tmp_path: Path, tools: None) -> None:
    check_site = importlib.import_module("check_site")
    (tmp_path / "picture.png").write_bytes(b"")
    write(tmp_path, "index.html", '<a href="a.html#top">a</a><img src="picture.png">')
    write(tmp_path, "a.html", '<h1 id="top">A</h1><a href="https://example.org">elsewhere</a>')
    assert check_site.problems(tmp_path) == []
    write(
        tmp_path, "a.html", '<a href="index.html#x">x</a><img src="no.png"><a href="b.html">b</a>'
    )
    write(tmp_path, "lonely.html", '<script src="https://example.org/x.js"></script>')
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/c.md").write_text("# C")
    assert check_site.problems(tmp_path, tmp_path / "pages") == [
        "a.html: index.html#x: there is no such heading",
        "a.html: b.html leads nowhere",
        "a.html: no.png leads nowhere",
        "index.html: a.html#top: there is no such heading",
        "lonely.html: https://example.org/x.js would be loaded from another host",
        "lonely.html: no page links to it",
        "c.html: it was not built",
    ]


@pytest.mark.thorough
def test_the_site_is_built() -> None:
    """By Zensical, which refuses unknown pages, headings and names."""
    pytest.importorskip("zensical", reason="zensical is missing: `make docs` installs it")
    done = subprocess.run(
        [sys.executable, ROOT / "tools/build_site.py"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
