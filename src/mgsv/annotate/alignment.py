"""Where a sound lies on a track, to a fraction of a millisecond, and how well they agree there.

Both are whitened; the track's is kept as signs. The sound is cut into blocks, each block is
correlated with the track around the place supposed, and the lag on which the blocks agree is it.
A block's agreement is measured in standard deviations of what it reaches at the other lags, so that
hums and beats, which agree with everything, count for little. How much of the sound the track
explains there is the correlation itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

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
AGREES = 3.0
"""Agreement of a block from which on it counts as explained."""
SAME_SOUND = 0.6
"""Correlation from which on a sound is explained, though other lags agree nearly as well: held
tones repeat themselves every few milliseconds."""
_SIGNS_KEEP = math.sqrt(2 / math.pi)
"""What a sound's correlation with its own signs is, where it is about normal."""
MAX_DRIFT = 6e-4
"""Of a speed: what landmarks may leave it off by, and a block's correlation bears."""


@dataclass(frozen=True)
class Alignment:
    """A sound laid on a track: second t of the sound is `start + speed * t` of the track.

    track: its place in the index. correlation: float32 [B], of each 0.25 s of the sound; 1 where
    it is the track's sound and nothing else. chance: float32 [B], the standard deviation of the
    same at other lags.
    """

    track: int
    start: float
    speed: float
    correlation: Floats
    chance: Floats

    @property
    def agreement(self) -> Floats:
        """float32 [B], the correlation in standard deviations of chance: about normal with mean 0
        where the sound is not this place of the track.
        """
        return self.correlation / self.chance

    @property
    def agrees(self) -> npt.NDArray[np.bool_]:
        """bool [B], which parts of the sound it explains."""
        return (self.agreement >= AGREES) | (self.correlation >= SAME_SOUND)

    def is_near(self, other: Alignment, seconds: float, within: float) -> bool:
        """Whether both lay each of the sound's `seconds` on the same place, to `within` seconds."""
        start, drift = self.start - other.start, (self.speed - other.speed) * seconds
        return self.track == other.track and max(abs(start), abs(start + drift)) < within

    def joined(self, before: Alignment, after: Alignment, block: int) -> Alignment:
        """This place, with the correlation of `before` up to `block` and of `after` from there."""
        return replace(
            self,
            correlation=np.append(before.correlation[:block], after.correlation[block:]),
            chance=np.append(before.chance[:block], after.chance[block:]),
        )


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


def promise(waves: Floats) -> tuple[float, float]:
    """(how far the blocks' best common lag stands above chance, in its standard deviations; the
    correlation there, 1 = the same sound).
    """
    total = waves.sum(axis=0)
    best = int(np.argmax(total))
    return _significance(total, best), float(total[best]) / (len(waves) * _SIGNS_KEEP)


def align(
    blocks: Blocks,
    track: TrackFingerprint,
    number: int,
    start: float,
    decisive: slice | npt.NDArray[np.intp] = slice(None),
) -> Alignment:
    """All of `blocks` on `track` near `start`, at the lag that the `decisive` ones agree on."""
    waves = blocks.correlate(track, start)
    total = waves[decisive].sum(axis=0)
    best = int(np.argmax(total))
    beside = waves[:, _beside(len(total), best)]
    chance = np.maximum(beside.std(axis=1), 1 / np.sqrt(BLOCK))
    both = np.stack([waves[:, best], chance]) / _SIGNS_KEEP
    speed = blocks.speed
    if speed != 1.0:  # to blocks of the sound's own time
        own = max(1, round(blocks.count / speed))
        both = both[:, np.minimum((np.arange(own) * speed).astype(int), blocks.count - 1)]
    place = (round(start * RATE) + best - REACH + _vertex(total, best)) / RATE
    correlation, chance = both.astype(np.float32)
    return Alignment(number, float(place), speed, correlation, chance)


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
