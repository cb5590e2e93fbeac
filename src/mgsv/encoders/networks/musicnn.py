"""MusiCNN (Pons & Serra, 2019), trained on the Million Song Dataset, as a PyTorch network.

                     log-mel [187, 96], normalised
            ┌──────────────┴──────────────┐
    timbral: 7×38, 7×67 (204 each)   temporal: 128×1, 64×1, 32×1 (51 each)
            └─ each: conv, ReLU, norm, maximum over mels ─┐
                     561 ──► dense: conv 7, ReLU, norm (64) ──► + 64 ──► + 64
            └──────────── concatenated: 753 per frame ────────────┘
                     maximum and mean over time ──► 200 ──► 50 tags

The weights are the authors' (ISC licence), converted by tools/convert_musicnn.py. Two things differ
from the usual habits of torch, and matter for parity: the ReLU stands *before* the batch norm,
whose ε is 1e-3; and TensorFlow's 'same' padding puts (k − 1) // 2 zeros on the left and the rest on
the right, which for even kernels is not symmetric. The folded form is what tools/export_encoders.py
exports for `mgsv.encoders.musicnn`; it lies beside this file in a checkout, not in the package.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from mgsv.encoders.musicnn import MELS, POOL_DIM, TAGS

WEIGHTS = Path(__file__).parent / "musicnn_msd.safetensors"
NORM_EPSILON = 1e-3  # TensorFlow's default


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
    nothing wraps around. They are counted from the middle one, ±p: with the spectrum's real and
    imaginary part come the sums C(p) of its cosines and S(p) of its sines, the values at ±p are
    C ± S, and the larger of them is C + |S|. Per output frame and channel: 98 × 14 multiplications
    for the products and 49 × positions for the way back, against 7 × width × positions directly
    (3 to 5 times more). Both steps are matrix products, and the tiles keep what lies between them
    in the cache.
    """

    to_spectrum: Tensor
    real: Tensor
    imaginary: Tensor
    cosines: Tensor
    sines: Tensor
    TILE = 32  # frames

    def __init__(self, block: PeakBlock) -> None:
        super().__init__(block)
        kernel = self.kernel[:, 0].double()  # [C, 7, width]
        positions = MELS - kernel.shape[2] + 1
        turns = torch.arange(49, dtype=torch.float64) * (2 * math.pi / MELS)
        # Conjugate, as torch's conv is a correlation; turned, as positions start from the middle.
        spectrum = torch.fft.rfft(kernel, MELS).conj() * torch.exp(1j * turns * (positions - 1) / 2)
        # (x + iy)(u + iv): real part = x u − y v, imaginary part = x v + y u.
        real = torch.cat([spectrum.real, -spectrum.imag], dim=1)
        imaginary = torch.cat([spectrum.imag, spectrum.real], dim=1)
        share = torch.full((49, 1), 2.0 / MELS, dtype=torch.float64)
        share[0] = share[48] = 1.0 / MELS  # the others stand for their conjugates too
        place = torch.arange((positions + 1) // 2, dtype=torch.float64) + (positions + 1) % 2 / 2
        angles = turns[:, None] * place
        into = torch.view_as_real(torch.fft.rfft(torch.eye(MELS, dtype=torch.float64)))
        for name, values in {
            "to_spectrum": into.transpose(1, 2).flatten(1),  # [96, 2 × 49]
            "real": real.permute(2, 1, 0),  # [49, 14, C]
            "imaginary": imaginary.permute(2, 1, 0),
            "cosines": angles.cos() * share,  # [49, positions / 2]
            "sines": angles.sin() * share,
        }.items():
            self.register_buffer(name, values.float().contiguous())

    def peaks(self, padded: Tensor) -> Tensor:
        batch, frames = int(padded.shape[0]), int(padded.shape[1]) - 6
        spectrum = (padded @ self.to_spectrum).view(batch, frames + 6, 2, 49)
        # [B, T, 2, 7, 49]: seven frames beside each other
        taps = torch.stack([spectrum[:, k : k + frames] for k in range(7)], dim=3)
        taps = taps.permute(4, 0, 1, 2, 3).reshape(49, batch * frames, 14)
        peaks = []
        for start in range(0, batch * frames, self.TILE):
            tile = taps[:, start : start + self.TILE]
            real, imaginary = (
                torch.bmm(tile, part).flatten(1).T for part in (self.real, self.imaginary)
            )
            peaks.append((real @ self.cosines + (imaginary @ self.sines).abs()).amax(1))
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
    network.load_state_dict(load_file(WEIGHTS))
    network.eval().requires_grad_(False)
    return network.fold() if folded else network
