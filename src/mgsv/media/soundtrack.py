"""The sound of a rendered clip: the music moment, maybe under the clip's own sound, mastered.

Mastering brings the sound to a loudness under a true-peak ceiling: measure, gain, limiter, measure
again, last on the decoded AAC, since lossy coding moves peaks.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TypedDict, get_args

from av.audio.frame import AudioFrame

from mgsv.errors import ConfigError, MediaError
from mgsv.files import StrPath
from mgsv.media.aac import AacSpool
from mgsv.media.audio import audio_stream
from mgsv.media.ducking import mixed_under, speech_mix
from mgsv.media.extent import survey
from mgsv.media.loudness import LOUDNESS_BLOCK, Level, gain_to, measure_level
from mgsv.media.music import Scratch, fades, fitted, music_sound
from mgsv.media.pieces import Arrangement
from mgsv.media.sound import RATE, Decoded, Filter, Spool, filtered
from mgsv.media.source import open_media, video_stream
from mgsv.media.voices import Duck, GainPoint, resolved

_MAX_LIMITING = 8.0  # dB taken off the peaks. More is heard as pumping; then it stays quieter
_PEAK_MARGIN = 0.5  # dB left for what AAC adds to the peaks
_NEAR = 1.0  # LU. What the limiter takes from the loudness is made up for in one step this small
_TOLERANCE = 0.4  # LU. Less than this below the wanted loudness is not worth a note
_MAX_ROUNDS = 4


_LOUDNESS = (-40.0, -5.0)  # LUFS: a whisper to the loudest records
_TRUE_PEAK = (-20.0, 0.0)  # dBTP
_OWN_GAIN = (-40.0, 12.0)  # dB
_DUCKS = "sound, clear, light, medium or deep"


@dataclass(frozen=True, slots=True)
class SoundOptions:
    """What a rendered clip sounds like. Raises `ConfigError` for values that make no sense."""

    keep_audio: bool = False
    """The clip's own sound stays on top, and the music ducks under it."""
    duck: Duck | None = None
    """Under what the music ducks: "sound", any of the clip; the others, speech alone. "light",
    "medium" or "deep": by 4, 8 or 14 dB; "clear": so far that speech is 12 dB above it. None:
    "clear" where the extra `voices` is installed, else "sound"."""
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
            resolved(self.duck)  # raises where what it needs is not installed


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
    sound, notes = _delayed_music(track, music, samples, options, scratch)
    if options.keep_audio:
        own, word = _own_sound(video, origin, samples, scratch)
        notes += [word] if word else []
        if own is not None:
            mix, word = mixed_under(own, sound, options.duck, options.own_gain)
            sound = Spool(scratch()).fill(mix)
            notes += [word] if word else []
    return sound, notes


def _delayed_music(
    track: StrPath, music: Arrangement, samples: int, options: SoundOptions, scratch: Scratch
) -> tuple[Spool, list[str]]:
    """The music as it is heard in a clip of `samples`, and what the user should know."""
    first = round(options.music_at * RATE)
    if first >= samples:
        raise late_music(options.music_at, samples / RATE)
    sound, notes = music_sound(track, music, samples - first, options.fade, scratch)
    if first:
        sound = Spool(scratch()).fill(filtered(sound.frames(), ("adelay", f"{first}S:all=1")))
    return sound, notes


def mastered_once(sound: Spool, options: SoundOptions) -> Iterator[AudioFrame]:
    """`sound` as it is mastered, but for what AAC adds to the peaks and a second measuring."""
    level = measure_level(sound.frames(), true_peaks=False)
    ceiling = options.true_peak - _PEAK_MARGIN
    gain = min(gain_to(level, options.loudness), ceiling + _MAX_LIMITING - level.peak)
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


def read_gain_curve(
    video: StrPath, track: StrPath, music: Arrangement, options: SoundOptions
) -> tuple[GainPoint, ...]:
    """How far the music steps back under what is spoken in the clip, seconds from its first picture
    on; nothing without speech, and where it ducks under any sound.
    """
    if resolved(options.duck) == "sound":
        return ()
    with open_media(video) as clip:
        extent = survey(clip, video_stream(clip, video), video)
    samples = max(1, round(extent.seconds * RATE))
    with contextlib.ExitStack() as stack:

        def scratch() -> IO[bytes]:
            return stack.enter_context(tempfile.TemporaryFile())

        own, _ = _own_sound(video, extent.origin, samples, scratch)
        if own is None:
            return ()
        sound, _ = _delayed_music(track, music, samples, options, scratch)
        return speech_mix(own, sound, options.duck, options.own_gain).keys


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


def _mastered(sound: Spool, loudness: float, true_peak: float, scratch: Scratch) -> AacSpool:
    """`sound` at `loudness`, as far as its decoded AAC can have that below `true_peak`."""
    # The samples' peaks do here: the margin is for what rises between them, and the end is checked.
    level = measure_level(sound.frames(), true_peaks=False)
    ceiling = true_peak - _PEAK_MARGIN
    most = ceiling + _MAX_LIMITING - level.peak
    gain = min(gain_to(level, loudness), most)
    for _ in range(_MAX_ROUNDS):
        if level.peak + gain <= ceiling:
            break  # the limiter has nothing to do, and a plain gain does what it says
        limited = measure_level(filtered(sound.frames(), *_limited(gain, ceiling)))
        short = gain_to(limited, loudness)
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
