"""A checkpoint and the ONNX file made of it give the same answers, to rounding.

Tolerances: NETWORK for scores, and as a share of the canvas for spans. Queries of nearly one score
have no order, so what is compared of a detector is the set of its answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mgsv.errors import ConfigError, OutputError
from mgsv.library import TrackFeatures
from mgsv.methods.base import Placement
from mgsv.methods.registry import open_method
from mgsv.models.adapter import grounding_model
from mgsv.models.checkpoint import save
from mgsv.models.configs import ABLATIONS
from mgsv.models.export import export
from mgsv.models.registry import build
from mgsv.models.system import System
from mgsv.models.weights import shipped, shipped_checkpoint
from mgsv.runtime.exported import load_exported
from mgsv.runtime.messages import with_metadata
from mgsv.runtime.model import Encoder, Encoders, Floats, GroundingModel, TrackBatch, VideoBatch
from model_support import stir
from synthetic import query, random_track
from tolerances import NETWORK

FRAME_DIM, SEGMENT_DIM = 12, 10
SIZES = {
    "frame_dim": FRAME_DIM,
    "segment_dim": SEGMENT_DIM,
    "hidden_dim": 32,
    "heads": 4,
}
FED = {**SIZES, "feed_forward": 48}
ENCODERS = Encoders(Encoder("eyes", FRAME_DIM, "e:1"), Encoder("ears", SEGMENT_DIM, "m:1"))
RECORD = {"seed": 7}


def checkpoint(folder: Path, name: str, **changes: Any) -> Path:
    torch.manual_seed(0)
    sizes = SIZES if name.startswith("mvpt") else FED
    model = build(name, {**sizes, **changes})
    stir(model)
    path = folder / f"{name}.safetensors"
    return save(path, name, model, ENCODERS, record=RECORD, licence="CC0", overwrite=True)


def both(system: System, folder: Path) -> tuple[GroundingModel, GroundingModel]:
    exported = load_exported(export(system, folder / "model.onnx"))
    return grounding_model(system.open(), system.fingerprint), exported


def made_up(rows: int, length: int, seed: int) -> tuple[VideoBatch, TrackBatch]:
    rng = np.random.default_rng(seed)
    frames = rng.normal(size=(1, 9, FRAME_DIM)).astype(np.float32)
    feats = rng.normal(size=(rows, length, SEGMENT_DIM)).astype(np.float32)
    mask = np.arange(length) < np.linspace(length, max(1, length // 4), rows)[:, None]
    video = VideoBatch(frames, np.ones((1, 9), bool), np.array([9.0], np.float32))
    return video, TrackBatch(feats, mask)


def assert_same(own: GroundingModel, exported: GroundingModel) -> None:
    for rows, length in ((1, 1), (7, 31), (3, 96)):
        video, tracks = made_up(rows, length, rows)
        for role in ("matcher", "detector"):
            a, b = getattr(own, role), getattr(exported, role)
            assert (a is None) == (b is None)
            if role == "matcher" and a is not None:
                scores = [
                    (n.score_all(clip, music), n.rerank(clip, music))
                    for n in (a, b)
                    for clip, music in [(n.embed_videos(video), n.embed_tracks(tracks))]
                ]
                for x, y in zip(*scores, strict=True):
                    assert x.shape == y.shape and np.abs(x - y).max() <= 2 * NETWORK
            if role == "detector" and a is not None:
                assert_same_spans(a.detect(video, tracks), b.detect(video, tracks))


def assert_same_spans(a: Floats, b: Floats) -> None:
    assert a.shape == b.shape
    pairs = np.abs(a[:, :, None] - b[:, None]).max(axis=3)
    assert pairs.min(axis=1).max() <= 2 * NETWORK and pairs.min(axis=2).max() <= 2 * NETWORK


@pytest.mark.slow
@pytest.mark.parametrize("name", ["made", "moment_detr", "mvpt"])
def test_a_system_and_its_export_answer_alike(name: str, tmp_path: Path) -> None:
    own, exported = both(System(checkpoint=checkpoint(tmp_path, name)), tmp_path)
    assert_same(own, exported)
    for field in ("name", "limits", "encoders", "score_meaning", "record", "licence"):
        assert getattr(exported, field) == getattr(own, field)
    assert exported.fingerprint == own.fingerprint


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name", ["qd_detr", "qd_detr_plus", "tr_detr", "tr_detr_plus", "eatr", "uvcom", "uvcom_plus"]
)
def test_so_does_every_detector(name: str, tmp_path: Path) -> None:
    assert_same(*both(System(checkpoint=checkpoint(tmp_path, name)), tmp_path))


@pytest.mark.thorough
@pytest.mark.parametrize("row", sorted(ABLATIONS.keys() - {"query_music"}))
def test_so_does_every_row_of_the_ablation_table(row: str, tmp_path: Path) -> None:
    system = System(checkpoint=checkpoint(tmp_path, "made", **ABLATIONS[row]))
    assert_same(*both(system, tmp_path))


@pytest.mark.slow
def test_so_does_one_that_looks_for_the_moment_by_the_music_alone(tmp_path: Path) -> None:
    """Its detector does not read what the clip pools to, so the graph has no such input."""
    system = System(checkpoint=checkpoint(tmp_path, "made", **ABLATIONS["query_music"]))
    assert_same(*both(system, tmp_path))


@pytest.mark.slow
def test_a_composite_becomes_one_file(tmp_path: Path) -> None:
    matcher, detector = (checkpoint(tmp_path, name) for name in ("mvpt_plus", "moment_detr"))
    own, exported = both(System(matcher=matcher, detector=detector), tmp_path)
    assert exported.name == "composite"
    assert_same(own, exported)
    assert open_method(System("composite", tmp_path / "model.onnx")).name == "composite"
    with pytest.raises(ConfigError, match="holds a model made, not composite"):
        open_method(System("composite", shipped()))


def heard(name: str, seconds: float, seed: int) -> TrackFeatures:
    """A track with random segments and curves."""
    feats = np.random.default_rng(seed).normal(size=(int(np.ceil(seconds / 2.5)), SEGMENT_DIM))
    mask = np.ones(len(feats), bool)
    track = random_track(name, seconds, seed)
    return replace(track, segments=feats.astype(np.float16), segment_mask=mask)


def answers(system: System, tracks: Sequence[TrackFeatures]) -> list[tuple[int, float, float]]:
    """(place, score, start) of the best tracks, best first."""
    method, asked = open_method(system), query(20.0)
    feats = np.random.default_rng(0).normal(size=(20, FRAME_DIM)).astype(np.float32)
    asked = replace(asked, frame_feats=feats)
    best = method.shortlist(asked, tracks, 3, Placement())
    found = method.detect(asked, [tracks[n] for n, _ in best], Placement())
    return [
        (n, ranked.score, one.moment.start) for (n, ranked), one in zip(best, found, strict=True)
    ]


@pytest.mark.slow
def test_methods_ground_alike_with_either(tmp_path: Path) -> None:
    """Long tracks, in windows, too; starts within 10 ms."""
    tracks = [heard(f"t{n}", seconds, n) for n, seconds in enumerate((40, 330, 12, 250, 95, 600))]
    path = checkpoint(tmp_path, "made")
    exported = export(System(checkpoint=path), tmp_path / "made.onnx")
    own, other = (answers(System("made", file), tracks) for file in (path, exported))
    assert [n for n, _, _ in own] == [n for n, _, _ in other]
    for (_, score, start), (_, score2, start2) in zip(own, other, strict=True):
        assert abs(score - score2) <= 2 * NETWORK and abs(start - start2) <= 0.01


def test_the_shipped_file_is_the_shipped_checkpoints() -> None:
    system = System(checkpoint=shipped_checkpoint())
    own, exported = grounding_model(system.open(), system.fingerprint), load_exported(shipped())
    for field in ("name", "limits", "encoders", "record", "licence", "fingerprint"):
        assert getattr(exported, field) == getattr(own, field)
    rng = np.random.default_rng(0)
    sides = own.encoders.video.dim, own.encoders.music.dim
    frames, feats = (rng.normal(size=(1, 30, dim)).astype(np.float32) for dim in sides)
    whole, seconds = np.ones((1, 30), bool), np.array([30.0], np.float32)
    video, track = VideoBatch(frames, whole, seconds), TrackBatch(feats, whole)
    assert own.detector and exported.detector
    assert_same_spans(own.detector.detect(video, track), exported.detector.detect(video, track))


@pytest.mark.slow
def test_what_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, "mvpt")
    with pytest.raises(ConfigError, match=r"`output` .*: a model's name ends in \.onnx"):
        export(System(checkpoint=path), tmp_path / "model.bin")
    (tmp_path / "there.onnx").touch()
    with pytest.raises(OutputError, match="exists"):
        export(System(checkpoint=path), tmp_path / "there.onnx")


@pytest.mark.slow
def test_files_that_are_no_model_of_this_project_get_one_line(tmp_path: Path) -> None:
    whole = shipped().read_bytes()
    path = tmp_path / "model.onnx"
    for data, reason in (
        (b"no model", "damaged or not an ONNX model"),
        (whole[:5_000], "damaged or not an ONNX model"),
        (with_metadata(whole, {"format": "other"}), "not a model of this project"),
        (with_metadata(whole, {"limits": "{}"}), "damaged metadata"),
        (with_metadata(whole, {"limits": "]"}), "damaged metadata"),
        (with_metadata(whole, {"encoders": "3"}), "must be a table"),
        (with_metadata(whole, {"roles": '{"matcher": "nobody"}'}), "has no embed_videos"),
        (with_metadata(whole, {"roles": '{"cook": "matcher"}'}), "damaged metadata"),
        (with_metadata(whole, {"roles": "[]"}), "damaged metadata"),
    ):
        path.write_bytes(data)
        with pytest.raises(ConfigError, match=reason) as caught:
            open_method(System("made", path))
        assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match="no such file"):
        open_method(System("made", tmp_path / "none.onnx"))
    path.write_bytes(whole)
    with pytest.raises(ConfigError, match="holds a model made, not mvpt"):
        open_method(System("mvpt", path))
    with pytest.raises(ConfigError, match="is a whole system"):
        open_method(System(matcher=path, detector=path, name="composite"))
