"""What many tests share: one indexed library of the bundled music, and a way to run the command."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

# One process of pytest runs per core, and threads of several processes that share the cores wait
# for each other. Set before anything loads torch or BLAS, and inherited by what the tests start.
if "PYTEST_XDIST_WORKER" in os.environ:
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")

import pytest

import real_media
import subprocesses
from data_support import SMALL, real_annotations
from kept_library import kept_library
from library_support import copy_library
from mgsv import Library
from mgsv.synthesis.planted import plant
from subprocesses import Run

SAMPLE = 2
"""Examples of a `sampled` test that are not slow."""


def pytest_configure() -> None:
    """Have Ctrl-C act, here and in what the tests start, which inherit that it is ignored.

    A shell that is not interactive has its background processes ignore it.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all but the first examples of a `sampled` test slow, before `-m` chooses."""
    seen: Counter[str] = Counter()
    for item in items:
        if item.get_closest_marker("sampled"):
            test = item.nodeid.partition("[")[0]
            seen[test] += 1
            if seen[test] > SAMPLE:
                item.add_marker("slow")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests measured and noted with `record_property`."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in getattr(report, "user_properties", ()):
                terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture(scope="session")
def bundled_folder(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Path:
    """A library of the 28 short and 2 long bundled tracks, indexed once for all tests."""
    # One folder for all of pytest's processes: the library makes the later ones wait for the first.
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "bundled"
    cache = getattr(request.config, "cache", None)  # none with -p no:cacheprovider
    music = [*real_media.bgm_tracks(), *real_media.long_tracks()]
    return kept_library(folder, music, cache and cache.mkdir("bundled") / "library")


@pytest.fixture
def public_path() -> Iterator[Path]:
    """Like tmp_path, but another user can reach it."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def bundled(bundled_folder: Path) -> Iterator[Library]:
    with Library.open(folder=bundled_folder) as library:
        yield library


@pytest.fixture
def own_library(tmp_path: Path, bundled_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The library that commands use in this test, which runs in `tmp_path`.

    It starts as a copy of the bundled one: copies of bundled tracks are recognised by their
    content, so that no test waits for an encoder unless it brings music of its own.
    """
    copy_library(bundled_folder, tmp_path / "library")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MGSV_LIBRARY", str(tmp_path / "library"))
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path / "library"


@pytest.fixture
def mgsv(own_library: Path) -> Run:
    """Runs `mgsv ARGUMENTS…`, in this process, in `tmp_path`, with a library of its own."""
    return subprocesses.mgsv_here


@pytest.fixture
def mgsv_process(own_library: Path) -> Run:
    """The same as a process of its own: slower, but with its own streams, signals and limits."""
    return subprocesses.mgsv_process


@pytest.fixture(scope="session")
def real_csvs() -> Path:
    return real_annotations()


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small planted benchmark, with its feature files beside the packed stores."""
    return plant(tmp_path_factory.mktemp("data") / "planted", SMALL, files=True)
