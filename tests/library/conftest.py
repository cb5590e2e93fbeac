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
