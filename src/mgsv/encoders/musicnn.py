"""MusiCNN (Pons & Serra, 2019), trained on the Million Song Dataset: the network and its front end.

                     log-mel [187, 96], normalised
            ┌──────────────┴──────────────┐
    timbral: 7×38, 7×67 (204 each)   temporal: 128×1, 64×1, 32×1 (51 each)
            └─ each: conv, ReLU, norm, maximum over mels ─┐
                     561 ──► dense: conv 7, ReLU, norm (64) ──► + 64 ──► + 64
            └──────────── concatenated: 753 per frame ────────────┘
                     maximum and mean over time ──► 200 ──► 50 tags

The weights are the authors' (ISC licence, see `weights/musicnn_msd.LICENSE`), converted by
tools/convert_musicnn.py. Two things differ from the usual habits of torch, and matter for parity:
the ReLU stands *before* the batch norm, whose ε is 1e-3; and TensorFlow's 'same' padding puts
(k − 1) // 2 zeros on the left and the rest on the right, which for even kernels is not symmetric.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from mgsv.encoders.weights import musicnn_path
from mgsv.media.rhythm import slaney_mel_filters

RATE = 16_000
FFT = 512  # samples; 32 ms, periodic Hann
HOP = 256  # samples; 62.5 frames/s
MELS = 96
BATCH = 2  # patches per pass; with more, what lies between the layers falls out of the cache
PATCH_FRAMES = 187  # 3 s, the length the network was trained on
POOL_DIM = 753  # 2 × 204 timbral + 3 × 51 temporal + 3 × 64 dense channels
NORM_EPSILON = 1e-3  # TensorFlow's default

# The order of the network's outputs, fixed by its training data.
TAGS = (
    "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s",
    "alternative rock", "jazz", "beautiful", "metal", "chillout", "male vocalists", "classic rock",
    "soul", "indie rock", "Mellow", "electronica", "80s", "folk", "90s", "chill", "instrumental",
    "punk", "oldies", "blues", "hard rock", "ambient", "acoustic", "experimental",
    "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country", "easy listening", "sexy",
    "catchy", "funk", "electro", "heavy metal", "Progressive rock", "60s", "rnb", "indie pop",
    "sad", "House", "happy",
)  # fmt: skip


# --- front end --------------------------------------------------------------------------------


def log_mel(samples: Tensor, first: int, count: int) -> Tensor:
    """Frames `first` … `first + count` − 1 of the log-mel spectrogram: [count, 96].

    samples: [N] mono at 16 kHz. Frame i is centred on sample 256 i; outside of the track lie
    zeros. Each frame depends on its own 512 samples only, so any part of a long track can be had
    without the rest.
    """
    start = first * HOP - FFT // 2
    stop = start + (count - 1) * HOP + FFT
    inside = samples[max(start, 0) : max(stop, 0)]
    before = min(max(-start, 0), stop - start)
    padded = F.pad(inside, (before, stop - start - before - len(inside)))
    windows = padded.unfold(0, FFT, HOP) * torch.hann_window(FFT, periodic=True)
    spectrum = torch.fft.rfft(windows)
    power = spectrum.real.square() + spectrum.imag.square()
    filters = torch.from_numpy(slaney_mel_filters(FFT, MELS, RATE))
    return torch.log10(10_000 * (power @ filters) + 1)


# --- network ----------------------------------------------------------------------------------


class Norm(nn.BatchNorm1d):
    """Batch norm over channels of [B, C, T], or over features of [B, C]."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=NORM_EPSILON)

    def affine_parts(self) -> tuple[Tensor, Tensor]:
        """The (scale, shift) [C] that the trained norm applies."""
        assert self.running_mean is not None and self.running_var is not None
        scale = self.weight / torch.sqrt(self.running_var + self.eps)
        return scale, self.bias - self.running_mean * scale


class PeakBlock(nn.Module):
    """[B, T, 96] → [B, C, T]: convolution, ReLU, norm, then the maximum over mels."""

    def __init__(self, channels: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        frames, _ = kernel
        self.padding = (0, 0, (frames - 1) // 2, frames // 2)  # mels, then time: 'same'
        self.conv = nn.Conv2d(1, channels, kernel)
        self.norm = Norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.conv(F.pad(x, self.padding)[:, None]))  # [B, C, T, mels]
        normed: Tensor = self.norm(y.flatten(2))
        return normed.view_as(y).amax(3)


class FoldedPeakBlock(nn.Module):
    """A trained `PeakBlock` with the maximum taken first: same results, less work.

    ReLU and norm act on each channel alone and monotonically, so they may follow the maximum and
    see one value instead of one per mel. Where a channel's norm falls (negative scale), the largest
    output comes from the *smallest* input: such a kernel's sign is turned, and turned back after.
    """

    kernel: Tensor
    sign: Tensor
    bias: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self, block: PeakBlock) -> None:
        super().__init__()
        scale, shift = block.norm.affine_parts()
        sign = torch.where(scale < 0, -1.0, 1.0)
        self.padding = block.padding
        self.register_buffer("kernel", block.conv.weight * sign[:, None, None, None])
        self.register_buffer("sign", sign[:, None])
        assert block.conv.bias is not None
        self.register_buffer("bias", block.conv.bias[:, None])
        self.register_buffer("scale", scale[:, None])
        self.register_buffer("shift", shift[:, None])

    def forward(self, x: Tensor) -> Tensor:
        peaks = self.peaks(F.pad(x, self.padding))
        return F.relu(peaks * self.sign + self.bias) * self.scale + self.shift

    def peaks(self, padded: Tensor) -> Tensor:
        """[B, T + k − 1, 96] → [B, C, T]: the largest value of the convolution over mels."""
        return F.conv2d(padded[:, None], self.kernel).amax(3)


class SpectralPeakBlock(FoldedPeakBlock):
    """A `FoldedPeakBlock` whose kernel spans so many mels that Fourier's way is the shorter one.

    Along mels the convolution is computed as a product of spectra over the 49 frequencies of a
    96-point transform; the kept positions are those where the kernel lies inside the 96 mels, so
    nothing wraps around. Per output frame and channel: 98 × 14 multiplications for the products
    and 98 × positions for the way back, against 7 × width × positions directly (2 to 3 times
    more). Both steps are matrix products, and the tiles keep what lies between them in the cache.
    """

    products: Tensor
    inverse: Tensor
    TILE = 16  # frames

    def __init__(self, block: PeakBlock) -> None:
        super().__init__(block)
        kernel = self.kernel[:, 0].double()  # [C, 7, width]
        positions = MELS - kernel.shape[2] + 1
        spectrum = torch.fft.rfft(kernel, MELS).conj()  # conjugate: torch's conv is a correlation
        # (x + iy)(u + iv): real part = x u − y v, imaginary part = x v + y u.
        real = torch.cat([spectrum.real, -spectrum.imag], dim=1)
        imaginary = torch.cat([spectrum.imag, spectrum.real], dim=1)
        products = torch.stack([real, imaginary]).permute(3, 0, 2, 1).flatten(0, 1)
        self.register_buffer("products", products.float().contiguous())  # [98, 14, C]
        # The rows of the inverse real transform, found by transforming unit vectors.
        units = torch.complex(*torch.eye(98, dtype=torch.float64).view(98, 49, 2).unbind(2))
        inverse = torch.fft.irfft(units, MELS)[:, :positions].T
        self.register_buffer("inverse", inverse.float().contiguous())  # [positions, 98]

    def peaks(self, padded: Tensor) -> Tensor:
        spectrum = torch.view_as_real(torch.fft.rfft(padded))  # [B, T + 6, 49, 2]
        taps = spectrum.unfold(1, 7, 1)  # [B, T, 49, 2, 7]
        batch, frames = taps.shape[:2]
        taps = taps.permute(2, 0, 1, 3, 4).reshape(49, batch * frames, 14)
        taps = taps.repeat_interleave(2, dim=0)  # for the real and the imaginary part
        peaks = [
            (self.inverse @ torch.bmm(tile, self.products).flatten(1)).amax(0)
            for tile in torch.split(taps, self.TILE, dim=1)
        ]
        return torch.cat(peaks).view(batch, frames, -1).transpose(1, 2)


class DenseBlock(nn.Module):
    """[B, C, T] → [B, 64, T]: convolution over 7 frames, ReLU, norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, 64, 7, padding=3)
        self.norm = Norm(64)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(F.relu(self.conv(x)))
        return normed


class MusicnnOutput(NamedTuple):
    mean_pool: Tensor  # [B, 753]
    max_pool: Tensor  # [B, 753]
    penultimate: Tensor  # [B, 200]
    tags: Tensor  # [B, 50] probabilities, in the order of TAGS


class Musicnn(nn.Module):
    """Log-mel patches [B, T, 96] → pooled features and tags; T is 187 in training."""

    def __init__(self) -> None:
        super().__init__()
        self.input_norm = Norm(1)
        self.timbral = nn.ModuleList([PeakBlock(204, (7, mels)) for mels in (38, 67)])
        self.temporal = nn.ModuleList([PeakBlock(51, (frames, 1)) for frames in (128, 64, 32)])
        self.dense = nn.ModuleList([DenseBlock(channels) for channels in (561, 64, 64)])
        self.pool_norm = Norm(2 * POOL_DIM)
        self.penultimate = nn.Linear(2 * POOL_DIM, 200)
        self.penultimate_norm = Norm(200)
        self.tags = nn.Linear(200, len(TAGS))

    def forward(self, patches: Tensor) -> MusicnnOutput:
        x = self.input_norm(patches.flatten(1)[:, None]).view_as(patches)
        front = torch.cat([block(x) for block in (*self.timbral, *self.temporal)], dim=1)
        first = self.dense[0](front)
        second = first + self.dense[1](first)
        third = second + self.dense[2](second)
        features = torch.cat([front, first, second, third], dim=1)  # [B, 753, T]
        max_pool, mean_pool = features.amax(2), features.mean(2)
        pooled = self.pool_norm(torch.stack([max_pool, mean_pool], dim=2).flatten(1))
        penultimate = self.penultimate_norm(F.relu(self.penultimate(pooled)))
        return MusicnnOutput(mean_pool, max_pool, penultimate, self.tags(penultimate).sigmoid())

    def fold(self) -> Musicnn:
        """Replace the front blocks by their fast equals; for inference only."""
        for blocks, fast in (self.timbral, SpectralPeakBlock), (self.temporal, FoldedPeakBlock):
            for i, block in enumerate(blocks):
                if isinstance(block, PeakBlock):
                    blocks[i] = fast(block)
        return self


def load_musicnn(folded: bool = True) -> Musicnn:
    """The trained network, ready for inference; `folded` is the fast form of the same function."""
    network = Musicnn()
    network.load_state_dict(load_file(musicnn_path()))
    network.eval().requires_grad_(False)
    return network.fold() if folded else network


@functools.cache
def shared_musicnn() -> Musicnn:
    """The folded network, loaded once per process. Safe to use from several threads."""
    return load_musicnn()


# --- tracks -----------------------------------------------------------------------------------


def patch_start(segment: int) -> int:
    """The spectrogram frame at which a segment's patch begins.

    A segment begins every 2.5 s = 156.25 frames; the nearest frame is at most 8 ms off.
    """
    return (625 * segment + 2) // 4


@torch.inference_mode()
def embed_track(
    samples: npt.NDArray[np.float32], segments: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean-pooled features [S, 753] and tag probabilities [S, 50] of a track's segments.

    samples: [N] mono at 16 kHz. Segment k's patch is the 3 s from 2.5 k s on; beyond the track's
    end lie zeros. Memory beyond the waveform's own does not grow with the track.
    """
    network, track = shared_musicnn(), torch.from_numpy(samples)
    features, tags = (
        np.empty((segments, POOL_DIM), np.float32),
        np.empty((segments, 50), np.float32),
    )
    for first in range(0, segments, BATCH):
        starts = [patch_start(k) for k in range(first, min(first + BATCH, segments))]
        mel = log_mel(track, starts[0], starts[-1] - starts[0] + PATCH_FRAMES)
        patches = [mel[start - starts[0] :][:PATCH_FRAMES] for start in starts]
        output = network(torch.stack(patches))
        features[first : first + BATCH] = output.mean_pool.numpy()
        tags[first : first + BATCH] = output.tags.numpy()
    return features, tags
