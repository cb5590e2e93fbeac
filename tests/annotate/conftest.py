from pathlib import Path

import numpy as np
import pytest

from media_files import write_audio
from mgsv.annotate import LandmarkIndex
from mgsv.library.fingerprints import open_fingerprints
from tunes import RATE, tune, write_tunes


@pytest.fixture(scope="session")
def tunes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tunes of 25 s, and `loop`, whose seconds 4 to 14 come again at 18."""
    folder = tmp_path_factory.mktemp("tunes") / "music"
    write_tunes(folder, range(3))
    once = tune(90, 18)
    again = np.concatenate([once, once[4 * RATE : 14 * RATE], tune(91, 4)])
    write_audio(folder / "loop.wav", again, rate=RATE)
    return folder


@pytest.fixture(scope="session")
def prints_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prints")


@pytest.fixture(scope="session")
def index(tunes: Path, prints_folder: Path) -> LandmarkIndex:
    return LandmarkIndex(open_fingerprints([bytes(tunes)], prints_folder)[0])
