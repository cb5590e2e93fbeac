"""Final Cut Pro 7 XML, which Premiere and Resolve read, to the frame.

A file and its in- and out-point are counted in the file's own frames, where they are whole, the
place on a track in those of the timeline.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count, groupby
from pathlib import Path
from typing import Literal
from xml.etree.ElementTree import Element, indent, tostring

from mgsv.media.timeline.model import Lane, Marker, Sound, SourceFile, Stretch, Timeline
from mgsv.media.timeline.timecode import is_ntsc, is_whole, nominal, written

_MIXED = Sound(rate=48_000, channels=2)  # what editors mix to, whatever the files have
_DEPTH = 16
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE xmeml>\n'


@dataclass(frozen=True, slots=True)
class _Part:
    """A stretch on a track; of sound one channel of `channels`, as each takes a track.

    id: names it in the document. track, place, channel: counted from 1, the tracks of each kind
    apart, and the parts on a track.
    """

    id: str
    lane: Lane
    stretch: Stretch
    track: int
    place: int = 1
    channel: int = 1
    channels: int = 1

    @property
    def kind(self) -> Literal["video", "audio"]:
        return self.lane.kind


def xmeml_text(timeline: Timeline) -> str:
    parts = list(_parts(timeline))
    picture = next(part.stretch for part in parts if part.kind == "video")
    tracks: dict[str, list[Element]] = {"video": [], "audio": []}
    described: set[Path] = set()
    for _, row in groupby(parts, lambda part: (part.kind, part.track)):
        clips = []
        for part in row:
            source = part.stretch.source
            file = _tag("file", *_described(source, timeline, described), id=_id(source, timeline))
            # A stretch of another place in the same file is not the same shot.
            linked = [other for other in parts if other.stretch == part.stretch]
            clips.append(_clip(part, timeline, file, linked if len(linked) > 1 else ()))
        tracks[part.kind].append(_track(part, clips))
    sequence = _tag(
        "sequence",
        _tag("name", timeline.name),
        _tag("duration", picture.counted(timeline.rate)[1]),
        _rate(timeline.rate),
        _timecode(0, timeline),
        _tag(
            "media",
            _tag(
                "video",
                _tag("format", _pictures(picture.source, timeline.rate)),
                *tracks["video"],
            ),
            _tag(
                "audio",
                _tag("numOutputChannels", _MIXED.channels),
                _tag("format", _samples(_MIXED)),
                *tracks["audio"],
            ),
        ),
        *(_marker(one, timeline.rate) for one in timeline.markers),
        id="sequence-1",
    )
    root = _tag("xmeml", sequence, version="4")
    indent(root)
    return f"{_HEAD}{tostring(root, encoding='unicode')}\n"


def _parts(timeline: Timeline) -> Iterator[_Part]:
    """Track by track."""
    used = {"video": 0, "audio": 0}
    numbers = count(1)
    for lane in timeline.lanes:
        sound = lane.stretches[0].source.sound
        channels = max(1, sound.channels) if sound and lane.kind == "audio" else 1
        for channel in range(1, channels + 1):
            used[lane.kind] += 1
            for place, stretch in enumerate(lane.stretches, start=1):
                name, track = f"clipitem-{next(numbers)}", used[lane.kind]
                yield _Part(name, lane, stretch, track, place, channel, channels)


def _track(part: _Part, clips: Sequence[Element]) -> Element:
    """The attributes are Premiere's, which else takes each channel for a track of its own."""
    if part.kind == "video":
        return _tag("track", *clips)
    pair = part.channels == 2
    return _tag(
        "track",
        *clips,
        _tag("outputchannelindex", part.channel if pair else 1),
        premiereTrackType="Stereo" if pair else "Mono",
        currentExplodedTrackIndex=str(part.channel - 1 if pair else 0),
        totalExplodedTrackCount="2" if pair else "1",
    )


def _clip(part: _Part, timeline: Timeline, file: Element, linked: Sequence[_Part]) -> Element:
    kind, source = part.kind, part.stretch.source
    rate = _rate_of(source, timeline)
    _, whole = source.counted(rate)
    first, length = part.stretch.counted(rate)
    at = round(part.stretch.at * timeline.rate)
    attributes = {"id": part.id}
    if kind == "audio":
        attributes["premiereChannelType"] = "stereo" if part.channels == 2 else "mono"
    return _tag(
        "clipitem",
        _tag("name", source.name),
        _tag("duration", whole),
        _rate(rate),
        _tag("start", at),
        _tag("end", at + part.stretch.counted(timeline.rate)[1]),
        _tag("in", first),
        _tag("out", first + length),
        file,
        _tag("sourcetrack", _tag("mediatype", kind), _tag("trackindex", part.channel)),
        *_levels(part, rate, first),
        *(_link(other) for other in linked),
        **attributes,
    )


def _levels(part: _Part, rate: Fraction, first: int) -> Iterator[Element]:
    """The gain curve, as factors at frames of the file; `first` is where the clip begins in it."""
    points = part.lane.gain_within(part.stretch)
    if not points:
        return
    at = part.stretch.at
    keys = [
        _tag(
            "keyframe",
            _tag("when", first + round((point.at - float(at)) * rate)),
            _tag("value", f"{10 ** (point.gain / 20):.5f}"),
        )
        for point in points
    ]
    level = _tag(
        "parameter",
        *(_tag("parameterid", "level"), _tag("name", "Level")),
        *(_tag("valuemin", 0), _tag("valuemax", "3.98109"), _tag("value", 1)),
        *keys,
    )
    effect = ("name", "Audio Levels"), ("effectid", "audiolevels")
    kinds = ("effectcategory", "audiolevels"), ("effecttype", "audiolevels"), ("mediatype", "audio")
    named = [_tag(name, text) for name, text in (*effect, *kinds)]
    yield _tag("filter", _tag("effect", *named, level))


def _marker(marker: Marker, rate: Fraction) -> Element:
    place = _tag("in", round(marker.at * rate))
    return _tag("marker", _tag("name", marker.name), _tag("comment", ""), place, _tag("out", -1))


def _link(part: _Part) -> Element:
    return _tag(
        "link",
        _tag("linkclipref", part.id),
        _tag("mediatype", part.kind),
        _tag("trackindex", part.track),
        _tag("clipindex", part.place),
    )


def _id(source: SourceFile, timeline: Timeline) -> str:
    return f"file-{timeline.sources.index(source) + 1}"


def _described(source: SourceFile, timeline: Timeline, known: set[Path]) -> Iterator[Element]:
    """What is in the file, at its first place in the document; the others refer to that."""
    if source.path in known:
        return
    known.add(source.path)
    rate = _rate_of(source, timeline)
    yield _tag("name", source.name)
    yield _tag("pathurl", f"file://localhost{source.url_path}")
    yield _rate(rate)
    yield _tag("duration", source.counted(rate)[1])
    yield _timecode(source.counted(timeline.rate)[0], timeline)
    kinds = []
    if source.size:
        kinds.append(_tag("video", _pictures(source, rate)))
    if source.sound:
        channels = _tag("channelcount", source.sound.channels)
        kinds.append(_tag("audio", _samples(source.sound), channels))
    yield _tag("media", *kinds)


def _pictures(source: SourceFile, rate: Fraction) -> Element:
    assert source.size is not None
    width, height = source.size
    return _tag(
        "samplecharacteristics",
        _rate(rate),
        _tag("width", width),
        _tag("height", height),
        _tag("pixelaspectratio", "square"),
    )


def _samples(sound: Sound) -> Element:
    return _tag("samplecharacteristics", _tag("depth", _DEPTH), _tag("samplerate", sound.rate))


def _rate_of(source: SourceFile, timeline: Timeline) -> Fraction:
    return source.rate if source.rate and is_whole(source.rate) else timeline.rate


def _rate(rate: Fraction) -> Element:
    ntsc = "TRUE" if is_ntsc(rate) else "FALSE"
    return _tag("rate", _tag("timebase", nominal(rate)), _tag("ntsc", ntsc))


def _timecode(frame: int, timeline: Timeline) -> Element:
    return _tag(
        "timecode",
        _rate(timeline.rate),
        _tag("string", written(frame, timeline.rate, drop=timeline.drop)),
        _tag("frame", frame),
        _tag("displayformat", "DF" if timeline.drop else "NDF"),
    )


def _tag(name: str, *content: Element | str | int, **attributes: str) -> Element:
    """An element with elements in it, or with a text."""
    element = Element(name, attributes)
    for part in content:
        if isinstance(part, Element):
            element.append(part)
        else:
            element.text = str(part)
    return element
