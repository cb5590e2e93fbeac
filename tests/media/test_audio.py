"""Sound at one rate on one channel, whatever the file's rate, layout and damage.

Tolerances: a lossy codec adds up to two of its frames (1,024 samples at 48 kHz are 21 ms, and Opus
has 80 ms at the edges); containers tell durations to a frame; the strongest partial of 2 to 3 s is
known to a bin, 0.3 to 0.5 Hz; resampling filters ripple by 1 %; 16-bit samples are 3e-5 apart.
"""

import struct
from pathlib import Path

import av
import numpy as np
import pytest

import real_media
from media_files import AUDIO_CODECS, Clip, sine, write_audio, write_song_with_cover, write_video
from mgsv.errors import MediaError
from mgsv.media import audio
from mgsv.media.audio import decoded_seconds, probe_audio, read_audio

SUFFIX = {"aac": "m4a", "mp3": "mp3", "opus": "opus", "flac": "flac", "wav": "wav"}


def tone(samples: np.ndarray, rate: int = 16_000) -> float:
    """Hz of the strongest partial."""
    return float(np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples))


def level(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples**2)))


class TestRates:
    @pytest.mark.slow
    @pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
    def test_any_rate(self, tmp_path: Path, rate: int) -> None:
        read = read_audio(write_audio(tmp_path / "a.wav", sine(3, rate), rate))
        assert read.rate == 16_000
        assert read.samples.dtype == np.float32
        assert read.duration == pytest.approx(3, abs=0.002)
        assert tone(read.samples) == pytest.approx(440, abs=0.5)
        # In place, not only alike
        assert read.samples[1000:-1000] == pytest.approx(
            sine(3, 16_000)[1000 : len(read.samples) - 1000], abs=0.01
        )

    def test_another_output_rate(self, tmp_path: Path) -> None:
        read = read_audio(write_audio(tmp_path / "a.wav", sine(1, 44_100)), rate=22_050)
        assert (read.rate, len(read.samples)) == (22_050, pytest.approx(22_050, abs=30))

    @pytest.mark.parametrize("codec", AUDIO_CODECS)
    def test_codecs(self, tmp_path: Path, codec: str) -> None:
        path = write_audio(tmp_path / f"a.{SUFFIX[codec]}", sine(3, 48_000), 48_000, codec)
        read = read_audio(path)
        assert read.duration == pytest.approx(3, abs=0.08)
        assert tone(read.samples) == pytest.approx(440, abs=0.5)
        assert read.warnings == ()
        info = probe_audio(path)
        assert info.duration == pytest.approx(3, abs=0.08)
        assert (info.rate, info.channels) == (48_000, 1)


class TestChannels:
    def test_mix_is_the_mean(self, tmp_path: Path) -> None:
        left, right = sine(2, 44_100, level=0.6), sine(2, 44_100, level=0.2)
        path = write_audio(tmp_path / "a.wav", np.stack([left, right]))
        assert level(read_audio(path).samples) == pytest.approx(0.4 / np.sqrt(2), rel=0.01)

    def test_first(self, tmp_path: Path) -> None:
        both = np.stack([sine(2, 44_100, 300), sine(2, 44_100, 700)])
        path = write_audio(tmp_path / "a.flac", both, codec="flac")
        read = read_audio(path, channel="first")
        assert tone(read.samples) == pytest.approx(300, abs=1)
        alone = read_audio(write_audio(tmp_path / "b.flac", both[0], codec="flac"))
        assert read.samples == pytest.approx(alone.samples, abs=1e-4)

    def test_six_channels(self) -> None:
        path = real_media.big_buck_bunny()
        assert probe_audio(path).channels == 6
        mixed = read_audio(path)
        assert mixed.duration == pytest.approx(5.3, abs=0.1)
        assert 0 < level(mixed.samples) < 1

    def test_beyond_full_scale_is_kept(self, tmp_path: Path) -> None:
        path = write_audio(
            tmp_path / "a.wav", sine(1, 16_000, level=1.5), 16_000, codec="pcm_f32le"
        )
        assert np.abs(read_audio(path).samples).max() == pytest.approx(1.5, abs=0.01)


class TestRealTracks:
    @pytest.mark.slow
    def test_long_tracks(self) -> None:
        for path in real_media.long_tracks():
            read = read_audio(path)
            assert read.duration == pytest.approx(probe_audio(path).duration, abs=0.1)
            assert read.warnings == ()

    @pytest.mark.slow
    def test_bgm_tracks(self) -> None:
        tracks = real_media.bgm_tracks()
        assert len(tracks) == 28
        for path in tracks[::7]:
            assert 25 < read_audio(path).duration < 40


class TestNoSound:
    def test_silent_video(self, tmp_path: Path) -> None:
        path = write_video(tmp_path / "silent.mp4")
        for read in (read_audio, probe_audio):
            with pytest.raises(MediaError, match=r"silent\.mp4: it has no sound: "):
                read(path)

    def test_header_without_samples(self, tmp_path: Path) -> None:
        path = write_audio(tmp_path / "a.wav", sine(1, 44_100))
        path.write_bytes(path.read_bytes()[:78])
        with pytest.raises(MediaError):
            read_audio(path)


class TestDamage:
    def test_cut_short_mp3(self, tmp_path: Path) -> None:
        path = write_audio(tmp_path / "a.mp3", sine(20, 44_100), codec="mp3")
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        read = read_audio(path)
        assert read.duration == pytest.approx(10, abs=0.5)
        assert any("promises" in w for w in read.warnings)

    def test_cut_short_with_its_index_in_front(self, tmp_path: Path) -> None:
        """In a video, where the file's size says nothing of the sound alone."""
        path = tmp_path / "a.mkv"
        write_video(path, Clip(seconds=8), audio=sine(8, 48_000))
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        read = read_audio(path)
        assert read.duration < 7
        assert any("promises" in w for w in read.warnings)

    def test_damaged_packets_keep_the_rest_in_place(self, tmp_path: Path) -> None:
        beep = np.zeros(10 * 44_100, np.float32)
        beep[8 * 44_100 :] = sine(2, 44_100)
        noise = np.random.default_rng(0).normal(0, 0.05, len(beep)).astype(np.float32)
        path = write_audio(tmp_path / "a.mka", beep + noise, codec="flac")
        with av.open(str(path)) as container:
            packets = [(p.pos, p.size) for p in container.demux(audio=0) if p.size]
        data = bytearray(path.read_bytes())
        for position, size in packets[20:40]:
            assert position is not None
            end = position + size
            data[position + 24 : end] = bytes(size - 24)
        path.write_bytes(data)
        read = read_audio(path)
        assert read.duration == pytest.approx(10, abs=0.2)
        loud = np.flatnonzero(np.abs(read.samples) > 0.4)
        assert loud[0] / 16_000 == pytest.approx(8, abs=0.05)
        assert any("damaged" in w for w in read.warnings)

    def test_too_long(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = write_audio(tmp_path / "a.flac", sine(5, 44_100), codec="flac")
        monkeypatch.setattr(audio, "MAX_TRACK_SECONDS", 3.6)
        with pytest.raises(MediaError, match=r"longer than 0\.001 hours: split"):
            read_audio(path)

    def test_absurd_rate(self, tmp_path: Path) -> None:
        path = write_audio(tmp_path / "a.wav", sine(1, 44_100))
        data = bytearray(path.read_bytes())
        data[24:28] = (1_000_000_000).to_bytes(4, "little")
        path.write_bytes(data)
        with pytest.raises(MediaError, match="1000000000 samples per second"):
            read_audio(path)

    def test_absurd_duration_is_not_believed(self, tmp_path: Path) -> None:
        path = write_audio(tmp_path / "a.wav", sine(2, 44_100))
        data = bytearray(path.read_bytes())
        at = data.index(b"data") + 4
        data[at : at + 4] = (0xFFFFFFF0).to_bytes(4, "little")
        path.write_bytes(data)
        assert read_audio(path).duration == pytest.approx(2, abs=0.01)

    @pytest.mark.parametrize("ticks", [2**64 - 1, 2**63, 10**13])
    def test_a_header_that_claims_more_than_the_file_can_hold(
        self, tmp_path: Path, ticks: int
    ) -> None:
        path = tmp_path / "a.wma"
        write_audio(path, sine(2, 44_100), codec="wmav2")
        data = bytearray(path.read_bytes())
        properties = data.index(bytes.fromhex("A1DCAB8C47A9CF118EE400C00C205365"))
        data[properties + 64 : properties + 72] = ticks.to_bytes(8, "little")  # of 100 ns
        path.write_bytes(data)
        assert probe_audio(path).duration == 0
        read = read_audio(path)
        assert read.duration == pytest.approx(2, abs=0.2)
        assert not any("promises" in warning for warning in read.warnings)

    def test_cover_art_does_not_disturb(self, tmp_path: Path) -> None:
        assert read_audio(write_song_with_cover(tmp_path / "a.mp3")).duration == pytest.approx(
            1, abs=0.1
        )


def quiet_then_loud(quiet: float, loud: float, rate: int = 44_100) -> np.ndarray:
    """Two halves of very different bit rates under a variable one."""
    noise = np.random.default_rng(0).normal(0, 0.2, round(loud * rate)).astype(np.float32)
    return np.concatenate([np.zeros(round(quiet * rate), np.float32), noise])


class TestDuration:
    """By decoding; these formats have no length, so FFmpeg estimates it from the bit rate."""

    def test_adts(self, tmp_path: Path) -> None:
        path = write_audio(tmp_path / "a.aac", quiet_then_loud(30, 10), codec="aac")
        assert abs(probe_audio(path).duration - 40) > 4
        assert decoded_seconds(path) == pytest.approx(40, abs=0.1)
        read = read_audio(path)
        assert decoded_seconds(path) == pytest.approx(read.duration, abs=0.001)
        assert read.warnings == ()

    @pytest.mark.slow
    def test_variable_mp3_without_its_index(self, tmp_path: Path) -> None:
        """As streams are recorded: 30 s at 32 kbit/s, then 10 s at 320."""
        data = b""
        for seconds, bit_rate in ((30, 32_000), (10, 320_000)):
            path = tmp_path / f"{bit_rate}.mp3"
            plain = {"write_xing": "0", "id3v2_version": "0"}
            with av.open(str(path), "w", options=plain) as output:
                stream = output.add_stream("libmp3lame", rate=44_100, layout="mono")
                stream.bit_rate = bit_rate
                frame = av.AudioFrame.from_ndarray(sine(seconds, 44_100)[None], "fltp", "mono")
                frame.sample_rate = 44_100
                output.mux(stream.encode(frame))
                output.mux(stream.encode(None))
            data += path.read_bytes()
        (tmp_path / "both.mp3").write_bytes(data)
        assert probe_audio(tmp_path / "both.mp3").duration > 100
        assert decoded_seconds(tmp_path / "both.mp3") == pytest.approx(40, abs=0.2)
        assert read_audio(tmp_path / "both.mp3").warnings == ()

    def test_nothing_decodes(self, tmp_path: Path) -> None:
        path = write_audio(tmp_path / "a.wav", sine(1, 44_100))
        path.write_bytes(path.read_bytes()[:78])
        with pytest.raises(MediaError):
            decoded_seconds(path)


@pytest.mark.parametrize("values", [(np.nan, np.inf), (1e5, -3e38)])
def test_values_that_are_no_sound_become_silence(
    tmp_path: Path, values: tuple[float, float]
) -> None:
    """Written by hand: the wav format of float samples, with impossible ones among them."""
    tone = sine(1.0, 16_000).astype("<f4")
    tone[[100, 200]] = values
    tone[300] = 32_767.0  # in the scale of 16-bit integers
    form = struct.pack("<HHIIHH", 3, 1, 16_000, 64_000, 4, 32)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", tone.nbytes) + tone.tobytes()
    path = tmp_path / "broken.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    samples = read_audio(path).samples
    assert np.isfinite(samples).all() and samples[[100, 200]].tolist() == [0.0, 0.0]
    np.testing.assert_allclose(samples[201:], tone[201:], atol=1e-6)
