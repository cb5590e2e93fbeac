"""The clip's own sound with the music under it, which steps back while somebody speaks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from mgsv.media.loudness import gain_to, measure_level
from mgsv.media.sound import RATE, STEP, Spool, block_of, ducked
from mgsv.media.voices import (
    DEPTHS,
    HOLD,
    Duck,
    GainPoint,
    Speech,
    find_speech,
    gain_curve,
    mixed_by,
    resolved,
)

# The clip's own sound and the music are brought to this loudness before one ducks under the other.
_MIX_LUFS = -20.0
_MUSIC_BELOW = 4.0  # dB the music stays below, where it is not ducked at all
_MAX_BOOST = 20.0  # dB. More would only bring up the hiss of a clip without speech

CLEAR = 12.0
"""dB by which speech is above the music with "clear"."""
LEAST, MOST = -4.0, -20.0
"""dB of the music under speech with "clear", whatever their levels are."""
LOUDEST = 3.0
"""Seconds of music, the loudest under each speech, that this holds for."""
_NOISE = 0.1
"""Share of the time while somebody speaks in which only the noise behind is heard, at least."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SpeechMix:
    """How speech and music are mixed. keys: of the music's gain, none where nobody speaks. own,
    music: dB that each gets throughout."""

    speech: tuple[Speech, ...]
    keys: tuple[GainPoint, ...]
    own: float
    music: float


def mixed_under(
    own: Spool, music: Spool, duck: Duck | None, own_gain: float
) -> tuple[Iterator[AudioFrame], str]:
    """`music` under the clip's own sound, both as long as each other; and what to say about it.

    own_gain: dB by which the clip's own sound is louder than usual.
    """
    if resolved(duck) == "sound":
        loud = _own_gain(own.frames()) + own_gain
        return ducked(own, music, own_gain=loud, music_gain=_music_gain(music)), ""
    mix = speech_mix(own, music, duck, own_gain)
    word = "" if mix.speech else "nobody was heard to speak in the clip, so the music does not duck"
    return mixed_by(own, music, own_gain=mix.own, music_gain=mix.music, keys=mix.keys), word


def speech_mix(own: Spool, music: Spool, duck: Duck | None, own_gain: float) -> SpeechMix:
    """How `music` steps back under what is spoken in `own`; as there."""
    speech = find_speech(own.frames())
    loud = _own_gain(_parts(own, speech) if speech else own.frames()) + own_gain
    soft = _music_gain(music)
    depth = DEPTHS.get(resolved(duck))
    if depth is None:
        voices, bed = _powers(own, loud), _powers(music, soft)
        depths = [_clear(one, voices, bed) for one in speech]
    else:
        depths = [depth] * len(speech)
    return SpeechMix(speech, gain_curve(speech, depths), loud, soft)


def _own_gain(frames: Iterable[AudioFrame]) -> float:
    """dB that bring the clip's own sound to its loudness in the mix."""
    return min(gain_to(measure_level(frames, true_peaks=False), _MIX_LUFS), _MAX_BOOST)


def _music_gain(music: Spool) -> float:
    return gain_to(measure_level(music.frames(), true_peaks=False), _MIX_LUFS - _MUSIC_BELOW)


def _parts(sound: Spool, speech: Iterable[Speech]) -> Iterator[AudioFrame]:
    """What is spoken, without the pauses."""
    place = 0
    for start, end in speech:
        first, last = round(start * RATE), round(end * RATE)
        for begin in range(first, last, RATE):
            part = sound.between(begin, min(begin + RATE, last))
            yield block_of(part, place)
            place += len(part)


def _powers(sound: Spool, gain: float) -> Floats:
    """[N] mean power of each `STEP`, `gain` dB louder."""
    powers = [np.mean(np.square(frame.to_ndarray(), dtype=np.float64)) for frame in sound.frames()]
    return np.asarray(powers) * 10 ** (gain / 10)


def _clear(speech: Speech, voices: Floats, bed: Floats) -> float:
    """dB of the music at which `speech` is `CLEAR` above the loudest of it."""
    heard = slice(int(speech.start / STEP), max(1, round(speech.end / STEP)))
    spoken = voices[heard]
    behind = bed[max(0, heard.start - 1) : heard.stop + round(HOLD / STEP)]
    if not len(spoken) or not behind.any():
        return LEAST
    width = min(len(behind), round(LOUDEST / STEP))
    loudest = np.convolve(behind, np.ones(width) / width, "valid").max()
    voice = max(spoken.mean() - np.quantile(spoken, _NOISE), 1e-12)
    return float(np.clip(10 * np.log10(voice / loudest) - CLEAR, MOST, LEAST))
