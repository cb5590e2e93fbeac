"""Where a sound lies on a track, to a fraction of a millisecond, and how well they agree there.

Both are whitened; the track's is kept as signs. The sound is cut into blocks, each block is
correlated with the track around the place supposed, and the lag on which the blocks agree is it.
A block's agreement is measured in standard deviations of what it reaches at the other lags, so that
hums and beats, which agree with everything, count for little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mgsv.library.fingerprints import TrackFingerprint
from mgsv.media.curves import sliding_windows
from mgsv.media.sign_waveform import RATE, signs

Floats = npt.NDArray[np.float32]

BLOCK = 2000
"""Samples, 0.25 s: long enough to hear music under a voice, short enough to say where it stops."""
BLOCK_SECONDS = BLOCK / RATE
REACH = 1024
"""Samples, 128 ms, searched to either side of the place supposed."""
_FFT = 4096  # at least BLOCK + 2 REACH
_BESIDE = 40  # samples, 5 ms: lags this near the best one are no measure of chance
MAX_DRIFT = 6e-4
"""Of a speed: what landmarks may leave it off by, and a block's correlation bears."""


@dataclass(frozen=True)
class Alignment:
    """A sound laid on a track: second t of the sound is `start + speed * t` of the track.

    track: its place in the index. agreement: float32 [B], of each 0.25 s of the sound, in standard
    deviations of chance: about normal with mean 0 where the sound is not this place of the track.
    """

    track: int
    start: float
    speed: float
    agreement: Floats


class Blocks:
    """A whitened sound in blocks, as what plays `speed` times as fast as the track."""

    def __init__(self, white: Floats, speed: float = 1.0) -> None:
        if speed != 1.0:
            white, speed = _resampled(white, speed)
        self.speed = speed
        """As it came out: whole samples allow no other."""
        self.count = max(1, len(white) // BLOCK)
        blocks = np.zeros((self.count, BLOCK), np.float32)
        blocks.reshape(-1)[: len(white)] = white[: blocks.size]
        norms = np.linalg.norm(blocks, axis=1)
        # Blocks that are nearly silent agree with nothing, instead of with everything.
        heard = norms > 0.05 * np.sqrt(BLOCK)
        self._scale = np.where(heard, 1 / np.maximum(norms, 1e-9) / np.sqrt(BLOCK), 0)
        self._spectra = np.conj(np.fft.rfft(blocks, _FFT, axis=1))

    def correlate(self, track: TrackFingerprint, start: float, part: slice = slice(None)) -> Floats:
        """Correlation of the blocks `part` with `track` at each lag, [B, 2 REACH + 1]; 1 = equal.

        start: second of the track at the sound's 0, which is lag `REACH`.
        """
        first, last, _ = part.indices(self.count)
        begin = round(start * RATE) - REACH + first * BLOCK
        reference = signs(track.signs, begin, begin + (last - first) * BLOCK + 2 * REACH)
        pieces = sliding_windows(reference, BLOCK + 2 * REACH, BLOCK)
        product = np.fft.rfft(pieces, _FFT, axis=1) * self._spectra[part]
        waves = np.fft.irfft(product, axis=1)[:, : 2 * REACH + 1]
        return np.asarray(waves * self._scale[part, None], np.float32)


def promise(waves: Floats) -> float:
    """How far the blocks' best common lag stands above chance, in its standard deviations."""
    total = waves.sum(axis=0)
    return _significance(total, int(np.argmax(total)))


def align(
    blocks: Blocks,
    track: TrackFingerprint,
    number: int,
    start: float,
    decisive: slice = slice(None),
) -> Alignment:
    """All of `blocks` on `track` near `start`, at the lag that the `decisive` ones agree on."""
    waves = blocks.correlate(track, start)
    total = waves[decisive].sum(axis=0)
    best = int(np.argmax(total))
    beside = waves[:, _beside(len(total), best)]
    agreement = waves[:, best] / np.maximum(beside.std(axis=1), 1 / np.sqrt(BLOCK))
    speed = blocks.speed
    if speed != 1.0:  # to blocks of the sound's own time
        own = max(1, round(blocks.count / speed))
        agreement = agreement[np.minimum((np.arange(own) * speed).astype(int), blocks.count - 1)]
    place = (round(start * RATE) + best - REACH + _vertex(total, best)) / RATE
    return Alignment(number, float(place), speed, agreement.astype(np.float32))


def find_speed(
    white: Floats, track: TrackFingerprint, start: float, speed: float, span: float = MAX_DRIFT
) -> tuple[float, float, float]:
    """(start, speed, promise) at which `white` agrees best with `track`, near those given.

    span: the largest relative error of `speed` looked for; at most `MAX_DRIFT`, beyond which a
    block no longer agrees with itself. Time grows with the square of the sound's length.
    """
    blocks = Blocks(white, speed)
    waves = blocks.correlate(track, start)
    # Lags by which neighbours are apart, in steps that shift the outermost blocks by half a sample.
    step = 1 / blocks.count
    wide = int(span * BLOCK / step) + 1
    best, slope = _sheared(waves, 0.0), 0.0
    for candidate in np.arange(-wide, wide + 1) * step:
        total = _sheared(waves, candidate)
        if total.max() > best.max():
            best, slope = total, float(candidate)
    lag = int(np.argmax(best))
    place = start + (lag - REACH - slope * blocks.count / 2) / RATE
    return place, blocks.speed * (1 + slope / BLOCK), _significance(best, lag)


def likeness(
    track: TrackFingerprint, here: float, there: float, seconds: float
) -> tuple[float, float]:
    """(correlation, start) of the sound at `here` with that near `there` on the same track.

    Of the whitened waveforms, from their signs; lossy coding alone takes some hundredths off.
    """
    begin = round(here * RATE)
    blocks = Blocks(signs(track.signs, begin, begin + round(seconds * RATE)))
    mean = blocks.correlate(track, there).mean(axis=0)
    best = int(np.argmax(mean))
    same = float(np.sin(np.pi / 2 * np.clip(mean[best], 0, 1)))
    return same, (round(there * RATE) + best - REACH) / RATE


def _beside(lags: int, best: int) -> npt.NDArray[np.bool_]:
    return np.abs(np.arange(lags) - best) > _BESIDE


def _significance(total: Floats, best: int) -> float:
    return float(total[best] / max(float(total[_beside(len(total), best)].std()), 1e-6))


def _sheared(waves: Floats, slope: float) -> Floats:
    """Sum over blocks, each shifted by `slope` lags per block from the middle one, [L]."""
    count, lags = waves.shape
    shifts = np.round((np.arange(count) - (count - 1) / 2) * slope).astype(int)
    total = np.zeros(lags, np.float32)
    for wave, shift in zip(waves, shifts.tolist(), strict=True):
        if shift >= 0:
            total[: lags - shift] += wave[shift:]
        else:
            total[-shift:] += wave[:shift]
    return total


def _vertex(curve: Floats, best: int) -> float:
    """Where the parabola through the three points around `best` has its top, from `best`."""
    if not 0 < best < len(curve) - 1:
        return 0.0
    below, here, above = (float(curve[best + k]) for k in (-1, 0, 1))
    bend = below + above - 2 * here
    return 0.5 * (below - above) / bend if bend < 0 else 0.0


def _resampled(white: Floats, speed: float) -> tuple[Floats, float]:
    """The same band-limited wave `speed` times as long, and the speed that is to the sample."""
    # To a length that the transform likes; the zeros at the end move with the rest.
    padded = -(-len(white) // 4000) * 4000
    target = round(padded * speed)
    spectrum = np.fft.rfft(white, padded)
    wave = np.fft.irfft(spectrum[: target // 2 + 1], target) * (target / padded)
    return wave[: round(len(white) * speed)].astype(np.float32), target / padded
