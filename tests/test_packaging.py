"""What is built of this checkout: its version, its contents, its manual and its README."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections import defaultdict
from email.parser import Parser
from pathlib import Path

import click
import pytest
from check_distributions import IN_WHEELS, WANTED, names_in, problems
from man_page import commands, man_page
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from readme_links import absolute_links

from mgsv.cli import app

ROOT = Path(__file__).parents[1]
ADDRESS = "https://forge.example/owner/name/blob/v9.8.7"


def a_wheel(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as wheel:
        for name in names:
            wheel.writestr(name, "")
    return path


def test_a_complete_wheel_is_in_order(tmp_path: Path) -> None:
    names = [*WANTED, *(f"mgsv-1.data/{end}" for end in IN_WHEELS)]
    assert problems(a_wheel(tmp_path / "mgsv-1.whl", *names)) == []


def test_what_a_wheel_lacks_or_should_not_hold_is_named(tmp_path: Path) -> None:
    names = [*WANTED[1:], *IN_WHEELS, "tests/test_one.py", "mgsv/__pycache__/cli.cpython-311.pyc"]
    found = problems(a_wheel(tmp_path / "mgsv-1.whl", *names))
    assert found == [
        f"lacks {WANTED[0]}",
        "holds tests/test_one.py",
        "holds mgsv/__pycache__/cli.cpython-311.pyc",
    ]


def test_every_file_beside_the_code_is_wanted_or_of_a_kind_that_is() -> None:
    """A new vocabulary or network is added to what must be in a wheel."""
    package = ROOT / "src/mgsv"
    kinds = {".py", ".pyc", ".js", ".css", ".svg", ".html"}
    others = {
        file.relative_to(package.parent).as_posix()
        for file in package.rglob("*")
        if file.is_file() and file.suffix not in kinds and "networks" not in file.parts
    }
    assert others <= set(WANTED)


def test_the_manual_has_every_command_and_option() -> None:
    page = man_page("1.2.3")
    for name, command in commands(app, "mgsv"):
        _, _, rest = page.partition(f".SS {name} [OPTIONS]")
        assert rest, name
        section = rest.partition("\n.SS ")[0].replace("\\-", "-")
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert max(parameter.opts, key=len) in section, f"{name} {parameter.opts}"
    assert '"mgsv 1.2.3"' in page and "\n..\n" not in page


@pytest.mark.skipif(not shutil.which("groff"), reason="groff is not installed")
def test_the_manual_is_good_roff() -> None:
    done = subprocess.run(
        ["groff", "-man", "-ww", "-z", "-K", "utf8"],
        input=man_page("1.2.3").encode(),
        capture_output=True,
    )
    assert done.returncode == 0 and not done.stderr


def test_the_readmes_links_become_absolute() -> None:
    text = "![a clip](docs/a.png) [page](docs/b.md#part) [site](https://x.example/) [up](#top)"
    assert absolute_links(text, ADDRESS) == (
        f"![a clip]({ADDRESS.replace('/blob/', '/raw/')}/docs/a.png) "
        f"[page]({ADDRESS}/docs/b.md#part) [site](https://x.example/) [up](#top)"
    )
    readme = absolute_links((ROOT / "README.md").read_text(), ADDRESS)
    assert set(re.findall(r"\]\((?!#)([a-z]*)", readme)) == {"https"}


def test_every_dependency_is_pinned_to_a_release_that_is_allowed() -> None:
    """`make lock` mends it after a change to pyproject.toml."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = defaultdict(list)
    for line in lines:
        if not line.startswith("#"):
            pin = Requirement(line)
            (only,) = pin.specifier
            assert only.operator == "==" and pin.url is None
            pinned[canonicalize_name(pin.name)].append(only.version)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    for text in (*project["dependencies"], *itertools.chain(*extras)):
        wanted = Requirement(text)
        if wanted.name != "mgsv":
            versions = pinned[canonicalize_name(wanted.name)]
            assert versions and all(v in wanted.specifier for v in versions), text


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.y*ml")), ids=lambda p: p.name)
def test_what_the_forge_reads_is_well_formed_and_calls_what_there_is(path: Path) -> None:
    text = path.read_text()
    assert isinstance(pytest.importorskip("yaml").safe_load(text), dict)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"run: make ([a-z-]+)", text)) <= targets


@pytest.fixture(scope="module")
def without_git(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This source tree without its history, tests and documentation."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("src", "tools"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tree)
    return tree


@pytest.mark.thorough
def test_a_tree_without_git_gives_a_source_archive_and_of_it_a_wheel(
    without_git: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("build", reason="the package build is not installed")
    monkeypatch.setenv("MGSV_REPOSITORY", ADDRESS)
    command = [sys.executable, "-m", "build", "--outdir", tmp_path, without_git]
    done = subprocess.run(command, capture_output=True, text=True)
    if "No matching distribution" in done.stdout + done.stderr:
        pytest.skip("pip finds no packages to build with here")
    assert done.returncode == 0, done.stderr
    (wheel,), (source,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    assert wheel.name.startswith("mgsv-0.2.0.dev0-")
    assert problems(wheel) == [] and problems(source) == []
    packed = {name for name in names_in(wheel) if name.startswith("mgsv/")}
    with tarfile.open(source) as archive:
        given = {name.partition("/src/")[2] for name in archive.getnames() if "/src/" in name}
    assert packed <= given
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    assert f"Source, {ADDRESS.partition('/blob/')[0]}" in metadata.get_all("Project-URL", [])
    assert "](docs/" not in metadata.get_payload()
