"""A small real study, made once: two clips, three tunes, and three systems."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mgsv.study.create import create_study
from study_support import OPTIONS, Made, sound, write_clip
from tunes import write_tunes


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """`known.mp4` plays tune 1 from 7 s on, `other.mp4` a tune that is not in the library."""
    base = tmp_path_factory.mktemp("study")
    write_tunes(base / "music", range(3))
    (base / "clips").mkdir()
    write_clip(base / "clips" / "known.mp4", sound(1, 7, 13))
    write_clip(base / "clips" / "other.mp4", sound(77, 2, 8))
    created = create_study(
        [base / "clips"], [base / "music"], base / "study", OPTIONS, library=base / "library"
    )
    return Made(created, base / "clips", base / "music", base / "library")


@pytest.fixture
def own_study(made: Made, tmp_path: Path) -> Path:
    """A copy of the study, to answer it."""
    return shutil.copytree(made.folder, tmp_path / "study")
