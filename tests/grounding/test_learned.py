"""The whole path with a checkpoint: files in, ranked moments out. Its weights are random.

Tolerances: a clip's length is known to one frame at 25 frames/s, and rounding.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import mgsv
import real_media
from library_support import write_tone
from mgsv import grounding
from mgsv.encoders.registry import EncoderPair, encoder_pair
from mgsv.encoders.tiny import TinyMusic, TinyVideo
from mgsv.errors import EncoderMismatch
from mgsv.methods import base
from mgsv.methods.base import Placement
from mgsv.methods.registry import open_method
from mgsv.models.checkpoint import save
from mgsv.models.registry import build
from mgsv.models.system import System
from mgsv.runtime.model import Encoder, Encoders
from paper_weights import save_small_models
from subprocesses import Run

TINY = EncoderPair(TinyVideo(), TinyMusic())


def checkpoint(path: Path, pair: EncoderPair) -> Path:
    """A small random MaDe for the features of `pair`."""
    torch.manual_seed(0)
    sizes = {"frame_dim": pair.video.dim, "segment_dim": pair.music.dim, "hidden_dim": 32}
    sides = (Encoder(side.name, side.dim, side.fingerprint) for side in (pair.video, pair.music))
    model = build("made", {**sizes, "heads": 4, "feed_forward": 48, "decoder_layers": 2})
    return save(path, "made", model, Encoders(*sides), record={}, licence="CC0")


@pytest.fixture
def music(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nine tones of 12 to 36 s, and an empty library."""
    monkeypatch.setenv("MGSV_LIBRARY", str(tmp_path / "library"))
    for n in range(9):
        write_tone(tmp_path / "music" / f"{n}.wav", 200.0 + 50 * n, 12.0 + 3 * n)
    return tmp_path / "music"


@pytest.mark.slow
def test_the_model_ranks_and_the_moments_fit(music: Path, tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "made.safetensors", TINY)
    found = mgsv.ground(
        real_media.bikes(), music, method=System("made", model), encoders=TINY, top=9
    )
    assert len(found) == 9 and found.method == "made" and "from -2 to 2" in found.score_meaning
    assert [m.score for m in found] == sorted((m.score for m in found), reverse=True)
    assert found.chance is not None
    for moment in found:
        assert moment.end - moment.start == pytest.approx(10.0, abs=0.05)
        assert moment.start >= -1e-6 and moment.end <= moment.track.duration + 1e-6
        evidence = moment.evidence
        assert evidence["two_tower"] + evidence["interaction"] == pytest.approx(moment.score)
    json.dumps(found.as_dict(), allow_nan=False)


@pytest.mark.slow
def test_rerank_looks_at_the_best_candidates_only(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a short list of four, those are the four best by the cheap score."""
    model = checkpoint(tmp_path / "made.safetensors", TINY)
    method = open_method(System("made", model, rerank=3))
    with mgsv.Library.open(music, encoder=TINY.music) as library:
        query = grounding.read_query(real_media.bikes(), method, encoders=TINY)
        tracks = library.tracks()
        features = [library.features(track) for track in tracks]
        cheap = method.ranker.score_tracks(query, features)
        candidates = np.argsort(-cheap, kind="stable")[:4]
        final = [one.score for one in method.ranker.rerank(query, features, Placement())]
        expected = sorted(candidates, key=lambda n: -final[n])
        monkeypatch.setattr(base, "SHORTLIST", 4)
        best = method.shortlist(query, features, 1, Placement())
        assert [place for place, _ in best] == expected


def test_a_single_track_has_no_chance_to_compare(music: Path, tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "made.safetensors", TINY)
    found = mgsv.ground(
        real_media.bikes(), music / "8.wav", method=System("made", model), encoders=TINY
    )
    assert found.chance is None and any("fewer than 8" in note for note in found.notes)


@pytest.mark.slow
def test_other_encoders_are_refused_before_any_indexing(music: Path, tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "made.safetensors", TINY)
    with pytest.raises(EncoderMismatch, match=r"tiny.*efficientnet"):
        mgsv.ground(real_media.bikes(), music, method=System("made", model))
    assert not (tmp_path / "library").exists()
    for_default = checkpoint(tmp_path / "default.safetensors", encoder_pair())
    half = EncoderPair(encoder_pair().video, TINY.music)
    with (
        mgsv.Library.open(music, encoder=TINY.music) as library,
        pytest.raises(EncoderMismatch, match=r"musicnn.*tiny"),
    ):
        mgsv.ground(real_media.bikes(), library, method=System("made", for_default), encoders=half)


@pytest.mark.slow
def test_the_papers_encoders_serve_a_model(music: Path, tmp_path: Path) -> None:
    """Their real networks are not here; random ones of the same widths take the same way."""
    pytest.importorskip("transformers")
    weights = save_small_models(tmp_path / "weights")
    pair = encoder_pair("paper", folder=weights)
    found = mgsv.ground(
        real_media.bikes(),
        [music / "7.wav", music / "8.wav"],
        method=System("made", checkpoint(tmp_path / "made.safetensors", pair)),
        encoders="paper",
        encoders_dir=weights,
    )
    assert len(found) == 2


@pytest.mark.slow
def test_the_command_grounds_by_a_model(mgsv: Run, tmp_path: Path) -> None:
    """The default encoders' real features, from files to a finished video."""
    model = checkpoint(tmp_path / "made.safetensors", encoder_pair())
    tracks = [*real_media.bgm_tracks()[:8], real_media.long_tracks()[1]]
    arguments = ["ground", real_media.bikes(), "--music", *tracks, "--method"]
    missing = mgsv(*arguments, "mvpt")
    assert missing.returncode == 1 and "--model" in missing.stderr
    arguments.append("made")
    wrong = mgsv(*arguments, "--model", model, "--rerank", "many")
    assert wrong.returncode == 2 and "--rerank" in wrong.stderr
    output = tmp_path / "out.mp4"
    done = mgsv(*arguments, "--model", model, "--rerank", "all", "--json", "--output", output)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["model"]["method"] == "made" and len(document["moments"]) == 5
    assert output.exists()
    for moment in document["moments"]:
        assert abs(moment["evidence"]["shift"]) <= 1.25
