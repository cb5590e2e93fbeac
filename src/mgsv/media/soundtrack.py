"""The sound of a rendered clip: the music moment, maybe under the clip's own sound, mastered.

Mastering brings the sound to a loudness under a true-peak ceiling: measure, gain, limiter, measure
again, last on the decoded AAC, since lossy coding moves peaks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypedDict, get_args

from av.audio.frame import AudioFrame

from mgsv.errors import ConfigError, MediaError
from mgsv.files import StrPath
from mgsv.media.aac import AacSpool
from mgsv.media.audio import audio_stream
from mgsv.media.extent import survey
from mgsv.media.loudness import LOUDNESS_BLOCK, Level, measure_level
from mgsv.media.music import Scratch, fades, fitted, music_sound
from mgsv.media.pieces import Arrangement
from mgsv.media.sound import RATE, Decoded, Filter, Spool, block_of, ducked, filtered
from mgsv.media.source import open_media, video_stream
from mgsv.media.voices import Duck, Speech, depth_of, find_speech, gain_curve, mixed_by

# The clip's own sound and the music are brought to this loudness before one ducks under the other.
_MIX_LUFS = -20.0
_MUSIC_BELOW = 4.0  # dB the music stays below, where it is not ducked at all
_MAX_BOOST = 20.0  # dB. More would only bring up the hiss of a clip without speech

_MAX_LIMITING = 8.0  # dB taken off the peaks. More is heard as pumping; then it stays quieter
_PEAK_MARGIN = 0.5  # dB left for what AAC adds to the peaks
_NEAR = 1.0  # LU. What the limiter takes from the loudness is made up for in one step this small
_TOLERANCE = 0.4  # LU. Less than this below the wanted loudness is not worth a note
_MAX_ROUNDS = 4


_LOUDNESS = (-40.0, -5.0)  # LUFS: a whisper to the loudest records
_TRUE_PEAK = (-20.0, 0.0)  # dBTP
_OWN_GAIN = (-40.0, 12.0)  # dB
_DUCKS = "sound, light, medium or deep"


@dataclass(frozen=True, slots=True)
class SoundOptions:
    """What a rendered clip sounds like. Raises `ConfigError` for values that make no sense."""

    keep_audio: bool = False
    """The clip's own sound stays on top, and the music ducks under it."""
    duck: Duck | None = None
    """Under what the music ducks: "sound", any of the clip; "light", "medium" or "deep", speech
    alone, by 4, 8 or 14 dB. None: "medium" where the extra `voices` is installed, else "sound"."""
    own_gain: float = 0.0
    """dB by which the clip's own sound is louder in the mix than usual; less than 0: softer."""
    loudness: float = -14.0
    """Integrated LUFS."""
    true_peak: float = -1.0
    """dBTP no decoded sample goes above; where that keeps the loudness down, a note says so."""
    fade: float = 0.3
    """Seconds of fade-out at the end."""
    music_at: float = 0.0
    """Seconds of the clip from which on the music plays; before it there is the clip's own sound,
    if that is kept, or silence."""
    comment: str = ""
    """Whose music it is, for the comment of the new file."""

    def __post_init__(self) -> None:
        _check("loudness", self.loudness, *_LOUDNESS, "LUFS")
        _check("true_peak", self.true_peak, *_TRUE_PEAK, "dBTP")
        _check("fade", self.fade, 0.0, 60.0, "seconds")
        _check("own_gain", self.own_gain, *_OWN_GAIN, "dB")
        check_music_at(self.music_at)
        if self.duck is not None and self.duck not in get_args(Duck):
            raise ConfigError(f"`duck` {self.duck}: unknown", f"choose {_DUCKS}")
        if self.keep_audio:
            depth_of(self.duck)  # raises where what it needs is not installed


class SoundFields(TypedDict, total=False):
    """The fields of `SoundOptions`, as keywords."""

    keep_audio: bool
    duck: Duck | None
    own_gain: float
    loudness: float
    true_peak: float
    fade: float
    music_at: float


@dataclass(frozen=True, slots=True)
class Soundtrack:
    """Encoded sound, its level as a player decodes it, and what the user should know."""

    aac: AacSpool
    level: Level
    notes: tuple[str, ...]


def make_soundtrack(
    video: StrPath,
    track: StrPath,
    music: Arrangement,
    *,
    origin: float,
    seconds: float,
    options: SoundOptions,
    scratch: Scratch,
) -> Soundtrack:
    """Sound of `seconds` for the clip whose first picture is at presentation time `origin`."""
    samples = max(1, round(seconds * RATE))
    sound, notes = mixed(
        video, track, music, origin=origin, samples=samples, options=options, scratch=scratch
    )
    return _finished(sound, options, notes, scratch)


def make_own_soundtrack(
    video: StrPath, *, origin: float, seconds: float, options: SoundOptions, scratch: Scratch
) -> Soundtrack:
    """The clip's own sound alone, faded and mastered as music is; see `make_soundtrack`.

    Raises `MediaError` where it has none.
    """
    samples = max(1, round(seconds * RATE))
    own, word = _own_sound(video, origin, samples, scratch)
    if own is None:
        raise MediaError(video, word, "give a clip with sound")
    sound = Spool(scratch()).fill(filtered(own.frames(), *fades(own, options.fade)))
    return _finished(sound, options, [word] if word else [], scratch)


def mixed(
    video: StrPath,
    track: StrPath,
    music: Arrangement,
    *,
    origin: float,
    samples: int,
    options: SoundOptions,
    scratch: Scratch,
) -> tuple[Spool, list[str]]:
    """The sound before mastering, and what the user should know; see `make_soundtrack`."""
    first = round(options.music_at * RATE)
    if first >= samples:
        raise late_music(options.music_at, samples / RATE)
    sound, notes = music_sound(track, music, samples - first, options.fade, scratch)
    if first:
        sound = Spool(scratch()).fill(filtered(sound.frames(), ("adelay", f"{first}S:all=1")))
    if options.keep_audio:
        own, word = _own_sound(video, origin, samples, scratch)
        notes += [word] if word else []
        if own is not None:
            sound, word = _ducked(own, sound, options, scratch)
            notes += [word] if word else []
    return sound, notes


def mastered_once(sound: Spool, options: SoundOptions) -> Iterator[AudioFrame]:
    """`sound` as it is mastered, but for what AAC adds to the peaks and a second measuring."""
    level = measure_level(sound.frames(), true_peaks=False)
    ceiling = options.true_peak - _PEAK_MARGIN
    gain = min(_gain(level, options.loudness), ceiling + _MAX_LIMITING - level.peak)
    return filtered(sound.frames(), *_limited(gain, ceiling))


def check_music_at(seconds: float) -> None:
    """ConfigError for what is no time of a clip."""
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ConfigError(
            f"`music_at` {seconds:g}: no time of a clip",
            "give the seconds of the clip from which on the music plays",
        )


def late_music(music_at: float, seconds: float) -> ConfigError:
    """That the music would begin after the clip's end, `seconds`."""
    return ConfigError(f"`music_at` {music_at:g}: the clip ends at {seconds:.2f} s", "give less")


def _check(name: str, value: float, low: float, high: float, unit: str) -> None:
    if not (math.isfinite(value) and low <= value <= high):
        raise ConfigError(f"{name} is {value:g}", f"give {low:g} to {high:g} {unit}")


def _own_sound(
    video: StrPath, origin: float, samples: int, scratch: Scratch
) -> tuple[Spool | None, str]:
    """The clip's own sound in step with its pictures, if any, and what to say about it."""
    with open_media(video) as container:
        count = len(container.streams.audio)
        if not count:
            return None, "the clip has no sound of its own"
        stream = audio_stream(container, video)
        kept = container.streams.audio.index(stream) + 1
        decoded = Decoded(video, container, stream, 0.0, samples / RATE, origin)
        own = Spool(scratch()).fill(filtered(decoded, *fitted(samples)))
    if not own.samples:
        return None, "none of the clip's own sound can be decoded"
    return own, f"of the clip's {count} sound tracks, number {kept} is kept" if count > 1 else ""


def _ducked(own: Spool, music: Spool, options: SoundOptions, scratch: Scratch) -> tuple[Spool, str]:
    """The music ducking under the clip's own sound, and what to say about it."""
    depth = depth_of(options.duck)
    music_gain = _gain(measure_level(music.frames(), true_peaks=False), _MIX_LUFS - _MUSIC_BELOW)
    if depth is None:
        own_gain = _own_gain(own.frames()) + options.own_gain
        mix = ducked(own, music, own_gain=own_gain, music_gain=music_gain)
        return Spool(scratch()).fill(mix), ""
    speech = find_speech(own.frames())
    spoken = _parts(own, speech) if speech else own.frames()
    own_gain = _own_gain(spoken) + options.own_gain
    keys = gain_curve(speech, depth)
    mix = mixed_by(own, music, own_gain=own_gain, music_gain=music_gain, keys=keys)
    word = "" if speech else "nobody was heard to speak in the clip, so the music does not duck"
    return Spool(scratch()).fill(mix), word


def _own_gain(frames: Iterable[AudioFrame]) -> float:
    """dB that bring the clip's own sound to its loudness in the mix."""
    return min(_gain(measure_level(frames, true_peaks=False), _MIX_LUFS), _MAX_BOOST)


def _parts(sound: Spool, speech: Iterable[Speech]) -> Iterator[AudioFrame]:
    """What is spoken, without the pauses."""
    place = 0
    for start, end in speech:
        first, last = round(start * RATE), round(end * RATE)
        for begin in range(first, last, RATE):
            part = sound.between(begin, min(begin + RATE, last))
            yield block_of(part, place)
            place += len(part)


def read_speech(video: StrPath) -> tuple[Speech, ...]:
    """Where somebody speaks in the clip, seconds from its first picture on; none without sound."""
    with open_media(video) as clip:
        extent = survey(clip, video_stream(clip, video), video)
    with open_media(video) as container:
        if not container.streams.audio:
            return ()
        stream = audio_stream(container, video)
        return find_speech(Decoded(video, container, stream, 0.0, extent.seconds, extent.origin))


def _finished(
    sound: Spool, options: SoundOptions, notes: list[str], scratch: Scratch
) -> Soundtrack:
    loudness, true_peak = options.loudness, options.true_peak
    aac = _mastered(sound, loudness, true_peak, scratch)
    level = aac.level
    if sound.samples < LOUDNESS_BLOCK * RATE:
        notes.append("the clip is too short to have a loudness; the music's level was kept")
    elif math.isinf(level.loudness):
        notes.append("the sound is silent")
    elif level.loudness < loudness - _TOLERANCE:
        notes.append(
            f"the {true_peak:g} dBTP ceiling keeps the loudness at {level.loudness:.1f} LUFS"
            f" instead of {loudness:g}"
        )
    return Soundtrack(aac, level, tuple(notes))


def _gain(level: Level, loudness: float) -> float:
    """dB from `level` to `loudness`; 0 for silence, which no gain makes louder."""
    return 0.0 if math.isinf(level.loudness) else loudness - level.loudness


def _mastered(sound: Spool, loudness: float, true_peak: float, scratch: Scratch) -> AacSpool:
    """`sound` at `loudness`, as far as its decoded AAC can have that below `true_peak`."""
    # The samples' peaks do here: the margin is for what rises between them, and the end is checked.
    level = measure_level(sound.frames(), true_peaks=False)
    ceiling = true_peak - _PEAK_MARGIN
    most = ceiling + _MAX_LIMITING - level.peak
    gain = min(_gain(level, loudness), most)
    for _ in range(_MAX_ROUNDS):
        if level.peak + gain <= ceiling:
            break  # the limiter has nothing to do, and a plain gain does what it says
        limited = measure_level(filtered(sound.frames(), *_limited(gain, ceiling)))
        short = _gain(limited, loudness)
        gain = min(gain + short, most)
        ceiling -= max(0.0, limited.peak + _PEAK_MARGIN - true_peak)
        if abs(short) <= _NEAR or gain >= most:
            break
    for _ in range(_MAX_ROUNDS):
        aac = AacSpool(filtered(sound.frames(), *_limited(gain, ceiling)), scratch())
        if (over := aac.level.peak - true_peak) <= 0:
            break
        # The limiter acts on samples; what rises between them may need the gain to go down too.
        ceiling -= over + 0.1
        gain -= over / 2
    return aac


def _limited(gain: float, ceiling: float) -> tuple[Filter, Filter]:
    """`gain` in dB, then no sample above `ceiling` dBFS; the limiter's look-ahead is taken back."""
    limit = 10 ** (ceiling / 20)
    return ("volume", f"{gain}dB"), (
        "alimiter",
        f"limit={limit}:level=false:attack=5:release=50:latency=true",
    )
