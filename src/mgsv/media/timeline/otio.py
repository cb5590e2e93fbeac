"""OpenTimelineIO's own format: JSON, any rate, sound to the sample."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

from mgsv.media.timeline.model import Lane, Marker, SourceFile, Stretch, Timeline

_COLOURS = {"cut": "RED", "bar": "GREEN", "beat": "CYAN"}


def otio_text(timeline: Timeline) -> str:
    tracks = [_track(timeline, lane) for lane in timeline.lanes]
    document = _object("Timeline.1", timeline.name, global_start_time=None)
    stack = {**_item(), "markers": [_marker(one, timeline.rate) for one in timeline.markers]}
    document["tracks"] = _object("Stack.1", "tracks", **stack, children=tracks)
    return json.dumps(document, indent=2)


def _track(timeline: Timeline, lane: Lane) -> dict[str, Any]:
    children, end = [], 0
    for stretch in lane.stretches:
        rate = _rate(timeline, lane, stretch.source)
        at = round(stretch.at * rate)
        if at > end:
            children.append(_object("Gap.1", "", **_item(_range(0, at - end, rate))))
        children.append(_clip(lane, stretch, rate))
        end = at + stretch.counted(rate)[1]
    kind = lane.kind.capitalize()
    return _object("Track.1", kind, **_item(), children=children, kind=kind)


def _rate(timeline: Timeline, lane: Lane, source: SourceFile) -> Fraction | int:
    """In which a lane is counted: it has stretches of one file alone."""
    return timeline.rate if lane.kind == "video" or not source.sound else source.sound.rate


def _clip(lane: Lane, stretch: Stretch, rate: Fraction | int) -> dict[str, Any]:
    source = stretch.source
    start, whole = source.counted(rate)
    first, length = stretch.counted(rate)
    media = _object(
        "ExternalReference.1",
        source.name,
        _timecode(source),
        available_range=_range(start, whole, rate),
        available_image_bounds=None,
        target_url=f"file://{source.url_path}",
    )
    return _object(
        "Clip.2",
        source.name,
        **_item(_range(start + first, length, rate), _gain(lane, stretch)),
        media_references={"DEFAULT_MEDIA": media},
        active_media_reference_key="DEFAULT_MEDIA",
    )


def _timecode(source: SourceFile) -> dict[str, Any]:
    """As the file has it, since a range of frames does not say whether numbers are dropped."""
    if not source.timecode:
        return {}
    return {"mgsv": {"timecode": source.timecode, "drop_frame": source.drop}}


def _object(
    schema: str, name: str, metadata: dict[str, Any] | None = None, **fields: Any
) -> dict[str, Any]:
    return {"OTIO_SCHEMA": schema, "metadata": metadata or {}, "name": name, **fields}


def _gain(lane: Lane, stretch: Stretch) -> list[dict[str, Any]]:
    """As an effect of our own, since the format has no name for any; seconds from its beginning."""
    points = [[at - float(stretch.at), gain] for at, gain in lane.gain_within(stretch)]
    about = {"mgsv": {"unit": "dB", "keyframes": points}}
    return [_object("Effect.1", "gain", about, effect_name="gain")] if points else []


def _marker(marker: Marker, rate: Fraction) -> dict[str, Any]:
    place = _range(round(marker.at * rate), 0, rate)
    return _object("Marker.2", marker.name, color=_COLOURS[marker.name], marked_range=place)


def _item(
    source_range: dict[str, Any] | None = None, effects: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    return {
        "source_range": source_range,
        "effects": effects or [],
        "markers": [],
        "enabled": True,
    }


def _range(start: int, length: int, rate: Fraction | int) -> dict[str, Any]:
    return {
        "OTIO_SCHEMA": "TimeRange.1",
        "start_time": _time(start, rate),
        "duration": _time(length, rate),
    }


def _time(value: int, rate: Fraction | int) -> dict[str, Any]:
    return {"OTIO_SCHEMA": "RationalTime.1", "rate": float(rate), "value": float(value)}
