"""Learned methods: windows, resampling, placing, refusals, and a tiny MaDe that has learned.

Tolerances: NETWORK for scores, and 240 s of it for the edges of spans; float32 of seconds below 64
is 4e-6 apart; starts that a model gives are moved by at most REACH, and cuts were put on a grid of
16 ms.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from mgsv.data.batch import Batch
from mgsv.encoders.registry import encoder_pair
from mgsv.errors import ConfigError, EncoderMismatch
from mgsv.library import TrackFeatures
from mgsv.methods import windows
from mgsv.methods.base import Method, Placement, Query
from mgsv.methods.learned import learned
from mgsv.methods.placement import REACH
from mgsv.methods.registry import open_method
from mgsv.methods.windows import resampled, window_bounds
from mgsv.models.adapter import grounding_model
from mgsv.models.checkpoint import Checkpoint, save
from mgsv.models.made import MaDe
from mgsv.models.matching import Embedded
from mgsv.models.registry import build
from mgsv.models.system import System
from mgsv.moment import Moment
from mgsv.runtime.model import Encoder, Encoders
from model_support import stir
from synthetic import query, query_for, random_track

FRAME_DIM, SEGMENT_DIM = 12, 10
TINY = {
    "frame_dim": FRAME_DIM,
    "segment_dim": SEGMENT_DIM,
    "hidden_dim": 32,
    "heads": 4,
    "feed_forward": 48,
    "embedding_feed_forward": 40,
    "encoder_layers": 1,
    "decoder_layers": 2,
}
NOBODY = Encoders(Encoder("eyes", FRAME_DIM, "eyes:1"), Encoder("ears", SEGMENT_DIM, "ears:1"))


def made(seed: int = 0, **changes: Any) -> MaDe:
    torch.manual_seed(seed)
    model = build("made", {**TINY, **changes})
    assert isinstance(model, MaDe)
    stir(model)
    return model.eval()


def of(model: nn.Module, **options: Any) -> Method:
    return learned(grounding_model(Checkpoint("made", model, NOBODY, {}, "")), **options)


def final_scores(grounder: Method, asked: Query, tracks: Sequence[TrackFeatures]) -> list[float]:
    return [one.score for one in grounder.ranker.rerank(asked, tracks, Placement())]


def heard(name: str, seconds: float, seed: int) -> TrackFeatures:
    """A track with random segments and curves."""
    rng = np.random.default_rng(seed)
    count = int(np.ceil(seconds / 2.5))
    return replace(
        random_track(name, seconds, seed),
        segments=rng.normal(size=(count, SEGMENT_DIM)).astype(np.float16),
        segment_mask=np.ones(count, bool),
    )


def seen(asked: Query, seed: int = 0) -> Query:
    rng = np.random.default_rng(seed)
    feats = rng.normal(size=(max(1, int(asked.seconds)), FRAME_DIM)).astype(np.float32)
    return replace(asked, frame_feats=feats)


@pytest.fixture
def tracks() -> list[TrackFeatures]:
    lengths = (40, 330, 12, 250, 95, 600)
    return [heard(f"t{n}", seconds, n) for n, seconds in enumerate(lengths)]


# Windows and frames


@given(st.integers(1, 1000), st.integers(1, 120))
def test_windows_cover_a_track_and_overlap_by_half(length: int, size: int) -> None:
    windows = window_bounds(length, size)
    assert windows[0][0] == 0 and windows[-1][1] == length
    assert all(0 < end - start <= size for start, end in windows)
    assert len(windows) == 1 or length > size
    for (before, _), (start, _) in itertools.pairwise(windows):
        assert 0 < start - before <= max(1, size // 2)


def test_a_long_clip_is_averaged_down() -> None:
    frames = np.arange(200, dtype=np.float32).reshape(100, 2)
    assert np.array_equal(resampled(frames, 50), frames.reshape(50, 2, 2).mean(axis=1))
    assert np.array_equal(resampled(frames, 100), frames)


@given(st.integers(1, 400), st.integers(1, 60))
def test_resampled_frames_keep_their_order_and_range(count: int, slots: int) -> None:
    rows = resampled(np.arange(count, dtype=np.float32)[:, None], slots)[:, 0]
    assert len(rows) == min(count, slots)
    assert (np.diff(rows) > 0).all() and rows[0] >= 0 and rows[-1] <= count - 1


# The model's answers, and how they are asked for


def test_batched_equals_single(
    tracks: list[TrackFeatures], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of one track fall into different batches, and are padded to different lengths."""
    grounder, asked = of(made()), seen(query(20.0))
    monkeypatch.setattr(windows, "WINDOWS_AT_ONCE", 3)
    together = grounder.detect(asked, tracks, Placement())
    alone = [grounder.detect(asked, [track], Placement())[0] for track in tracks]
    for a, b in zip(together, alone, strict=True):
        assert a.score == pytest.approx(b.score, abs=1e-5)
        assert a.evidence["model_start"] == pytest.approx(b.evidence["model_start"], abs=1e-3)
    for score in (grounder.ranker.score_tracks, partial(final_scores, grounder)):
        singles = [score(asked, [track])[0] for track in tracks]
        assert np.allclose(score(asked, tracks), singles, atol=1e-5)


def test_scores_are_the_models_own(tracks: list[TrackFeatures]) -> None:
    """Oracle: the model itself on one short track."""
    model, asked, track = made(), seen(query(20.0)), tracks[0]
    batch = batch_of(asked, track)
    with torch.no_grad():
        video, music = model.embed_videos(batch), model.embed_tracks(batch)
        dual, score = model.score_all(video, music).item(), model.rerank(video, music).item()
        centre, width, confidence = model.detect(batch)[0, 0].tolist()
    (found,) = of(model).detect(asked, [track], Placement())
    evidence = found.evidence
    assert found.score == pytest.approx(score, abs=1e-5)
    assert evidence["two_tower"] == pytest.approx(dual, abs=1e-5)
    assert evidence["two_tower"] + evidence["interaction"] == pytest.approx(found.score)
    assert evidence["confidence"] == pytest.approx(confidence, abs=1e-5)
    assert evidence["model_start"] == pytest.approx((centre - width / 2) * 240, abs=1e-3)
    assert evidence["model_end"] == pytest.approx((centre + width / 2) * 240, abs=1e-3)
    assert of(model).ranker.score_tracks(asked, [track])[0] == pytest.approx(dual, abs=1e-5)


def batch_of(asked: Query, track: TrackFeatures) -> Batch:
    assert asked.frame_feats is not None
    frames = torch.from_numpy(np.asarray(asked.frame_feats, np.float32))[None]
    segments = torch.from_numpy(track.segments.astype(np.float32))[None]
    return Batch(
        frames,
        torch.ones(frames.shape[:2]),
        segments,
        torch.ones(segments.shape[:2]),
        torch.tensor([asked.seconds]),
        torch.tensor([track.track.duration]),
        ("v",),
        (track.track.id,),
    )


def test_a_long_clip_keeps_its_length(tracks: list[TrackFeatures]) -> None:
    """A head without a width answers with the clip's: all of it, though only 50 frames are seen."""
    grounder = of(made(predict_width=False))
    (found,) = grounder.detect(seen(query(130.0)), [tracks[3]], Placement(fit="free"))
    width = found.evidence["model_end"] - found.evidence["model_start"]
    assert width == pytest.approx(130, abs=1e-3)
    assert found.moment.duration == pytest.approx(130, abs=1e-3)


def test_tracks_too_short_are_never_ranked() -> None:
    scores = of(made()).ranker.score_tracks(seen(query(5.0)), [heard("s", 2, 0), heard("l", 20, 1)])
    assert scores[0] == -np.inf and np.isfinite(scores[1])


# Placing: a stand-in whose answer is known


@dataclass(frozen=True)
class MarkConfig:
    max_frames: int = 50
    max_segments: int = 96
    segment_dim: int = SEGMENT_DIM
    canvas_seconds: float = 240.0


class MarkFinder(nn.Module):
    """Scores a track by its largest first feature, and centres the moment on that segment."""

    def __init__(self, late: float = 0.0, width: float = 10.0, **config: Any) -> None:
        super().__init__()
        self.config, self.late, self.width = MarkConfig(**config), late, width

    def embed_videos(self, batch: Batch) -> Embedded:
        return Embedded(batch.frame_feats, batch.frame_mask != 0, batch.frame_feats.mean(dim=1))

    def embed_tracks(self, batch: Batch) -> Embedded:
        tokens = batch.segment_feats
        return Embedded(tokens, batch.segment_mask != 0, tokens[..., 0].amax(dim=1, keepdim=True))

    def score_all(self, videos: Embedded, tracks: Embedded) -> Tensor:
        return tracks.pooled.T.expand(len(videos), -1)

    pair_scores = score_all

    def rerank(self, video: Embedded, candidates: Embedded) -> Tensor:
        return self.score_all(video, candidates)[0]

    def detect(self, batch: Batch, embedded: Any = None) -> Tensor:
        del embedded  # all it needs is in the batch
        centre = batch.segment_feats[..., 0].argmax(dim=1) * 2.5 + self.late
        width = torch.full_like(centre, self.width)
        return torch.stack([centre / 240, width / 240, torch.ones_like(centre)], dim=-1)[:, None]


def marked(track: TrackFeatures, second: float) -> TrackFeatures:
    """`track` with a mark on the segment that begins at `second`."""
    segments = np.zeros_like(track.segments)
    segments[round(second / 2.5), 0] = 1
    return replace(track, segments=segments)


@pytest.mark.parametrize("second", [0.0, 117.5, 270.0, 397.5, 595.0])
def test_nothing_after_four_minutes_is_ignored(second: float) -> None:
    track = marked(heard("long", 600, 3), second)
    (found,) = of(MarkFinder()).detect(seen(query(15.0)), [track], Placement())
    centre = (found.evidence["model_start"] + found.evidence["model_end"]) / 2
    assert centre == pytest.approx(second, abs=1e-3)
    placed = min(max(0.0, second - 7.5), 600 - 15)
    assert found.moment.start == pytest.approx(placed, abs=REACH)
    assert found.moment.duration == pytest.approx(15)


@pytest.mark.parametrize("late", [-1.0, -0.3, 0.0, 0.7, 1.2])
def test_sync_aligns_what_the_model_found(late: float) -> None:
    features = marked(heard("a", 60, 4), 20)
    asked = seen(query_for(features, 14.0, 12.0))
    (found,) = of(MarkFinder(late)).detect(asked, [features], Placement())
    assert found.moment.start == pytest.approx(14.0, abs=0.05)
    assert found.evidence["shift"] == pytest.approx(-late, abs=0.05)
    assert found.evidence["agreement"] > 0.5


def test_sync_does_not_leave_the_models_neighbourhood() -> None:
    features = marked(heard("a", 60, 4), 20)
    asked = seen(query_for(features, 14.0, 12.0))
    (found,) = of(MarkFinder(20)).detect(asked, [features], Placement())
    assert found.moment.start == pytest.approx(34.0, abs=REACH)


def test_a_still_clip_stays_where_the_model_says_or_starts_on_a_beat() -> None:
    features = marked(heard("a", 60, 4), 20)
    features = replace(features, energy=np.full_like(features.energy, 0.7))
    beatless = replace(features, beats=np.empty(0, np.float32))
    asked = seen(query(12.0))
    (found,) = of(MarkFinder(0.25)).detect(asked, [beatless], Placement())
    assert found.moment.start == pytest.approx(14.25, abs=1e-5)
    (found,) = of(MarkFinder(0.25)).detect(asked, [features], Placement())
    assert np.abs(features.beats - found.moment.start).min() < 0.02
    assert abs(found.evidence["shift"]) <= REACH


def test_start_on_beat_starts_on_a_beat() -> None:
    features = marked(heard("a", 60, 4), 20)
    asked = seen(query_for(features, 14.2, 12.0))
    (found,) = of(MarkFinder()).detect(asked, [features], Placement(start_on="beat"))
    assert np.abs(features.beats - found.moment.start).min() < 1e-6
    assert abs(found.evidence["shift"]) <= REACH
    far = replace(features, beats=np.array([30.0, 40.0], np.float32))
    (found,) = of(MarkFinder()).detect(asked, [far], Placement(start_on="beat"))
    assert found.moment.start == 30.0


@pytest.mark.parametrize("width", [0.01, 4.0, 17.0, 500.0])
def test_free_fit_takes_the_models_width(width: float) -> None:
    features = marked(heard("a", 60, 4), 20)
    (found,) = of(MarkFinder(width=width)).detect(
        seen(query(12.0)), [features], Placement(fit="free")
    )
    assert found.moment.duration == pytest.approx(min(max(width, 1.0), 60))
    assert found.moment.start >= 0 and found.moment.end <= 60 + 1e-6


def test_a_clip_longer_than_the_track_gets_all_of_it() -> None:
    (found,) = of(made()).detect(seen(query(40.0)), [heard("a", 20, 5)], Placement())
    assert (found.moment.start, found.moment.end) == (0.0, pytest.approx(20.0))


# Chance


def test_chance_distinguishes_a_track_that_stands_out_from_one_of_many() -> None:
    """Scores are drawn as normal numbers; one in 20 libraries may beat chance by luck."""
    asked, grounder = seen(query(10.0)), of(MarkFinder())
    rng = np.random.default_rng(0)
    tracks = [heard(f"t{n}", 10, n) for n in range(40)]
    beaten = 0
    for _ in range(40):
        levels = rng.normal(size=40)
        library = [
            replace(track, segments=np.full_like(track.segments, level))
            for track, level in zip(tracks, levels, strict=True)
        ]
        chance = grounder.ranker.chance(asked, library)
        assert chance is not None
        beaten += bool(grounder.ranker.score_tracks(asked, library).max() > chance)
    assert beaten <= 8
    library[7] = marked(library[7], 2.5)
    library[7].segments[1] *= 12
    chance = grounder.ranker.chance(asked, library)
    assert chance is not None and grounder.ranker.score_tracks(asked, library)[7] > chance
    assert grounder.ranker.chance(asked, library[:5]) is None


# Refusals


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save(tmp_path / "made.safetensors", "made", made(), NOBODY, record={}, licence="CC0")


def test_other_encoders_are_refused_by_name(checkpoint: Path) -> None:
    grounder, default = open_method(System("made", checkpoint)), encoder_pair()
    with pytest.raises(EncoderMismatch, match=r"eyes.*efficientnet"):
        grounder.require(default.video, default.music)
    with pytest.raises(EncoderMismatch, match=r"ears.*musicnn"):
        grounder.require(NOBODY.video, default.music)
    with pytest.raises(EncoderMismatch, match=r"eyes:1.*eyes:2"):
        grounder.require(replace(NOBODY.video, fingerprint="eyes:2"), NOBODY.music)
    grounder.require(NOBODY.video, NOBODY.music)


def test_wrong_options_are_named(checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match="needs `checkpoint`"):
        open_method("mvpt")
    with pytest.raises(ConfigError, match="`method` sync uses no `checkpoint`"):
        open_method(System("sync", checkpoint))
    with pytest.raises(ConfigError, match="`rerank` 0"):
        System("made", checkpoint, rerank=0)
    with pytest.raises(ConfigError, match="no such file"):
        open_method(System("made", checkpoint.with_name("none")))
    with pytest.raises(ConfigError, match="a segment per 5 s"):
        of(MarkFinder(max_segments=48))
    with pytest.raises(ConfigError, match="neither matches nor detects"):
        of(nn.Linear(1, 1))


def test_the_fingerprint_follows_weights_and_options(checkpoint: Path, tmp_path: Path) -> None:
    other = save(tmp_path / "b", "made", made(seed=1), NOBODY, record={}, licence="CC0")
    prints = {
        open_method(System("made", checkpoint)).fingerprint,
        open_method(System("made", checkpoint, rerank=7)).fingerprint,
        open_method(System("made", checkpoint, rerank="all")).fingerprint,
        open_method(System("made", other)).fingerprint,
    }
    assert len(prints) == 4


# A model that has learned


@pytest.mark.slow
def test_a_trained_model_finds_track_and_moment() -> None:
    """Four tracks, two clips of each that show its states through another view: a tiny MaDe that
    has seen them for some seconds grounds all eight.
    """
    rng = np.random.default_rng(0)
    view = rng.normal(size=(SEGMENT_DIM, FRAME_DIM)).astype(np.float32) / 3
    tracks = [heard(f"t{n}", 100, n) for n in range(4)]
    rows = [(n, start) for n in range(4) for start in (7.5 + 5 * n, 60.0 - 5 * n)]
    clips = []
    for n, start in rows:
        states = tracks[n].segments.astype(np.float32)
        at = ((start + np.arange(20) + 0.5) / 2.5).astype(int)
        asked = query_for(tracks[n], start, 20.0)
        clips.append(replace(asked, frame_feats=states[at] @ view))
    model = made(embedding_dropout=0.0, dropout=0.0, pool_dropout=0.0)
    _fit(model, [batch_of(clip, tracks[n]) for clip, (n, _) in zip(clips, rows, strict=True)], rows)
    grounder = of(model)
    for clip, (n, start) in zip(clips, rows, strict=True):
        assert int(np.argmax(final_scores(grounder, clip, tracks))) == n
        (found,) = grounder.detect(clip, [tracks[n]], Placement())
        assert found.moment.iou(Moment(start, start + 20)) > 0.7
        assert abs(found.evidence["shift"]) <= REACH


def _fit(model: MaDe, singles: list[Batch], rows: list[tuple[int, float]]) -> None:
    """200 steps on all rows at once."""
    spans = torch.tensor([[(start + 10) / 240, 20 / 240] for _, start in rows])
    batch = replace(
        singles[0],
        **{
            name: torch.cat([getattr(single, name) for single in singles])
            for name in ("frame_feats", "frame_mask", "segment_feats", "segment_mask")
        },
        video_seconds=torch.full((len(rows),), 20.0),
        track_seconds=torch.full((len(rows),), 100.0),
        video_ids=tuple(str(n) for n in range(len(rows))),
        track_ids=tuple(str(n) for n, _ in rows),
        spans=spans,
    )
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
    model.train()
    for _ in range(200):
        optimiser.zero_grad()
        torch.stack(list(model.loss(batch).values())).sum().backward()
        optimiser.step()
    model.eval()
