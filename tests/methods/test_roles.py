"""Who ranks and who places: models that only match, only detect or only re-rank, and composites."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mgsv.errors import ConfigError
from mgsv.library import TrackFeatures
from mgsv.methods.base import Method, Placement, Query
from mgsv.methods.learned import Learned
from mgsv.methods.registry import method, method_names
from mgsv.methods.sync import Sync
from mgsv.models.checkpoint import Encoder, Encoders, save
from mgsv.models.registry import build
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
        "match": method("mvpt", model=mvpt),
        "detect": method("moment_detr", model=detr),
        "both": method("composite", matcher=mvpt, detector=detr),
        "first stage": method("conquer", model=conquer, first_stage=mvpt),
        "all three": method("composite", matcher=conquer, detector=detr, first_stage=mvpt),
        "conquer": method("conquer", model=conquer),
    }


def test_every_system_grounds(
    files: dict[str, Path], tracks: list[TrackFeatures], asked: Query
) -> None:
    for name, system in systems(files).items():
        assert isinstance(system, Method), name
        found = system.detect(asked, tracks, Placement())
        assert len(found) == len(tracks)
        for features, one in zip(tracks, found, strict=True):
            assert one.moment.start >= 0 and one.moment.duration == pytest.approx(10.0, abs=0.02)
            assert one.moment.end <= features.track.duration + 1e-6
            assert np.isfinite([one.score, *one.evidence.values()]).all()
    prints = [system.fingerprint for system in systems(files).values()]
    assert len({*prints}) == len(prints)


def test_who_ranks(files: dict[str, Path], tracks: list[TrackFeatures], asked: Query) -> None:
    """Every system's final order is its ranking part's; `sync` where there is none."""
    by = systems(files)
    mvpt, sync = by["match"].rerank(asked, tracks), Sync().score_tracks(asked, tracks)
    assert np.allclose(by["both"].rerank(asked, tracks), mvpt, atol=1e-6)
    for name in ("first stage", "all three"):
        assert np.allclose(by[name].score_tracks(asked, tracks), mvpt, atol=1e-6)
        assert not np.allclose(by[name].rerank(asked, tracks), mvpt, atol=1e-2)
        assert by[name].reranks == 100
        evidence = by[name].detect(asked, tracks[:1], Placement())[0].evidence
        assert evidence["first_stage"] == pytest.approx(float(mvpt[0]), abs=1e-5)
    for name in ("detect", "conquer"):
        assert np.array_equal(by[name].score_tracks(asked, tracks), sync)
        assert by[name].reranks == 0 and "sync ranks" in by[name].score_meaning
        assert by[name].chance(asked, tracks) == Sync().chance(asked, tracks)
        assert by[name].chance_unknown == Sync.chance_unknown
    for name, system in by.items():
        scores = [one.score for one in system.detect(asked, tracks, Placement())]
        expected = [one.score for one in Sync().detect(asked, tracks, Placement())]
        if name not in ("detect", "conquer"):
            expected = system.rerank(asked, tracks).tolist()
        assert scores == pytest.approx(expected, abs=1e-5), name


def test_who_places(files: dict[str, Path], tracks: list[TrackFeatures], asked: Query) -> None:
    by, placement = systems(files), Placement()
    moments = {
        name: [one.moment for one in system.detect(asked, tracks, placement)]
        for name, system in by.items()
    }
    assert moments["match"] == [one.moment for one in Sync().detect(asked, tracks, placement)]
    assert "sync finds the moment" in by["match"].score_meaning
    short = [n for n, features in enumerate(tracks) if features.track.duration <= 240]
    for one, other in (("detect", "both"), ("detect", "all three"), ("conquer", "first stage")):
        assert [moments[one][n] for n in short] == [moments[other][n] for n in short]
    assert moments["detect"] != moments["conquer"]


def test_flags_that_do_not_go_together_are_named(files: dict[str, Path]) -> None:
    mvpt, detr = files["mvpt"], files["moment_detr"]
    assert {"sync", "composite", "mvpt", "mvpt_plus", "conquer"} < {*method_names()}
    cases: tuple[tuple[str, dict[str, Path], str], ...] = (
        ("composite", {"model": mvpt}, "uses no --model"),
        ("composite", {"matcher": mvpt}, "--detector is missing"),
        ("composite", {}, "--matcher and --detector"),
        ("mvpt", {"matcher": mvpt}, "--method mvpt uses no --matcher"),
        ("mvpt_plus", {"model": mvpt}, "holds a model mvpt, not mvpt_plus"),
        ("sync", {"first_stage": mvpt}, "--method sync uses no --first-stage"),
        ("moment_detr", {"model": detr, "first_stage": mvpt}, "moment_detr"),
        ("mvpt", {"model": mvpt, "first_stage": mvpt}, "mvpt does not find moments"),
    )
    for name, named, words in cases:
        with pytest.raises(ConfigError, match=words):
            method(name, **named)  # type: ignore[arg-type]
    assert isinstance(method("mvpt", model=mvpt, rerank=7), Learned)
