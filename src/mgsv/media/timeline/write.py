"""A clip with a moment of a track under it, as a timeline in one of several formats."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, get_args

from mgsv.clock import clock
from mgsv.errors import ConfigError, MediaError
from mgsv.files import StrPath, check_output, write_file
from mgsv.media.audio import read_audio
from mgsv.media.metre import analyse_metre
from mgsv.media.music import SLACK
from mgsv.media.pieces import Arrangement, checked_music
from mgsv.media.soundtrack import SoundOptions, late_music, read_gain_curve
from mgsv.media.timeline.capcut import capcut_text
from mgsv.media.timeline.edl import edl_text
from mgsv.media.timeline.model import Lane, Marker, MarkerKind, SourceFile, Stretch, Timeline
from mgsv.media.timeline.otio import otio_text
from mgsv.media.timeline.sources import picture_source, scanned, sound_source
from mgsv.media.timeline.timecode import counted, may_drop
from mgsv.media.timeline.xmeml import xmeml_text
from mgsv.media.video import VideoInfo
from mgsv.media.voices import GainPoint
from mgsv.moment import Moment

FORMATS = (".otio", ".edl", ".xml")
"""OpenTimelineIO, CMX 3600 and Final Cut Pro 7 XML."""
ENDINGS = (*FORMATS, ".json")
"""Those, and, as an experiment, a CapCut draft."""

_WRITERS = {".otio": otio_text, ".edl": edl_text, ".xml": xmeml_text, ".json": capcut_text}
_ANY_RATE = (".otio", ".json")
_NAMES = {".edl": "an EDL", ".xml": "Final Cut Pro XML"}


_NEAR = 0.02  # seconds: a piece begins on its bar line, give or take


class Known(NamedTuple):
    """What is known of the files already: the video as `VideoScan` found it, and the decoded length
    of the track, seconds.
    """

    video: VideoInfo | None = None
    track_seconds: float | None = None


NOTHING_KNOWN = Known()


@dataclass(frozen=True, slots=True)
class TimelineReport:
    """What was written.

    path: the new file. frame_rate: that the timeline counts, in frames per second. notes: what the
    user should know, one sentence each.
    """

    path: Path
    frame_rate: float
    notes: tuple[str, ...] = ()


def write_timeline(
    video: StrPath,
    track: StrPath,
    moment: Moment | Arrangement,
    output: StrPath,
    *,
    sound: SoundOptions | None = None,
    overwrite: bool = False,
    markers: Sequence[MarkerKind] = (),
    known: Known = NOTHING_KNOWN,
) -> TimelineReport:
    """Write `output`, a timeline of the clip `video` with `moment` of `track` under it.

    The music starts with the clip, or later by `SoundOptions.music_at`, and lasts as long as the
    clip, the moment or the track does, whichever ends first. Its in-point is exact to the sample in
    `.otio`, and to the frame in `.edl` and `.xml`, which know no finer time; it enters on a frame
    of the timeline. Timecodes are those of the files. Where the clip's frame rate has no timecode,
    `.edl` and `.xml` count frames at another one, and a note says so.

    output: ends in one of `ENDINGS`.
    sound: with `keep_audio` the clip's own sound is there too, on the first sound track, and where
        the music ducks under speech, its lane has the gain curve. Other loudness and fades are left
        to the editor.
    overwrite: whether `output` may exist; it may never be one of the inputs.
    markers: "cuts" of the clip, "bars" and "beats" of its music; none in a CapCut draft.
    known: what need not be measured by decoding.

    Raises `ConfigError` for another ending or marker, a moment before the track's start, and an
    in-point after 24 hours, which `.edl` cannot say; `MediaError` for files that cannot be read,
    and for a moment after the track's end; `OutputError` where `output` exists or cannot be
    written.
    """
    path = check_output(output, ENDINGS, overwrite=overwrite, inputs=(video, track))
    suffix = path.suffix.lower()
    arranged = checked_music(moment)
    for kind in markers:
        if kind not in get_args(MarkerKind):
            raise ConfigError(f"`markers` {kind}: unknown", "choose from cuts, bars, beats")
    sound = sound or SoundOptions()
    scan = scanned(video) if "cuts" in markers else None
    clip = picture_source(video, scan.info if scan else known.video)
    assert clip.rate is not None
    rate = clip.rate if suffix in _ANY_RATE else counted(clip.rate)
    notes = []
    if rate != clip.rate:
        notes.append(
            f"{_NAMES[suffix]} cannot count the clip's {float(clip.rate):.5g} frames per second;"
            f" the timeline has {float(rate):.5g}"
        )
    gain: tuple[GainPoint, ...] = ()
    if suffix == ".json":
        notes.append("CapCut drafts are experimental: check what the program makes of this one")
    whole = Stretch(clip, Fraction(0), clip.seconds)
    lanes = [Lane("video", (whole,))]
    if sound.keep_audio and clip.sound:
        lanes.append(Lane("audio", (whole,)))
        gain = read_gain_curve(video, track, arranged, sound)
    elif sound.keep_audio:
        notes.append("the clip has no sound of its own")
    music = sound_source(track, rate, known.track_seconds)
    # On a frame of the timeline, which is where its formats can put it.
    at = Fraction(round(Fraction(sound.music_at) * rate), 1) / rate
    seconds = clip.seconds - at
    if seconds <= 0:
        raise late_music(sound.music_at, float(clip.seconds))
    heard = tuple(_heard(arranged, music, seconds, at))
    if not heard or heard[0].counted(rate)[1] < 1:  # less than a frame is as good as nothing
        raise MediaError(
            track,
            f"the moment starts at {clock(arranged.start)}, but the track ends at"
            f" {clock(float(music.seconds))}",
            "choose an earlier moment",
        )
    name = f"{clip.name} with {music.name}"
    drop = clip.drop and may_drop(rate)
    marks = [Marker(float(time), "cut") for time in scan.curves.cuts] if scan else []
    marks += _musical(track, heard, [kind for kind in markers if kind != "cuts"])
    lanes.append(Lane("audio", heard, gain))
    timeline = Timeline(name, rate, drop, tuple(lanes), tuple(sorted(marks)))
    text = _WRITERS[suffix](timeline)
    write_file(path, text, overwrite=overwrite)
    return TimelineReport(path, float(rate), tuple(notes))


def _musical(
    track: StrPath, heard: Iterable[Stretch], kinds: Sequence[MarkerKind]
) -> Iterator[Marker]:
    """Bars and beats of the stretches of a track, where they are wanted."""
    if not kinds:
        return
    _, metre = analyse_metre(read_audio(track).samples)
    bars = set(metre.downbeats.tolist())
    for stretch in heard:
        first, seconds = float(stretch.offset), float(stretch.seconds)
        for time in metre.beats.tolist():
            name = "bar" if time in bars else "beat"
            inside = -_NEAR <= time - first < seconds - _NEAR
            if inside and (f"{name}s" in kinds or "beats" in kinds):
                yield Marker(float(stretch.at) + max(0.0, time - first), name)


def _heard(
    arranged: Arrangement, music: SourceFile, seconds: Fraction, at: Fraction
) -> Iterator[Stretch]:
    """The pieces as far as they are heard in the `seconds` from `at` on.

    The last one lasts to their end, where no more than `SLACK` is missing.
    """
    wanted = Fraction(arranged.seconds) if arranged.seconds < seconds - SLACK else seconds
    heard = [piece for piece in arranged.pieces if piece.at < wanted]
    ends = [*(Fraction(piece.at) for piece in heard[1:]), wanted]
    for piece, end in zip(heard, ends, strict=True):
        begin = Fraction(piece.at)
        yield Stretch(music, Fraction(piece.start), end - begin, at + begin)
