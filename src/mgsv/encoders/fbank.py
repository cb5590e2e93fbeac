"""Kaldi's log-mel filter bank, as the Audio Spectrogram Transformer was trained on.

128 mel bins from 20 Hz to 8 kHz, 25 ms frames every 10 ms; per frame the mean is removed, then
pre-emphasis 0.97, a symmetric Hann window and a 512-point power spectrum. No dither, no energy.
"""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

RATE = 16_000
HOP = 160  # samples, 10 ms
WINDOW = 400  # samples, 25 ms
FFT = 512
MELS = 128
LOWEST = 20.0  # Hz
PRE_EMPHASIS = 0.97
CHUNK = 4096  # frames computed at a time: 8 MB per step of the way, however long the track
FLOOR = torch.finfo(torch.float32).eps  # of the mel energies, before the logarithm


def frame_count(samples: int) -> int:
    """Frames that lie wholly within so many samples."""
    return max(0, 1 + (samples - WINDOW) // HOP)


@functools.cache
def kaldi_mel_filters() -> Tensor:
    """[257, 128]: triangles that are straight in mels, 1127 ln(1 + f / 700); no Nyquist bin."""

    low, high = (1127 * math.log(1 + hertz / 700) for hertz in (LOWEST, RATE / 2))
    # In float32 from here on, and in this order: Kaldi's own rounding is part of the training data.
    corners = low + torch.arange(MELS + 2) * ((high - low) / (MELS + 1))
    bins = 1127 * (1 + RATE / FFT * torch.arange(FFT // 2) / 700).log()[:, None]
    rising = (bins - corners[:-2]) / corners.diff()[:-1]
    falling = (corners[2:] - bins) / corners.diff()[1:]
    return F.pad(torch.minimum(rising, falling).clamp(min=0), (0, 0, 0, 1))


def fbank(samples: Tensor) -> Tensor:
    """Log-mel energies [T, 128] of samples [N], T = `frame_count(N)`.

    Frame t depends on the 400 samples from 160 t on and on nothing else, so the bank of a part of a
    track is that part of the track's bank where the part begins on a frame.
    """
    if len(samples) < WINDOW:
        return samples.new_zeros(0, MELS)
    frames = samples.unfold(0, WINDOW, HOP)
    return torch.cat([_energies(chunk) for chunk in torch.split(frames, CHUNK)])


def _energies(frames: Tensor) -> Tensor:
    """Frames [T, 400] → log-mel energies [T, 128]."""
    frames = frames - frames.mean(dim=1, keepdim=True)
    before = F.pad(frames[:, None], (1, 0), mode="replicate")[:, 0, :-1]
    windowed = (frames - PRE_EMPHASIS * before) * torch.hann_window(WINDOW, periodic=False)
    power: Tensor = torch.fft.rfft(windowed, FFT).abs().square()
    energies: Tensor = (power @ kaldi_mel_filters()).clamp(min=FLOOR)
    return energies.log()
