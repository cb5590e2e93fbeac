"""MusiCNN gives what the original gives, for any length of track and any batch."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from mgsv.encoders.musicnn import (
    FFT,
    HOP,
    MELS,
    PATCH_FRAMES,
    RATE,
    embed_track,
    log_mel,
    patch_start,
    shared_musicnn,
)
from mgsv.encoders.networks.musicnn import load_musicnn
from mgsv.media.rhythm import slaney_mel_filters
from spectrum_rounding import band_energies
from tolerances import TRAINED, UNIT32, apart

GOLDEN = Path(__file__).parents[1] / "golden" / "musicnn.safetensors"  # tools/golden_musicnn.py


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return load_file(GOLDEN)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise whose loudness and colour change, so that no two segments are alike."""
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(round(seconds * 16_000)).astype(np.float32)
    time = np.arange(len(samples)) / 16_000
    return (samples * (0.2 + 0.2 * np.sin(time)) + 0.3 * np.sin(300 * time * time)).astype("f4")


@pytest.mark.slow
@pytest.mark.parametrize("folded", [False, True])
def test_the_network_equals_the_original_graph(golden: dict[str, Tensor], folded: bool) -> None:
    with torch.inference_mode():
        output = load_musicnn(folded)(golden["patches"].float())
    for name in ("mean_pool", "max_pool", "penultimate", "tags"):
        assert apart(getattr(output, name), golden[name]) <= TRAINED, name


def test_the_exported_network_equals_the_original_graph(golden: dict[str, Tensor]) -> None:
    for k, patch in enumerate(golden["patches"].float().numpy()):
        features, tags = shared_musicnn().run(["features", "tags"], {"patch": patch})
        assert apart(features, golden["mean_pool"][k]) <= TRAINED
        assert apart(tags, golden["tags"][k]) <= TRAINED


def rounding(samples: Tensor, first: int, count: int) -> Tensor:
    """What the logarithms of these frames in float32 may be off by: log10(10,000 E + 1)."""
    start = first * HOP - FFT // 2
    track = F.pad(samples, (FFT, FFT + count * HOP))[FFT + start :]
    frames = track.unfold(0, FFT, HOP)[:count].double()
    windowed = frames * torch.hann_window(FFT, dtype=torch.float64)
    filters = torch.from_numpy(slaney_mel_filters(FFT, MELS, RATE))
    energy, off = band_energies(windowed, frames, filters, FFT)
    return 10_000 * off / (10_000 * energy + 1) / math.log(10) + 8 * UNIT32


def test_the_front_end_equals_librosas(golden: dict[str, Tensor]) -> None:
    waveform = golden["waveform"].float() / 32768
    frames = 1 + len(waveform) // 256
    found = torch.from_numpy(log_mel(waveform.numpy(), 0, frames))
    difference = (found - golden["log_mel"]).abs()
    allowed = 2 * rounding(waveform, 0, frames)  # each side has its own
    assert (difference <= allowed).all()
    assert float(allowed.median()) < 1e-4


def test_any_part_of_the_spectrogram_equals_that_part_of_the_whole() -> None:
    track = noise(7.0)
    whole = log_mel(track, 0, 500)
    assert not whole[440:].any()  # 437 frames are 7 s; beyond lies silence
    for first, count in [(0, 1), (1, 200), (156, 187), (430, 70)]:
        difference = np.abs(log_mel(track, first, count) - whole[first : first + count])
        assert (difference <= 2 * rounding(torch.from_numpy(track), first, count).numpy()).all()
    assert not log_mel(np.zeros(0, np.float32), 0, 5).any()


def test_a_patch_begins_within_8_ms_of_its_segment() -> None:
    starts = np.array([patch_start(k) for k in range(5000)])
    np.testing.assert_array_less(np.abs(starts * 256 / 16_000 - 2.5 * np.arange(5000)), 0.00801)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.01, 2.5, 3.2, 17.3])
def test_a_track_of_any_length_equals_its_patches_one_by_one(seconds: float) -> None:
    samples = noise(seconds)
    segments = int(np.ceil(seconds / 2.5))
    features, tags = embed_track(samples, segments)
    assert features.shape == (segments, 753) and tags.shape == (segments, 50)
    network = load_musicnn(folded=False)
    for k in range(segments):
        patch = torch.from_numpy(log_mel(samples, patch_start(k), PATCH_FRAMES))
        with torch.inference_mode():
            expected = network(patch[None])
        assert apart(features[k], expected.mean_pool[0]) <= TRAINED
        assert apart(tags[k], expected.tags[0]) <= TRAINED


def test_silence_after_the_track_changes_nothing() -> None:
    samples = noise(12.0)
    features, _ = embed_track(samples, 5)
    padded, _ = embed_track(np.pad(samples, (0, 16_000)), 5)
    assert apart(padded, features) <= TRAINED
