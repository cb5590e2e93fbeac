"""What judges a rendered file: decoding it again, with independent measures."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

RATE = 48_000
Stereo = NDArray[np.float64]


def read_sound(path: Path, rate: int = RATE) -> Stereo:
    """[2, N] at `rate`, sample 0 at the file's time 0, as a player hears it."""
    blocks = []
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("fltp", "stereo", rate)
        for frame in container.decode(audio=0):
            if not blocks:
                assert frame.time is not None
                blocks.append(np.zeros((2, round(frame.time * rate))))
            frame.pts = None
            blocks += [f.to_ndarray() for f in resampler.resample(frame)]
        blocks += [f.to_ndarray() for f in resampler.resample(None)]
    return np.concatenate(blocks, axis=1).astype(np.float64)


def read_track(path: Path) -> Stereo:
    """[2, N] at 48 kHz, sample 0 the track's first sample."""
    sound = read_sound(path)
    with av.open(str(path)) as container:
        first = next(iter(container.decode(audio=0)))
        assert first.time is not None
    return sound[:, round(first.time * RATE) :]


def read_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(video=0) if p.size]


def read_times(path: Path) -> NDArray[np.float64]:
    """Seconds at which each picture is shown."""
    with av.open(str(path)) as container:
        return np.array([f.time for f in container.decode(video=0)])


def loudness(sound: Stereo) -> float:
    """Integrated loudness in LUFS: ITU-R BS.1770-4, written from its annex 1 for 48 kHz."""
    shelf = ([1.53512485958697, -2.69169618940638, 1.19839281085285],
             [1.0, -1.69065929318241, 0.73248077421585])  # fmt: skip
    high_pass = ([1.0, -2.0, 1.0], [1.0, -1.99004745483398, 0.99007225036621])
    count = 1 << (sound.shape[1] + RATE).bit_length()
    z = np.exp(-2j * np.pi * np.arange(count // 2 + 1) / count)
    response = np.ones_like(z)
    for above, below in (shelf, high_pass):
        response = response * np.polyval(above[::-1], z) / np.polyval(below[::-1], z)
    weighted = np.fft.irfft(np.fft.rfft(sound, count) * response, count)[:, : sound.shape[1]]
    starts = range(0, sound.shape[1] - int(0.4 * RATE) + 1, int(0.1 * RATE))
    power = np.array([(weighted[:, s : s + int(0.4 * RATE)] ** 2).mean(1).sum() for s in starts])
    heard = power[-0.691 + 10 * np.log10(power + 1e-20) > -70]
    heard = heard[10 * np.log10(heard) > 10 * np.log10(heard.mean()) - 10]
    return float(-0.691 + 10 * np.log10(heard.mean()))


def true_peak(sound: Stereo) -> float:
    """dBTP: the highest of the samples and of three between each two (band-limited)."""
    count = 1 << sound.shape[1].bit_length()
    spectrum = np.fft.rfft(sound, count)
    finer = np.fft.irfft(spectrum, 4 * count) * 4
    return float(20 * np.log10(np.abs(finer).max()))


def lag(sound: Stereo, reference: Stereo, reach: float = 0.1) -> float:
    """Seconds by which `sound` comes later than `reference`, within ± `reach`."""
    a, b = sound.mean(0), reference.mean(0)
    count = 1 << (len(a) + len(b)).bit_length()
    match = np.fft.irfft(np.fft.rfft(a, count) * np.conj(np.fft.rfft(b, count)), count)
    shifts = np.arange(-round(reach * RATE), round(reach * RATE) + 1)
    return float(shifts[np.argmax(match[shifts])]) / RATE


def left_in(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def music(seconds: float = 12.0, rate: int = 44_100, seed: int = 3) -> NDArray[np.float32]:
    """Stereo noise bursts over a chord, never the same twice: its places can be told apart."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    beat = np.exp(-8 * (time % 0.4))
    noise = rng.normal(0, 0.1, (2, len(time))) * beat
    chord = 0.1 * np.sin(2 * np.pi * 220 * time) + 0.1 * np.sin(2 * np.pi * 331 * time)
    return (noise + chord).astype(np.float32)
