"""Sound in its place: holes, late and early starts, recordings put one after the other.

Each file has beeps at known times. What is read and what is rendered must have them there, and the
pictures of the same file, by `VideoScan`, are the measure where a clock is reset.
"""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from media_files import Clip, write_audio, write_video
from mgsv.errors import MediaError
from mgsv.media import soundclock
from mgsv.media.audio import Audio, decoded_seconds, read_audio
from mgsv.media.pictureclock import read_picture_clock
from mgsv.media.render import render
from mgsv.media.soundtrack import SoundOptions
from mgsv.media.video import VideoScan
from mgsv.moment import Moment

RATE = 48_000
SMALL = Clip(seconds=20, rate=5, width=64, height=48, colours=[(40, 40, 40)])


def beeps(seconds: float, at: list[float], pitch: float = 1000) -> NDArray[np.float32]:
    """A tone of half a second at each of the seconds `at`, silence between them."""
    samples = np.zeros(round(seconds * RATE), np.float32)
    tone = 0.5 * np.sin(2 * np.pi * pitch * np.arange(RATE // 2) / RATE)
    for second in at:
        samples[round(second * RATE) :][: len(tone)] = tone
    return samples


def onsets(samples: NDArray[np.float32], rate: int, pitch: float = 1000) -> list[float]:
    """Seconds at which a tone of `pitch` sets in, to 10 ms."""
    hop = rate // 100
    waves = np.exp(-2j * np.pi * pitch * np.arange(hop) / rate)
    blocks = samples[: len(samples) // hop * hop].reshape(-1, hop)
    loud = np.abs(blocks @ waves) / hop > 0.02
    return [round(int(at) / 100, 2) for at in np.flatnonzero(np.diff(loud, prepend=False) & loud)]


def heard(read: Audio) -> list[float]:
    return onsets(read.samples, read.rate)


def rendered(clip: Path) -> Audio:
    """The sound of `clip` with 20 s of another pitch, its own kept."""
    track = write_audio(clip.with_name("track.wav"), beeps(20, [0], 300), RATE)
    output = clip.with_name("out.mp4")
    render(clip, track, Moment(0, 20), output, sound=SoundOptions(keep_audio=True))
    return read_audio(output)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "ts"])
def test_a_hole_of_eleven_seconds(tmp_path: Path, suffix: str) -> None:
    """The microphone was muted; the pictures went on."""
    sound = beeps(19, [1, 15, 17])
    clip = write_video(tmp_path / f"clip.{suffix}", SMALL, audio=sound, muted=[(3, 14)])
    read = read_audio(clip)
    assert heard(read) == pytest.approx([1, 15, 17], abs=0.05)
    assert read.warnings == ()
    assert decoded_seconds(clip) == pytest.approx(19, abs=0.05)
    assert read.duration == pytest.approx(19, abs=0.05)
    if suffix in ("mp4", "ts"):
        assert heard(rendered(clip)) == pytest.approx([1, 15, 17], abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize("delay", [14.0, -14.0])
def test_sound_that_starts_long_after_or_before_the_picture(
    tmp_path: Path, suffix: str, delay: float
) -> None:
    clip = tmp_path / f"clip.{suffix}"
    write_video(clip, SMALL, audio=beeps(18, [1, 15, 17]), start=20, audio_delay=delay)
    start = read_audio(clip).start
    assert start is not None
    assert read_picture_clock(clip).place(start) == pytest.approx(delay, abs=0.05)
    there = [at + delay for at in (1, 15, 17) if 0 < at + delay < 20]
    if suffix in ("mkv", "ts"):
        assert heard(rendered(clip)) == pytest.approx(there, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "codec"), [("mka", "opus"), ("mka", "flac"), ("ogg", "opus"), ("m4a", "aac")]
)
def test_a_hole_in_music(tmp_path: Path, suffix: str, codec: str) -> None:
    """Only the container's own timeline tells."""
    path = tmp_path / f"a.{suffix}"
    write_audio(path, beeps(30, [1, 22, 27]), RATE, codec, muted=[(8, 20)])
    read = read_audio(path)
    assert heard(read) == pytest.approx([1, 22, 27], abs=0.05)
    assert read.duration == pytest.approx(30, abs=0.05)
    render(
        write_video(tmp_path / "clip.mp4", Clip(seconds=5)),
        path,
        Moment(20.5, 25.5),
        tmp_path / "out.mp4",
    )
    assert heard(read_audio(tmp_path / "out.mp4")) == pytest.approx([1.5], abs=0.05)


def test_a_hole_of_days_is_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.mka"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("flac", rate=RATE, layout="mono")
        for second in (0, 10 * 24 * 3600):
            frame = av.AudioFrame.from_ndarray(beeps(1, [0])[None], "fltp", "mono")
            frame.sample_rate, frame.pts = RATE, second * RATE
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    for reader in (read_audio, decoded_seconds):
        with pytest.raises(MediaError, match="longer than 2 hours"):
            reader(path)


def take(path: Path, start: float, sound_seconds: float = 15.0, flash: float = 5.0) -> Path:
    """15 s in a transport stream whose clock begins at `start`: a flash and a beep at `flash`."""
    clip = Clip(15, 10, 64, 48, colours=[(0, 0, 0)], flashes=[flash], flash_seconds=1)
    return write_video(path, clip, audio=beeps(sound_seconds, [flash]), start=start)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("starts", "sound_seconds"),
    [
        pytest.param([2, 2, 2], 15, id="each-from-its-beginning"),
        pytest.param([2, 2, 2], 12, id="the-sound-ends-early"),
        pytest.param([2, 2, 2], 16, id="the-sound-ends-late"),
        pytest.param([2, 3000], 16, id="later"),
        pytest.param([3000, 2], 16, id="earlier"),
        pytest.param([2, 60], 12, id="paused"),
        pytest.param([95_430, 95_445], 14, id="over-the-33-bit-wrap"),
    ],
)
def test_recordings_put_one_after_the_other(
    tmp_path: Path, starts: list[int], sound_seconds: float
) -> None:
    """The sound follows the pictures, whether theirs continues, is still or begins anew."""
    path = tmp_path / "all.ts"
    flashes = [3.0, 5.0, 7.0]
    takes = [
        take(tmp_path / f"{n}.ts", start, sound_seconds, flash)
        for n, (start, flash) in enumerate(zip(starts, flashes, strict=False))
    ]
    path.write_bytes(b"".join(one.read_bytes() for one in takes))
    scan = VideoScan(path, 48, per_second=10)
    white = np.array([frame.image.mean() > 128 for frame in scan])
    flashed = np.flatnonzero(np.diff(white, prepend=False) & white) / 10
    assert len(flashed) == len(starts)
    read, clock = read_audio(path), read_picture_clock(path)
    assert clock.seconds == pytest.approx(scan.info.duration, abs=0.15)
    assert read.start is not None
    beeped = np.array(heard(read)) + clock.place(read.start)
    assert beeped == pytest.approx(flashed, abs=0.12)  # pictures are a tenth of a second apart
    assert beeped - flashed == pytest.approx(beeped[0] - flashed[0], abs=0.05)


@pytest.mark.slow
def test_a_damaged_first_time(tmp_path: Path) -> None:
    """An error of transmission: the first sound says that it is heard four hours later."""
    path = take(tmp_path / "a.ts", 20)
    data = bytearray(path.read_bytes())
    at = data.index(bytes([0, 0, 1, 0xC0])) + 9  # the time in a PES header: 3 + 15 + 15 bits
    assert data[at] >> 4 in (2, 3)
    data[at] |= 2 << 1 | 8  # adds 2 ** 30 or more ticks of 1/90,000 s
    path.write_bytes(data)
    read = read_audio(path)
    assert read.start is not None
    [beep] = np.array(heard(read)) + read_picture_clock(path).place(read.start)
    assert beep == pytest.approx(5, abs=0.1)
    assert heard(rendered(path)) == pytest.approx([5], abs=0.1)


def test_holes_before_every_frame_are_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By hand: a Core Audio file that says four times as many samples as its packets have."""
    packets, samples = 60, 2048
    noise = np.random.default_rng(0).normal(0, 3000, packets * samples).astype(">i2").tobytes()
    form = struct.pack(">d4sIIIII", RATE, b"lpcm", 0, 2 * samples, 4 * samples, 1, 16)
    chunks = {b"desc": form, b"data": bytes(4) + noise}
    with (tmp_path / "a.caf").open("wb") as file:
        file.write(b"caff" + struct.pack(">HH", 1, 0))
        for name, content in chunks.items():
            file.write(name + struct.pack(">q", len(content)) + content)
    monkeypatch.setattr(soundclock, "MOST_JUMPS", 20)
    believed = 20 * 4 * samples + 40 * samples
    duration = read_audio(tmp_path / "a.caf").duration
    assert duration == pytest.approx(believed / RATE, abs=3 * 4 * samples / RATE)
