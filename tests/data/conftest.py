"""Data shared by the tests of the data floor."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_support import SMALL, real_annotations
from mgsv.data.planted import plant


@pytest.fixture(scope="session")
def real_csvs() -> Path:
    return real_annotations()


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small planted benchmark, with its feature files beside the packed stores."""
    return plant(tmp_path_factory.mktemp("data") / "planted", SMALL, files=True)
