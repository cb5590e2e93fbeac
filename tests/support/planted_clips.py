"""Clips with a known answer: made for one moment of one track, as an editor would cut them.

Nothing here uses the package's own rhythm analysis, so that it is not graded by itself.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

FPS = 25
WIDTH, HEIGHT = 320, 180
BLOB = 16
"""Pixels. Pictures are 16 × 24 blobs: 256 × 384 pixels."""
HOP = 0.01

Curve = npt.NDArray[np.float64]


def onsets_and_energy(samples: npt.NDArray[np.float32], rate: int) -> tuple[Curve, Curve]:
    """(onset strength, RMS energy) per 10 ms: rises of log power in eight bands of an octave."""
    hop = round(HOP * rate)
    window = 4 * hop
    padded = np.pad(samples, (window // 2, window))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    frames = frames[: len(samples) // hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(window))) ** 2
    edges = np.unique(np.geomspace(1, power.shape[1], 9).astype(int))
    bands = np.add.reduceat(power, edges[:-1], axis=1)
    # Rises that start far below the track's usual level in a band are hiss, not onsets.
    bands = np.log10(0.01 * bands.mean(axis=0) + bands)
    flux = np.maximum(np.diff(bands, axis=0, prepend=bands[:1]), 0).sum(axis=1)
    energy = np.sqrt((frames**2).mean(axis=1))
    return flux, energy


def strongest_onsets(
    flux: Curve, start: float, end: float, count: int, apart: float
) -> list[float]:
    """Seconds of the `count` strongest onsets inside (start, end), all at least `apart`."""
    order = np.argsort(-flux)
    chosen: list[float] = []
    for index in order:
        at = index * HOP
        far = all(abs(at - other) >= apart for other in chosen)
        if start + apart < at < end - apart and far:
            chosen.append(at)
        if len(chosen) == count:
            break
    return sorted(chosen)


def write_planted_clip(
    path: Path,
    samples: npt.NDArray[np.float32],
    rate: int,
    start: float,
    seconds: float,
    rng: np.random.Generator,
) -> list[float]:
    """A real H.264 file cut for [start, start + seconds]; returns its cut times in the clip.

    Cuts fall on the moment's strongest onsets, one per 1.2 s on average; within a shot the camera
    pans over an endless picture at a speed that follows the music's energy.
    """
    flux, energy = onsets_and_energy(samples, rate)
    cuts = [
        onset - start
        for onset in strongest_onsets(flux, start, start + seconds, round(seconds / 1.2), 0.4)
    ]
    grid = np.arange(len(energy)) * HOP
    loudness = np.convolve(energy, np.ones(50) / 50, mode="same")
    loudest = np.quantile(loudness, 0.95)
    with av.open(str(path), "w") as output:
        stream = output.add_stream(
            "libx264", rate=FPS, options={"preset": "ultrafast", "crf": "23"}
        )
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.time_base = Fraction(1, FPS)
        shot, picture, place = -1, _picture(rng), np.zeros(2)
        for index in range(round(seconds * FPS)):
            at = index / FPS
            current = sum(cut <= at + 0.5 / FPS for cut in cuts)
            if current != shot:
                shot, picture, place = current, _picture(rng), np.zeros(2)
            speed = 4.0 * float(np.interp(start + at, grid, loudness)) / loudest
            place += speed * np.array([0.4, 1.0])
            view = np.roll(picture, tuple(-place.astype(int)), axis=(0, 1))[:HEIGHT, :WIDTH]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(view), format="rgb24")
            frame.pts = index
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return cuts


def _picture(rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A still of soft coloured blobs, larger than the frame, whose edges fit each other."""
    coarse = rng.uniform(0, 255, (16, 24, 3))
    fine = coarse.repeat(BLOB, axis=0).repeat(BLOB, axis=1)
    for axis in (0, 1):
        shifted = [np.roll(fine, step, axis) for step in range(-BLOB // 2, BLOB // 2)]
        fine = np.mean(shifted, axis=0)
    return fine.astype(np.uint8)
