"""What is read off the encoder's values: by ridge regression, and folded back into a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from looks import RIDGE, Reading, folded, read_off, ridge
from mgsv.data.packed import PackedStore, PackWriter
from mgsv.models import checkpoint
from mgsv.models.configs import MadeConfig
from mgsv.models.made import MaDe
from mgsv.runtime.model import Encoder, Encoders

SEEN, READ, MUSIC = 12, 3, 5
VIDEO = Encoder("eyes", READ, "eyes:1")
SOUND = Encoder("ears", MUSIC, "ears:1")


def reading() -> Reading:
    rng = np.random.default_rng(0)
    return Reading(rng.normal(size=(SEEN, READ)), rng.normal(size=READ))


def test_ridge_holds_back_what_varies_little() -> None:
    """In directions at right angles ridge regression has a closed form for each alone."""
    hadamard = np.array([[1.0]])
    for _ in range(4):
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    spread = np.linspace(0.5, 8.0, SEEN)
    seen = (hadamard[:, 1 : SEEN + 1] * spread + 3).astype(np.float32)
    weight, bias = reading()
    found = ridge(seen, seen @ weight + bias)
    kept = spread**2 / (spread**2 + RIDGE * np.mean(spread**2))
    np.testing.assert_allclose(found.weight, weight * kept[:, None], rtol=1e-5)
    middle = np.full(SEEN, 3.0)
    np.testing.assert_allclose(middle @ found.weight + found.bias, middle @ weight + bias, 1e-5)


def test_frames_are_read_off_and_the_rest_stays(tmp_path: Path) -> None:
    data, output = tmp_path / "data", tmp_path / "looks"
    frames = np.random.default_rng(2).normal(size=(4, SEEN)).astype(np.float32)
    heard = np.random.default_rng(3).normal(size=(6, MUSIC)).astype(np.float32)
    with PackWriter(data / "packed/frames", SEEN, 50) as writer:
        writer.add("clip", frames, np.array([True, False, True, True]))
    with PackWriter(data / "packed/segments-2p5", MUSIC, 96) as writer:
        writer.add("track", heard)
    (data / "composed.json").write_text("{}")
    read_off(data, reading(), output)
    store = PackedStore(output / "packed/frames")
    weight, bias = reading()
    wanted = frames @ weight + bias
    wanted[1] = 0  # as the store keeps what is masked
    slots = store.read("clip")
    assert (store.dim, store.slots, slots.mask.tolist()) == (READ, 50, [True, False, True, True])
    np.testing.assert_allclose(slots.features, wanted, rtol=1e-5, atol=1e-6)
    music = PackedStore(output / "packed/segments-2p5").read("track").features
    np.testing.assert_array_equal(music, heard)
    assert (output / "composed.json").read_text() == "{}"


def test_the_folded_network_sees_in_frames_what_the_trained_one_sees_in_looks(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    config = MadeConfig(
        frame_dim=READ,
        segment_dim=MUSIC,
        hidden_dim=8,
        heads=2,
        feed_forward=8,
        embedding_feed_forward=8,
        decoder_layers=1,
    )
    trained = MaDe(config).eval()
    source, output = tmp_path / "trained.safetensors", tmp_path / "whole.safetensors"
    checkpoint.save(source, "made", trained, Encoders(VIDEO, SOUND), record={"a": 1}, licence="x")
    folded(source, reading(), output)
    found = checkpoint.load(output)
    assert (found.encoders.video.dim, found.encoders.music) == (SEEN, SOUND)
    assert (found.record, found.licence) == ({"a": 1}, "x")
    weight, bias = reading()
    frames = torch.randn(2, 4, SEEN, dtype=torch.double)
    looks = frames @ torch.from_numpy(weight) + torch.from_numpy(bias)
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    assert isinstance(found.model, MaDe)
    with torch.no_grad():
        seen = found.model.video.embed(frames.float(), mask, None)
        wanted = trained.video.embed(looks.float(), mask, None)
    torch.testing.assert_close(seen.pooled, wanted.pooled, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(seen.tokens, wanted.tokens, rtol=1e-4, atol=1e-5)
