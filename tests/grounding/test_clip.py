"""The clip as it is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from media_files import Clip, write_video
from mgsv import grounding
from mgsv.errors import MediaError
from mgsv.media import isolated


@pytest.mark.parametrize("what", ["written", "deleted"])
def test_a_clip_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """As when an editor is still exporting it."""
    clip = write_video(tmp_path / "clip.mp4", Clip(seconds=2))

    class Changing(isolated.VideoScan):
        def __iter__(self) -> Iterator[Any]:
            yield from super().__iter__()
            if what == "deleted":
                clip.unlink()
            else:
                write_video(clip, Clip(seconds=3))

    assert grounding.read_query(clip, "sync").seconds == pytest.approx(2)
    monkeypatch.setattr(isolated, "VideoScan", Changing)
    with pytest.raises(MediaError, match=r"clip\.mp4: it changed while it was being read: try"):
        grounding.read_query(clip, "sync")
