"""Encoders are found by name, are cheap until they encode, and tell when they change."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mgsv.encoders.registry import (
    batches,
    encoder_names,
    fingerprint,
    music_encoder,
    segment_count,
    video_encoder,
)
from mgsv.errors import ConfigError
from mgsv.media.audio import Audio
from mgsv.media.rhythm import analyse_rhythm
from mgsv.media.shots import VideoCurves
from mgsv.media.video import Frame

OWN_WEIGHTS = ["default", "tiny"]  # those that need nothing from a hub


def still(seconds: float) -> VideoCurves:
    samples = np.zeros(round(seconds * 10), np.float32)
    return VideoCurves(seconds, samples, samples, np.zeros(0, np.float32))


@pytest.mark.parametrize("name", OWN_WEIGHTS)
@pytest.mark.parametrize("count", [0, 1, 6])
def test_a_video_encoder_gives_one_row_per_frame(name: str, count: int) -> None:
    encoder = video_encoder(name)
    size = encoder.image_size
    seen = iter(Frame(float(k), np.full((size, size + 9, 3), 9 * k, "u1")) for k in range(count))
    features = encoder.encode(seen, lambda: still(max(count - 0.5, 0.0)))
    assert features.shape == (count, encoder.dim) and features.dtype == np.float32
    assert next(seen, None) is None
    assert len(np.unique(features, axis=0)) == count


@pytest.mark.parametrize("name", OWN_WEIGHTS)
def test_the_curves_are_used_after_the_last_frame(name: str) -> None:
    encoder = video_encoder(name)
    size, left = encoder.image_size, 3

    def frames():
        nonlocal left
        while left:
            left -= 1
            yield Frame(0.0, np.zeros((size, size, 3), np.uint8))

    def curves() -> VideoCurves:
        assert left == 0
        return still(3.0)

    assert encoder.encode(frames(), curves).shape == (3, encoder.dim)


@pytest.mark.parametrize("name", OWN_WEIGHTS)
@pytest.mark.parametrize("seconds", [0.1, 2.5, 6.0])
def test_a_music_encoder_gives_one_row_per_segment(name: str, seconds: float) -> None:
    encoder = music_encoder(name)
    rng = np.random.default_rng(0)
    samples = 0.1 * rng.standard_normal(round(seconds * encoder.rate)).astype(np.float32)
    features = encoder.encode(Audio(samples, encoder.rate), analyse_rhythm(samples))
    assert features.segments.shape == (segment_count(seconds), encoder.dim)
    assert features.segments.dtype == np.float32 and np.isfinite(features.segments).all()
    assert all(0 <= p <= 1 for p in features.tags.values())


@pytest.mark.parametrize("name", OWN_WEIGHTS)
def test_audio_at_another_rate_is_refused(name: str) -> None:
    samples = np.zeros(44_100, np.float32)
    with pytest.raises(ValueError, match="16000 Hz, not 44100"):
        music_encoder(name).encode(Audio(samples, 44_100), analyse_rhythm(samples))


def test_silence_has_features_too() -> None:
    samples = np.zeros(80_000, np.float32)
    features = music_encoder().encode(Audio(samples, 16_000), analyse_rhythm(samples))
    assert np.isfinite(features.segments).all()


def test_240_seconds_are_96_segments() -> None:
    seconds = [0.0, 0.1, 2.5, 2.6, 239.9, 240.0, 240.1]
    assert [segment_count(s) for s in seconds] == [1, 1, 1, 2, 96, 96, 97]
    assert segment_count(2.5 * 1000) == 1000  # no rounding error adds a segment


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no video encoder 'vit'.*efficientnet-lite0\+motion"):
        video_encoder("vit")
    with pytest.raises(ConfigError, match=r"no music encoder 'mert'.*musicnn\+rhythm"):
        music_encoder("mert")
    assert all("tiny" in names for names in encoder_names())


def test_a_fingerprint_distinguishes_name_version_and_weights(tmp_path: Path) -> None:
    weights = tmp_path / "w"
    weights.write_bytes(b"1")
    prints = {
        fingerprint("a", 1, weights),
        fingerprint("b", 1, weights),
        fingerprint("a", 2, weights),
    }
    weights.write_bytes(b"2")
    prints |= {fingerprint("a", 1, weights), fingerprint("a", 1)}
    assert len(prints) == 5
    encoders = [e(n) for e in (video_encoder, music_encoder) for n in OWN_WEIGHTS]
    assert len({encoder.fingerprint for encoder in encoders}) == 4
    assert all(encoder.fingerprint.startswith(f"{encoder.name}") for encoder in encoders)


def test_names_and_fingerprints_need_neither_torch_nor_pyav() -> None:
    """`mgsv ground` compares fingerprints before it decides whether it needs a network."""
    code = (
        "import sys; from mgsv.encoders.registry import music_encoder, video_encoder;"
        "print(video_encoder().fingerprint, music_encoder().fingerprint);"
        "print(sorted({'torch', 'av', 'transformers'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    prints, heavy = run.stdout.splitlines()
    assert prints == f"{video_encoder().fingerprint} {music_encoder().fingerprint}"
    assert heavy == "[]"


def test_batches_are_full_but_the_last() -> None:
    assert list(batches(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(batches([], 3)) == []
