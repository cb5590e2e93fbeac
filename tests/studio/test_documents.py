"""What the studio says of tracks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mgsv.library.credits import NO_CREDITS, Credits
from synthetic import random_track

pytest.importorskip("fastapi", reason="the extra `studio` is missing")


def test_a_track_names_its_licence_where_one_is_known() -> None:
    from mgsv.studio.documents import TrackDocument

    track = random_track("song.ogg", 20, seed=1).track
    plain = TrackDocument.of(replace(track, credits=NO_CREDITS))
    assert plain.licence == "" and "unknown" in plain.credits
    known = replace(track, credits=Credits(artist="Ann \udcff", licence="CC-BY-4.0"))
    document = TrackDocument.of(known)
    assert document.licence == "CC-BY-4.0" and "Ann ?" in document.credits
