"""Sound of any number of channels, in any order: indexed and rendered, or refused with a line."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from media_files import Clip, sine, write_audio, write_video
from mgsv.errors import MediaError
from mgsv.media.audio import probe_audio, read_audio
from mgsv.media.render import render
from mgsv.media.soundtrack import SoundOptions
from mgsv.moment import Moment

RATE = 16_000
Channels = NDArray[np.float32]
"""[channels, N]."""


def pitches(channels: int, seconds: float = 1.0, rate: int = RATE) -> Channels:
    """A pitch for each channel, 200 Hz the first, each 50 Hz above the one before."""
    return np.stack([sine(seconds, rate, 200 + 50 * c, level=0.2) for c in range(channels)])


def write_wav(path: Path, samples: Channels) -> Path:
    """Float samples, by hand: WAVE_FORMAT_EXTENSIBLE with no word on where the speakers stand."""
    count = len(samples)
    data = samples.T.astype("<f4").tobytes()
    float_samples = bytes.fromhex("0300000000001000800000aa00389b71")
    form = struct.pack("<HHIIHH", 0xFFFE, count, RATE, 4 * count * RATE, 4 * count, 32)
    form += struct.pack("<HHI", 22, 32, 0) + float_samples
    chunks = b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    return path


def write_caf(path: Path, samples: Channels, labels: list[int]) -> Path:
    """By hand: a Core Audio file whose channels each carry one of Apple's labels."""
    count = len(samples)
    form = struct.pack(">d4sIIIII", RATE, b"lpcm", 1, 4 * count, 1, count, 32)
    described = b"".join(struct.pack(">II3f", label, 0, 0, 0, 0) for label in labels)
    chunks = {
        b"desc": form,
        b"chan": struct.pack(">III", 0, 0, count) + described,
        b"data": bytes(4) + samples.T.astype(">f4").tobytes(),
    }
    with path.open("wb") as file:
        file.write(b"caff" + struct.pack(">HH", 1, 0))
        for name, content in chunks.items():
            file.write(name + struct.pack(">q", len(content)) + content)
    return path


def strongest(samples: Channels, rate: int, count: int) -> list[int]:
    """The `count` strongest pitches of [N] samples, in Hz to the next 10."""
    spectrum = np.abs(np.fft.rfft(samples[: len(samples) // rate * rate]))
    of_each_50 = spectrum[: len(spectrum) // 50 * 50].reshape(-1, 50 * (len(samples) // rate))
    return sorted(50 * int(band) for band in np.argsort(of_each_50.max(axis=1))[-count:])


@pytest.mark.parametrize("count", [1, 2, 3, 6, 7, 8, 9, 10, 15, 16, 17, 24, 31, 37, 63, 64])
def test_the_mix_and_the_first(tmp_path: Path, count: int) -> None:
    samples = pitches(count)
    path = write_wav(tmp_path / "a.wav", samples)
    mixed = read_audio(path)
    assert mixed.warnings == ()
    np.testing.assert_allclose(mixed.samples, samples.mean(axis=0, dtype=np.float64), atol=1e-6)
    np.testing.assert_array_equal(read_audio(path, channel="first").samples, samples[0])
    assert probe_audio(path).channels == count


@pytest.mark.parametrize("count", [65, 200])
def test_more_are_refused(tmp_path: Path, count: int) -> None:
    path = write_wav(tmp_path / "a.wav", pitches(count, 0.1))
    for reader in (read_audio, probe_audio):
        with pytest.raises(MediaError, match=rf"has {count} channels \(at most 64\): mix it down"):
            reader(path)


@pytest.mark.sampled
@pytest.mark.parametrize(
    "labels",
    [
        pytest.param([2, 1], id="right-left"),
        pytest.param([42, 42, 42, 42], id="mono-each"),
        pytest.param([(1 << 16) + n for n in range(9)], id="discrete"),
        pytest.param([1, 2, 3, 4, 10, 11, 5, 6], id="sides-before-backs"),
        pytest.param([2, 1, 3, 4, 5, 6, 9, 10, 13, 14], id="ten-in-disorder"),
    ],
)
def test_channels_in_an_order_of_their_own(tmp_path: Path, labels: list[int]) -> None:
    samples = pitches(len(labels))
    path = write_caf(tmp_path / "a.caf", samples, labels)
    mixed = read_audio(path).samples
    np.testing.assert_allclose(mixed, samples.mean(axis=0, dtype=np.float64), atol=1e-6)
    np.testing.assert_array_equal(read_audio(path, channel="first").samples, samples[0])
    assert probe_audio(path).channels == len(labels)
    clip = write_video(tmp_path / "clip.mp4", Clip(seconds=0.8))
    render(clip, path, Moment(0.1, 0.9), tmp_path / "out.mp4")
    assert (tmp_path / "out.mp4").exists()


def test_the_number_changes_within_the_stream(tmp_path: Path) -> None:
    """As in a recording from the air; each part is a second of one pitch."""
    parts, data = {"mono": 300, "7.1(wide)": 500, "stereo": 700}, b""
    for layout, pitch in parts.items():
        path = tmp_path / f"{pitch}.aac"
        with av.open(str(path), "w") as output:
            stream = output.add_stream("aac", rate=48_000, layout=layout)
            both = np.repeat(sine(1.0, 48_000, pitch), stream.layout.nb_channels)[None]
            frame = av.AudioFrame.from_ndarray(both, format="flt", layout=layout)
            frame.sample_rate = 48_000
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
        data += path.read_bytes()
    (tmp_path / "all.aac").write_bytes(data)
    samples = read_audio(tmp_path / "all.aac").samples
    assert len(samples) == pytest.approx(3 * RATE, abs=0.15 * RATE)
    for part, pitch in enumerate(parts.values()):
        middle = samples[part * RATE + RATE // 4 :][: RATE // 2]
        assert np.abs(np.fft.rfft(middle)).argmax() * 2 == pytest.approx(pitch, abs=4)


@pytest.mark.slow
@pytest.mark.parametrize("count", [9, 17, 32])
def test_as_the_music_of_a_clip(tmp_path: Path, count: int) -> None:
    """FFmpeg knows no way from so many channels to two: every one is heard, on both sides."""
    track = write_wav(tmp_path / "track.wav", pitches(count, 3))
    clip = write_video(tmp_path / "clip.mp4", Clip(seconds=2))
    render(clip, track, Moment(1, 3), tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        heard = np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)
    for side in heard:
        assert strongest(side, 48_000, count) == [200 + 50 * c for c in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "codec", "count"),
    [
        ("mp4", "flac", 8),
        ("mp4", "opus", 8),
        ("mp4", "aac", 8),
        ("mkv", "flac", 8),
        ("mkv", "opus", 8),
        ("mkv", "pcm_s16le", 9),
        ("mov", "pcm_s16le", 8),
        ("mov", "pcm_f32le", 9),
        ("mkv", "pcm_s16le", 16),
        ("ts", "aac", 8),
    ],
)
def test_as_the_clips_own_sound(tmp_path: Path, suffix: str, codec: str, count: int) -> None:
    own = np.repeat(sine(2, 48_000, 1000)[None], count, axis=0)
    clip = write_video(tmp_path / f"clip.{suffix}", Clip(seconds=2), audio=own, audio_codec=codec)
    track = write_audio(tmp_path / "track.wav", sine(3, 44_100, 300))
    done = render(
        clip, track, Moment(1, 3), tmp_path / "out.mp4", sound=SoundOptions(keep_audio=True)
    )
    assert not any("own" in note for note in done.notes)
    heard = read_audio(tmp_path / "out.mp4", channel="first").samples
    assert strongest(heard, RATE, 2) == [300, 1000]
