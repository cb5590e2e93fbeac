"""MusiCNN (Pons & Serra, 2019), trained on the Million Song Dataset, by ONNX Runtime.

Its front end, and the features and tags of a track; the network is in
`mgsv.encoders.networks.musicnn`.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from mgsv.encoders.weights import MUSICNN
from mgsv.media.rhythm import slaney_mel_filters
from mgsv.runtime.onnx import OnnxModel

Samples = npt.NDArray[np.float32]

RATE = 16_000
FFT = 512  # samples; 32 ms, periodic Hann
HOP = 256  # samples; 62.5 frames/s
MELS = 96
PATCH_FRAMES = 187  # 3 s, the length the network was trained on
POOL_DIM = 753  # 2 × 204 timbral + 3 × 51 temporal + 3 × 64 dense channels
AT_ONCE = 16  # patches whose spectrogram is made together

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


def log_mel(samples: Samples, first: int, count: int) -> Samples:
    """Frames `first` … `first + count` − 1 of the log-mel spectrogram: [count, 96].

    samples: [N] mono at 16 kHz. Frame i is centred on sample 256 i; outside of the track lie
    zeros. Each frame depends on its own 512 samples only, so any part of a long track can be had
    without the rest.
    """
    start = first * HOP - FFT // 2
    stop = start + (count - 1) * HOP + FFT
    padded = np.zeros(stop - start, np.float32)
    inside = samples[max(start, 0) : max(stop, 0)]
    padded[max(-start, 0) :][: len(inside)] = inside
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP]
    spectrum = np.fft.rfft(frames * _window())
    power = np.asarray(spectrum.real**2 + spectrum.imag**2, np.float32)
    energy = power @ slaney_mel_filters(FFT, MELS, RATE)
    return np.asarray(np.log10(10_000 * energy + 1), np.float32)


@functools.cache
def _window() -> Samples:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT) / FFT)).astype(np.float32)


@functools.cache
def shared_musicnn() -> OnnxModel:
    """The network, loaded once per process. Safe to use from several threads.

    It runs on one thread, as tracks are indexed in as many threads as there are cores.
    """
    return MUSICNN.open(threads=1)


def patch_start(segment: int) -> int:
    """The spectrogram frame at which a segment's patch begins.

    A segment begins every 2.5 s = 156.25 frames; the nearest frame is at most 8 ms off.
    """
    return (625 * segment + 2) // 4


def embed_track(samples: Samples, segments: int) -> tuple[Samples, Samples]:
    """Mean-pooled features [S, 753] and tag probabilities [S, 50] of a track's segments.

    samples: [N] mono at 16 kHz. Segment k's patch is the 3 s from 2.5 k s on; beyond the track's
    end lie zeros. Memory beyond the waveform's own does not grow with the track.
    """
    network = shared_musicnn()
    features = np.empty((segments, POOL_DIM), np.float32)
    tags = np.empty((segments, len(TAGS)), np.float32)
    for first in range(0, segments, AT_ONCE):
        starts = [patch_start(k) for k in range(first, min(first + AT_ONCE, segments))]
        mel = log_mel(samples, starts[0], starts[-1] - starts[0] + PATCH_FRAMES)
        for k, start in enumerate(starts, start=first):
            patch = mel[start - starts[0] :][:PATCH_FRAMES]
            features[k], tags[k] = network.run(["features", "tags"], {"patch": patch})
    return features, tags
