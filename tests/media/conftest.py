"""What the tests of media files share."""

from __future__ import annotations

from pathlib import Path

import pytest

from media_files import Clip, write_audio, write_video
from render_support import music


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short clip and a track."""
    folder = tmp_path_factory.mktemp("shelf")
    write_video(folder / "clip.mp4", Clip(seconds=2.0, cuts=(1.0,)))
    write_audio(folder / "track.flac", music(), codec="flac")
    return folder
