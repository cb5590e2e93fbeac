"""An edit on a track, in one pass of FFTs, against each version met alone.

Tolerance: deviations are of the order of 1 and come of FFTs in single precision over some 10^4
values, rounded to about 1e-6 of a curve that varies by 0.02 at least.
"""

from __future__ import annotations

import numpy as np
import pytest

from mgsv.media.rhythm import ONSET_RATE
from mgsv.methods.base import Query
from mgsv.methods.editing import LEAST_DEVIATION, NULL_STEP, Edit, Floats, bumps
from mgsv.methods.placement import Music
from mgsv.methods.survey import Surveyor, SurveyWeights, survey_track
from mgsv.methods.synchrony import ClipPattern, agree, pattern_of
from synthetic import edit_of, query, song

TOLERANCE = 2e-4
WEIGHTS = SurveyWeights(grid=2.0, cuts=1.0, motion=1.0, beats=0.3, accents=0.1, moving=0.1)


def alone(clip: ClipPattern, music: Music, starts: Floats) -> dict[str, Floats]:
    """The terms of one version at `starts`, each cut looked up on its own."""
    found, track = agree(clip, music.pattern), music.pattern
    height, steps = bumps(music), np.arange(len(track.strength))
    hits = np.zeros(len(starts))
    for cut in clip.cuts.astype(float):
        place = (starts + cut + 0.012) * ONSET_RATE
        hits += np.interp(place, steps, height) / len(clip.cuts)
    return {
        "grid": hits,
        "cuts": found.cuts_at(starts).astype(float),
        "motion": found.term_at("motion", starts).astype(float),
    }


def made_for(start: float, seed: int) -> tuple[Query, Music]:
    features = song(seed=seed)
    return edit_of(features, start, seed=seed), Music.of(features)


@pytest.mark.parametrize("seed", range(3))
def test_all_versions_in_one_pass_are_each_alone(seed: int) -> None:
    asked, music = made_for(12.0, seed)
    edit = Edit(pattern_of(asked))
    # On the onset envelope's grid, where nothing lies between two samples.
    latest = music.pattern.seconds - edit.clip.seconds
    starts = np.arange(0, latest, 1 / ONSET_RATE)
    sparse = np.arange(0.0, starts[-1] + 1e-9, NULL_STEP)
    found = edit.on(music, starts)
    seen = alone(edit.clip, music, starts)
    shaken = [alone(version, music, sparse) for version in edit.versions[1:]]
    for name in ("cuts", "motion"):
        usual = np.concatenate([other[name] for other in shaken])
        wanted = (seen[name] - usual.mean()) / max(usual.std(), LEAST_DEVIATION)
        np.testing.assert_allclose(found[name], wanted, atol=TOLERANCE)
    # Cuts between samples are read off a straight line there, and off two here.
    usual = np.concatenate([other["grid"] for other in shaken])
    wanted = (seen["grid"] - usual.mean()) / usual.std()
    assert np.corrcoef(found["grid"], wanted)[0, 1] > 0.99


def test_one_surveyor_of_many_tracks_is_as_good_as_one_of_each() -> None:
    """What a surveyor keeps from track to track changes nothing, shorter tracks than the clip and
    longer ones in any order."""
    asked, _ = made_for(8.0, 1)
    tracks = [song(seed=n, seconds=seconds) for n, seconds in enumerate([60, 12, 45, 60, 9])]
    one = Surveyor(asked, WEIGHTS)
    for track in tracks:
        music = Music.of(track)
        alone = survey_track(asked, track, WEIGHTS, track.track.duration)
        assert one.evidence(music) == pytest.approx(alone.evidence, abs=1e-12)
        assert np.array_equal(one.survey(music).odds, survey_track(asked, track, WEIGHTS).odds)


def test_a_clip_without_cuts_that_stands_still_has_no_terms() -> None:
    still = query(10.0, np.zeros(0))
    edit = Edit(pattern_of(still), moves=False)
    assert not edit.on(Music.of(song(seed=1)), np.arange(0.0, 20.0))
