"""The paper's encoders, on small random networks saved in the hub's layout."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mgsv.encoders import ast, clip, fbank
from mgsv.encoders.registry import MusicEncoder, VideoEncoder, music_encoder, video_encoder
from mgsv.errors import ConfigError
from mgsv.media.audio import Audio
from mgsv.media.rhythm import Rhythm
from mgsv.media.shots import VideoCurves
from mgsv.media.video import Frame
from paper_weights import save_small_models
from spectrum_rounding import band_energies
from tolerances import NETWORK, UNIT32

transformers = pytest.importorskip("transformers")

GOLDEN = Path(__file__).parents[1] / "golden" / "fbank.safetensors"  # tools/golden_fbank.py
NO_RHYTHM = Rhythm(0.0, np.zeros(0, "f4"), np.zeros(0, "f4"), 0.0, np.zeros(0, "f4"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_models(tmp_path_factory.mktemp("weights"))


def waveform(seconds: float) -> np.ndarray:
    rng = np.random.default_rng(1)
    return (0.1 * rng.standard_normal(round(seconds * 16_000))).astype(np.float32)


def pictures(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    return [rng.integers(0, 256, (224, 301, 3), dtype=np.uint8) for _ in range(count)]


# --- the filter bank and its windows


def test_the_filter_bank_equals_kaldis() -> None:
    """Recorded from torchaudio."""
    samples = load_file(GOLDEN.with_name("musicnn.safetensors"))["waveform"].float() / 32768
    apart = (fbank.fbank(samples) - load_file(GOLDEN)["fbank"]).abs()
    allowed = 2 * rounding(samples)  # each side has its own
    assert (apart <= allowed).all(), f"{float((apart / allowed).max()):.1f} times what is allowed"
    assert float(allowed.median()) < 1e-4, "most values are well conditioned"


def rounding(samples: Tensor, corners: float = 0.0) -> Tensor:
    """What the logarithms [T, 128] of a float32 filter bank may be off by.

    With `corners` also by the weights of the bands, all of which are known to that only.
    """
    frames = samples.double().unfold(0, fbank.WINDOW, fbank.HOP)
    frames = frames - frames.mean(dim=1, keepdim=True)
    before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
    window = torch.hann_window(fbank.WINDOW, periodic=False, dtype=torch.float64)
    windowed = (frames - fbank.PRE_EMPHASIS * before) * window
    filters = fbank.kaldi_mel_filters()
    energy, off = band_energies(windowed, frames, filters, fbank.FFT)
    if corners:
        within, _ = band_energies(windowed, frames, filters > 0, fbank.FFT)
        off = off + corners * within
    energy = energy.clamp(min=fbank.FLOOR)
    return off / energy + 2 * UNIT32 * energy.log().abs()


@pytest.mark.parametrize(("samples", "frames"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2)])
def test_only_whole_frames_count(samples: int, frames: int) -> None:
    assert fbank.frame_count(samples) == frames
    assert fbank.fbank(torch.zeros(samples)).shape == (frames, 128)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [3.0, 61.3, 240.0, 250.0])
def test_windows_cut_from_one_bank_equal_windows_computed_alone(seconds: float) -> None:
    """As the published recipe says: pad or cut to 240 s, then window by window."""
    samples = waveform(seconds)
    centres = [c for c in (0.0, 2.5, 5.0, 30.0, 57.5, 60.0, 237.5) if c < seconds]
    canvas = 240 if seconds <= 240 else 250
    track = torch.zeros(canvas * 16_000)
    track[: len(samples)] = torch.from_numpy(samples[: len(track)])
    for centre, window in zip(centres, ast.windows(samples, centres), strict=True):
        start, stop = max(0.0, centre - 5), min(canvas, centre + 5)
        part = track[round(start * 16_000) : round(stop * 16_000)]
        alone, allowed = fbank.fbank(part), torch.zeros(1024, 128, dtype=torch.float64)
        expected = torch.zeros(1024, 128)
        expected[: len(alone)] = alone
        allowed[: len(alone)] = 2 * rounding(part)  # each side has its own
        apart = (window * (2 * 4.5689974) - 4.2677393 - expected).abs()
        # Scaling and scaling back round values up to 16 four times.
        assert (apart <= allowed + 4 * 16 * UNIT32).all()


@pytest.mark.slow
def test_the_models_input_is_that_of_its_own_feature_extractor() -> None:
    """transformers computes it in float64, and does not round where the bands begin and end.

    Rounded, corners at up to 2,840 mels are off by 1.2e-4, and the weights of bands whose sides are
    21.8 mels long by twice that in 21.8.
    """
    samples = waveform(20.0)
    (window,) = ast.windows(samples, [10.0])
    extractor = transformers.ASTFeatureExtractor()
    given = samples[80_000:240_000]
    expected = extractor(given, sampling_rate=16_000, return_tensors="np")["input_values"][0]
    allowed = rounding(torch.from_numpy(given), corners=2 * 1.2e-4 / 21.8) / (2 * 4.5689974)
    apart = (window - torch.from_numpy(expected)).abs()
    assert (apart[:998] <= allowed + 4 * UNIT32).all()  # scaling rounds values near 1
    assert (apart[998:] <= 4 * UNIT32).all()
    assert float(allowed.median()) < 1e-5


# --- the encoders


@pytest.mark.slow
def test_each_window_gives_the_models_pooled_output(weights: Path) -> None:
    encoder = music_encoder("paper", folder=weights)
    samples = waveform(16.0)
    features = encoder.encode(Audio(samples, 16_000), NO_RHYTHM).segments
    assert features.shape == (7, 768) == (7, encoder.dim)
    model = transformers.ASTModel.from_pretrained(weights / "ast-finetuned-audioset-10-10-0.4593")
    model.eval()
    for k, window in enumerate(ast.windows(samples, [2.5 * k for k in range(7)])):
        with torch.inference_mode():
            hidden = model(input_values=window[None]).last_hidden_state[0]
        np.testing.assert_allclose(features[k], hidden[:2].mean(0), atol=NETWORK)


def test_each_picture_gives_the_models_image_embedding(weights: Path) -> None:
    encoder = video_encoder("paper", folder=weights)
    seen = pictures(11)  # more than a batch
    frames = (Frame(float(k), image) for k, image in enumerate(seen))
    features = encoder.encode(frames, no_curves)
    assert features.shape == (11, 512) == (11, encoder.dim)
    model = transformers.CLIPModel.from_pretrained(weights / "clip-vit-base-patch32").eval()
    with torch.inference_mode():
        pooled = model.vision_model(pixel_values=clip.clip_input(seen)).pooler_output
        expected = model.visual_projection(pooled)
    np.testing.assert_allclose(features, expected, atol=NETWORK)


def test_pictures_are_prepared_as_clip_prepares_them() -> None:
    processor = transformers.CLIPImageProcessor()
    (picture,) = pictures(1)
    expected = processor(picture, return_tensors="np")["pixel_values"]
    np.testing.assert_allclose(clip.clip_input([picture]), expected, atol=NETWORK)


def no_curves() -> VideoCurves:
    raise AssertionError("CLIP has no use for the curves")


def test_fingerprints_follow_the_weights(weights: Path, tmp_path: Path) -> None:
    first = video_encoder("paper", folder=weights).fingerprint
    assert first == video_encoder("paper", folder=weights / "clip-vit-base-patch32").fingerprint
    model = transformers.CLIPModel.from_pretrained(weights / "clip-vit-base-patch32")
    model.visual_projection.weight.data += 1
    model.save_pretrained(tmp_path / "clip-vit-base-patch32")
    assert first != video_encoder("paper", folder=tmp_path).fingerprint


# --- what can be wrong with the weights


def fingerprint_of(encoder: VideoEncoder | MusicEncoder) -> str:
    return encoder.fingerprint


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no weights for the encoder 'clip-vit-b32'"):
        fingerprint_of(video_encoder("paper", folder=tmp_path))


@pytest.mark.slow
def test_weights_of_another_model_are_refused(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "ast-finetuned-audioset-10-10-0.4593").symlink_to(weights / "clip-vit-base-patch32")
    with pytest.raises(ConfigError, match=r"lacks \d+ weights of MIT/ast"):
        fingerprint_of(music_encoder("paper", folder=tmp_path))


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    config = transformers.ASTConfig(
        hidden_size=24, num_attention_heads=2, intermediate_size=8, num_hidden_layers=1
    )
    transformers.ASTModel(config).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="make 24 values per row, not 768"):
        fingerprint_of(music_encoder("paper", folder=tmp_path))


def test_damaged_weights_are_refused(weights: Path, tmp_path: Path) -> None:
    for file in (weights / "clip-vit-base-patch32").iterdir():
        content = file.read_bytes()
        (tmp_path / file.name).write_bytes(
            content[:1000] if "safetensors" in file.name else content
        )
    with pytest.raises(ConfigError, match="damaged"):
        fingerprint_of(video_encoder("paper", folder=tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("os.environ['HF_HUB_OFFLINE'] = '1'", "cannot be fetched: where there is a network, run"),
        ("sys.modules['transformers'] = None", "needs the package transformers: install it with"),
    ],
)
def test_out_of_reach_of_the_hub_the_error_has_the_remedy(
    setting: str, expected: str, tmp_path: Path
) -> None:
    code = f"""
import os, sys
{setting}
from mgsv.encoders.registry import music_encoder
from mgsv.errors import ConfigError
try:
    music_encoder("paper").fingerprint
except ConfigError as error:
    print(error)
"""
    environment = os.environ | {"HF_HOME": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    (line,) = run.stdout.splitlines()
    assert expected in line
