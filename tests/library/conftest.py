import shutil
import tempfile
from pathlib import Path

import pytest

from library_support import TinyEncoder


@pytest.fixture
def encoder():
    return TinyEncoder()


@pytest.fixture
def music(tmp_path):
    return tmp_path / "music"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "library"


@pytest.fixture
def public_path():
    """Like tmp_path, but another user can reach it."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)
