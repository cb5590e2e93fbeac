"""The whole way with real music and the default encoder.

Tolerances: cosines of float32 means of 753 values; a batch of other patches changes features by
TRAINED of their largest value, some 100.
"""

import shutil

import numpy as np
import pytest

from library_support import start
from mgsv.encoders.registry import music_encoder
from mgsv.library import Library
from mgsv.media.audio import read_audio
from mgsv.media.rhythm import analyse_rhythm
from real_media import bgm_tracks

AGAIN = """
import sys
from mgsv.library import Library
with Library.open(sys.argv[1], folder=sys.argv[2]) as library:
    assert library.report.unchanged == 3, library.report
    for track in library.tracks():
        library.features(track)
assert "torch" not in sys.modules
"""


@pytest.mark.slow
def test_real_tracks_are_indexed_found_again_and_distinguished(music, folder):
    music.mkdir()
    for track in bgm_tracks()[::10]:
        shutil.copy(track, music)
    with Library.open(music, folder=folder) as library:
        assert (library.report.added, library.report.failed) == (3, ())
        tracks = library.tracks()
        for track in tracks:
            assert 20 < track.duration < 60 and 40 <= track.tempo <= 240 and len(track.tags) == 5
            own = library.features(track).segments.astype(np.float32).mean(axis=0)
            (best, cosine), (_, second) = library.nearest(own, 2)
            assert best == track and cosine == pytest.approx(1.0, abs=1e-5) and second < 0.9999
        encoder = music_encoder()
        audio = read_audio(tracks[0].path, encoder.rate)
        alone = encoder.encode(audio, analyse_rhythm(audio.samples)).segments
        np.testing.assert_allclose(
            library.features(tracks[0]).segments, alone, rtol=1e-3, atol=1e-4
        )
        assert library.check(sources=True).problems == ()
    process = start(AGAIN, music, folder)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
