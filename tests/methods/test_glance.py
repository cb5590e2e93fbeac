"""A glance at sketches against the survey of whole tracks, and what is kept against what is not.

Scores of embeddings kept in half precision differ by some 1e-4 where they are of the order of 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import pytest
import torch
from scale_library import Copy, arrays_of

from mgsv.errors import ConfigError
from mgsv.library import TrackCurves, TrackFeatures
from mgsv.library.packs import Key, Pack
from mgsv.media.rhythm import ONSET_RATE
from mgsv.memory.fusion import Fusion
from mgsv.memory.habits import Habits, Observation
from mgsv.methods.base import Method, Placement
from mgsv.methods.editing import Edit
from mgsv.methods.first_stage import RECORD as FIRST_RECORD
from mgsv.methods.first_stage import FirstStage
from mgsv.methods.glance import first_look, second_look
from mgsv.methods.kept import Kept, KeptRows, sketched
from mgsv.methods.learned import learned
from mgsv.methods.placement import Music
from mgsv.methods.sketch import FIELDS, LEVELS, PHASES, RATE, music_of
from mgsv.methods.survey import RECORD, Survey, Surveyor, SurveyWeights
from mgsv.methods.synchrony import pattern_of
from mgsv.methods.tracklist import TrackList
from mgsv.models.adapter import grounding_model
from mgsv.models.checkpoint import Checkpoint
from mgsv.models.registry import build
from mgsv.runtime.model import Encoder, Encoders
from synthetic import edit_of, query, song

WEIGHTS = SurveyWeights(
    grid=2.0, cuts=1.0, motion=1.0, beats=0.3, accents=0.2, moving=0.1, downbeat=2.0, beat=1.0
)


def at_pace(track: TrackFeatures, pace: float) -> TrackFeatures:
    copy = Copy(0, pace, 0.0, track.track.duration / pace)
    heard = replace(track.track, duration=copy.seconds)
    return TrackFeatures(heard, **arrays_of(track, copy))


SONGS = [at_pace(song(seed=n, seconds=60.0 + 5 * n), 0.8 + 0.037 * n) for n in range(12)]
KEYS = [Key(track.track.id) for track in SONGS]
SIZES = {"frame_dim": 4, "segment_dim": 12, "hidden_dim": 8, "heads": 2, "feed_forward": 8}
SIZES |= {"embedding_feed_forward": 8, "encoder_layers": 1, "decoder_layers": 1}


class Shelf(TrackList):
    """Tracks of which something is kept."""

    def __init__(self, kept: Kept) -> None:
        self._rows, self.looked_at = kept.of(KEYS), 0

    def __len__(self) -> int:
        return len(SONGS)

    @overload
    def __getitem__(self, index: int) -> TrackCurves: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TrackCurves]: ...
    def __getitem__(self, index: int | slice) -> TrackCurves | Sequence[TrackCurves]:
        self.looked_at += 1
        return SONGS[index]

    @property
    def kept(self) -> KeptRows:
        return self._rows


def sketches() -> Pack:
    pack = Pack(None, "", FIELDS)
    pack.add(KEYS, [sketched(track) for track in SONGS])
    return pack


def method(**more: Any) -> Method:
    encoders = Encoders(Encoder("eyes", 4), Encoder("ears", 12))
    torch.manual_seed(0)
    model = build("made", SIZES)
    record = {RECORD: Survey(WEIGHTS, Fusion(), 0.05).as_record(), **more}
    return learned(grounding_model(Checkpoint("made", model.eval(), encoders, record, "")))


def asked(n: int) -> Any:
    made = edit_of(SONGS[n], float(SONGS[n].beats[20 + n]), seed=n)
    feats = np.random.default_rng(n).normal(size=(12, 4)).astype(np.float32)
    return replace(made, frame_feats=feats)


def test_a_sketch_holds_beats_and_onsets_where_they_are() -> None:
    row = sketched(SONGS[0])
    both = np.stack([row["even"], row["odd"]], axis=1).ravel()
    on_beat, onset = both >> 4, both & LEVELS - 1
    downbeats = Music.of(SONGS[0]).structure.downbeats
    at = np.rint((downbeats[1:-1] + 0.012) * RATE * PHASES).astype(int)
    assert (on_beat[at] >= LEVELS - 3).all()  # within 10 ms of a bump of 40 ms
    strongest = np.argsort(-SONGS[0].onset.astype(float))[:10] / ONSET_RATE
    near = np.rint(strongest * RATE * PHASES).astype(int)
    assert (np.maximum(onset[near], onset[near - 1]) >= LEVELS // 2).all()


def test_the_structure_need_not_be_analysed_again() -> None:
    again, fresh = music_of(SONGS[3], sketched(SONGS[3])), Music.of(SONGS[3])
    for name in ("downbeats", "borders", "phrases"):
        np.testing.assert_array_equal(
            getattr(again.structure, name), getattr(fresh.structure, name)
        )


@pytest.mark.slow
@pytest.mark.parametrize("look", ["first", "second"])
def test_a_glance_foresees_the_survey(look: str) -> None:
    """The track that a clip was cut to comes first at a glance where it does in the survey, and
    evidence that is large is seen as large.
    """
    pack, right, foreseen, exact = sketches(), 0, [], []
    for n in range(len(SONGS)):
        surveyor = Surveyor(asked(n), WEIGHTS)
        full = np.array([surveyor.evidence(Music.of(track)) for track in SONGS])
        rows = np.arange(len(SONGS))
        if look == "first":
            seen = first_look(surveyor.edit, WEIGHTS, pack)
        else:
            seen = second_look(surveyor.edit, WEIGHTS, pack, rows)
        right += int(np.argsort(-seen).tolist().index(int(full.argmax())) < 3)
        foreseen += seen.tolist()
        exact += full.tolist()
    assert right >= 9
    assert np.corrcoef(foreseen, exact)[0, 1] > 0.75


def test_single_rows_are_as_good_as_many() -> None:
    edit, pack = Edit(pattern_of(asked(2))), sketches()
    rows = np.array([5, 2, 9, 0])
    together = second_look(edit, WEIGHTS, pack, rows)
    # A track's last starts may see a few cuts of the next one's in place of silence.
    alone = [second_look(edit, WEIGHTS, pack, rows[n : n + 1])[0] for n in range(4)]
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-3)


def test_many_cuts_and_none() -> None:
    pack, rows = sketches(), np.arange(len(SONGS))
    busy = Edit(pattern_of(query(20.0, np.arange(0.3, 19.5, 0.25))))
    for seen in (first_look(busy, WEIGHTS, pack), second_look(busy, WEIGHTS, pack, rows)):
        assert np.isfinite(seen).all()
    still = Edit(pattern_of(query(20.0)), moves=False)
    assert not first_look(still, WEIGHTS, pack).any()
    assert not second_look(still, WEIGHTS, pack, rows).any()


def test_a_clip_longer_than_every_track_has_a_glance() -> None:
    long = Edit(pattern_of(query(300.0, np.arange(5.0, 295.0, 5.0))))
    pack = sketches()
    assert np.isfinite(first_look(long, WEIGHTS, pack)).all()
    assert np.isfinite(second_look(long, WEIGHTS, pack, np.arange(len(SONGS)))).all()


def test_what_is_kept_ranks_as_what_is_made_anew(tmp_path: Path) -> None:
    ours = method()
    kept = Kept("ears", ours.ranker.model, tmp_path)
    assert kept.missing(KEYS).tolist() == list(range(len(SONGS)))
    assert kept.derive(KEYS, SONGS)
    again = Kept("ears", ours.ranker.model, tmp_path)
    assert not len(again.missing(KEYS))
    for n in (1, 7):
        clip = asked(n)
        shelf = Shelf(again)
        fresh = ours.ranker.rerank(clip, SONGS, Placement())
        stored = ours.ranker.rerank(clip, shelf, Placement())
        np.testing.assert_allclose(
            [one.score for one in stored], [one.score for one in fresh], atol=2e-3
        )
        assert [one.window for one in stored] == [one.window for one in fresh]
        before = shelf.looked_at
        cheap = ours.ranker.score_tracks(clip, shelf)
        assert shelf.looked_at == before  # all it needs is kept
        assert np.corrcoef(cheap, [one.score for one in fresh])[0, 1] > 0.7


def test_habits_count_at_a_glance_as_in_the_end(tmp_path: Path) -> None:
    """Of 40 uses of one track, its popularity; and nobody's habits change nothing."""
    ours, clip = method(), asked(3)
    liked = Habits.of([Observation(KEYS[8].id, ("start",), 0.0)] * 40, [()] * len(SONGS))
    own = ours.with_habits(liked)
    kept = Kept("ears", ours.ranker.model, tmp_path)
    kept.derive(KEYS, SONGS)
    extra = 0.05 * liked.popularity(KEYS[8].id)
    for shelf in (Shelf(kept), SONGS):
        usual, theirs = (one.ranker.score_tracks(clip, shelf) for one in (ours, own))
        assert extra > 0 and np.argmax(theirs - usual) == 8
        ranked = own.ranker.rerank(clip, shelf, Placement())
        assert ranked[8].evidence["taste"] == pytest.approx(extra)
        assert theirs[8] - usual[8] == pytest.approx(extra, abs=0.02)


def test_chance_uses_scores_that_are_known() -> None:
    ours, clip = method(), asked(4)
    whole = ours.ranker.chance(clip, SONGS)
    known = {n: one.score for n, one in enumerate(ours.ranker.rerank(clip, SONGS, Placement()))}
    assert whole is not None and ours.ranker.chance(clip, SONGS, known) == pytest.approx(whole)
    moved = {n: score + 1.0 for n, score in known.items()}
    assert ours.ranker.chance(clip, SONGS, moved) == pytest.approx(whole + 1.0)


def test_a_record_brings_the_weights_of_the_first_stage() -> None:
    own = FirstStage(tower=1.5, evidence=0.8)
    assert FirstStage.of({FIRST_RECORD: own.as_record()}) == own
    assert FirstStage.of({}) == FirstStage()
    assert "1.5" in method(**{FIRST_RECORD: own.as_record()}).fingerprint
    with pytest.raises(ConfigError, match="first stage is damaged"):
        FirstStage.of({FIRST_RECORD: 7})
