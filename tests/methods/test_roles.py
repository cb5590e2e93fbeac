"""Who ranks and who places: models that only match, only detect or only re-rank, and composites.

Tolerances: NETWORK for scores; times in float64 from frames that are whole in number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mgsv.errors import ConfigError
from mgsv.library import TrackFeatures
from mgsv.methods.base import Method, Placement, Query
from mgsv.methods.registry import method_names, open_method
from mgsv.methods.sync import Sync
from mgsv.models.checkpoint import save
from mgsv.models.registry import build
from mgsv.models.system import System
from mgsv.runtime.model import Encoder, Encoders
from model_support import stir
from synthetic import query_for, random_track

FRAME_DIM, SEGMENT_DIM = 12, 10
SIZES: dict[str, Any] = {
    "frame_dim": FRAME_DIM,
    "segment_dim": SEGMENT_DIM,
    "hidden_dim": 16,
    "heads": 2,
    "feed_forward": 16,
}
CHANGES: dict[str, dict[str, Any]] = {
    "mvpt": {"embedding_feed_forward": 16},
    "conquer": {"project_music": True, "score_dim": 4},
    "moment_detr": {},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A random checkpoint of each model, away from its start."""
    folder = tmp_path_factory.mktemp("checkpoints")
    encoders = Encoders(Encoder("eyes", FRAME_DIM), Encoder("ears", SEGMENT_DIM))
    paths = {}
    for name, changes in CHANGES.items():
        torch.manual_seed(0)
        fields = {
            field: SIZES[field] for field in SIZES if name != "mvpt" or field != "feed_forward"
        }
        model = build(name, fields | changes)
        stir(model)
        path = folder / f"{name}.safetensors"
        paths[name] = save(path, name, model, encoders, record={}, licence="CC0")
    return paths


@pytest.fixture
def tracks() -> list[TrackFeatures]:
    heard = []
    for seed, seconds in enumerate((40, 330, 12, 250, 95, 60)):
        rng = np.random.default_rng(seed)
        count = int(np.ceil(seconds / 2.5))
        track = random_track(f"t{seed}", seconds, seed)
        segments = rng.normal(size=(count, SEGMENT_DIM)).astype(np.float16)
        fields = {name: getattr(track, name) for name in track.__dataclass_fields__}
        fields |= {"segments": segments, "segment_mask": np.ones(count, bool)}
        heard.append(TrackFeatures(**fields))
    return heard


@pytest.fixture
def asked(tracks: list[TrackFeatures]) -> Query:
    from dataclasses import replace

    clip = query_for(tracks[0], 14.2, 10.0)
    feats = np.random.default_rng(9).normal(size=(10, FRAME_DIM)).astype(np.float32)
    return replace(clip, frame_feats=feats)


def systems(files: dict[str, Path]) -> dict[str, Method]:
    mvpt, conquer, detr = files["mvpt"], files["conquer"], files["moment_detr"]
    return {
        "match": open_method(System("mvpt", mvpt)),
        "detect": open_method(System("moment_detr", detr)),
        "both": open_method(System("composite", matcher=mvpt, detector=detr)),
        "first stage": open_method(System("conquer", conquer, first_stage=mvpt)),
        "all three": open_method(
            System("composite", matcher=conquer, detector=detr, first_stage=mvpt)
        ),
        "conquer": open_method(System("conquer", conquer)),
    }


def finals(system: Method, asked: Query, tracks: list[TrackFeatures]) -> list[float]:
    return [one.score for one in system.ranker.rerank(asked, tracks, Placement())]


def test_every_system_grounds(
    files: dict[str, Path], tracks: list[TrackFeatures], asked: Query
) -> None:
    for system in systems(files).values():
        found = system.detect(asked, tracks, Placement())
        assert len(found) == len(tracks)
        for features, one in zip(tracks, found, strict=True):
            assert one.moment.start >= 0 and one.moment.duration == pytest.approx(10.0, abs=0.02)
            assert one.moment.end <= features.track.duration + 1e-6
            assert np.isfinite([one.score, *one.evidence.values()]).all()
    prints = [system.fingerprint for system in systems(files).values()]
    assert len({*prints}) == len(prints)


@pytest.mark.slow
def test_who_ranks(files: dict[str, Path], tracks: list[TrackFeatures], asked: Query) -> None:
    """Every system's final order is its ranking part's; `sync` where there is none."""
    by = systems(files)
    mvpt, sync = finals(by["match"], asked, tracks), Sync().score_tracks(asked, tracks)
    assert np.allclose(finals(by["both"], asked, tracks), mvpt, atol=1e-6)
    for name in ("first stage", "all three"):
        assert np.allclose(by[name].ranker.score_tracks(asked, tracks), mvpt, atol=1e-6)
        assert not np.allclose(finals(by[name], asked, tracks), mvpt, atol=1e-2)
        assert by[name].ranker.reranks == 100
        evidence = by[name].detect(asked, tracks[:1], Placement())[0].evidence
        assert evidence["first_stage"] == pytest.approx(float(mvpt[0]), abs=1e-5)
    for name in ("detect", "conquer"):
        assert np.array_equal(by[name].ranker.score_tracks(asked, tracks), sync)
        assert by[name].ranker.reranks == 0 and "sync ranks" in by[name].score_meaning
        assert by[name].ranker.chance(asked, tracks) == Sync().chance(asked, tracks)
        assert by[name].ranker.chance_unknown == Sync.chance_unknown
    for name, system in by.items():
        scores = [one.score for one in system.detect(asked, tracks, Placement())]
        expected = [one.score for one in open_method("sync").detect(asked, tracks, Placement())]
        if name not in ("detect", "conquer"):
            expected = finals(system, asked, tracks)
        assert scores == pytest.approx(expected, abs=1e-5), name


@pytest.mark.slow
def test_who_places(files: dict[str, Path], tracks: list[TrackFeatures], asked: Query) -> None:
    by, placement = systems(files), Placement()
    moments = {
        name: [one.moment for one in system.detect(asked, tracks, placement)]
        for name, system in by.items()
    }
    assert moments["match"] == [
        one.moment for one in open_method("sync").detect(asked, tracks, placement)
    ]
    assert "sync finds the moment" in by["match"].score_meaning
    short = [n for n, features in enumerate(tracks) if features.track.duration <= 240]
    for one, other in (("detect", "both"), ("detect", "all three"), ("conquer", "first stage")):
        assert [moments[one][n] for n in short] == [moments[other][n] for n in short]
    assert moments["detect"] != moments["conquer"]


def test_files_that_do_not_go_together_are_named(files: dict[str, Path]) -> None:
    mvpt, detr = files["mvpt"], files["moment_detr"]
    assert {"sync", "composite", "mvpt", "mvpt_plus", "conquer"} < {*method_names()}
    cases: tuple[tuple[str, dict[str, Path], str], ...] = (
        ("composite", {"checkpoint": mvpt}, "uses no `checkpoint`"),
        ("composite", {"matcher": mvpt}, "`detector` is missing"),
        ("composite", {}, "`matcher` and `detector`"),
        ("mvpt", {"matcher": mvpt}, "`method` mvpt uses no `matcher`"),
        ("mvpt_plus", {"checkpoint": mvpt}, "holds a model mvpt, not mvpt_plus"),
        ("sync", {"first_stage": mvpt}, "`method` sync uses no `first_stage`"),
        ("moment_detr", {"checkpoint": detr, "first_stage": mvpt}, "moment_detr"),
        ("mvpt", {"checkpoint": mvpt, "first_stage": mvpt}, "mvpt does not find moments"),
    )
    for name, named, words in cases:
        with pytest.raises(ConfigError, match=words):
            open_method(System(name, **named))
    assert open_method(System("mvpt", mvpt, rerank=7)).ranker.reranks == 7
