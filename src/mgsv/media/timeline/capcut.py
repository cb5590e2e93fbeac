"""A CapCut draft's `draft_content.json`, with no more in it than files, places, and levels.

The format is not documented; this follows what drafts of the program hold. Times are microseconds.
"""

from __future__ import annotations

import json
import uuid
from fractions import Fraction
from typing import Any

from mgsv.media.timeline.model import Lane, SourceFile, Stretch, Timeline

_MICRO = 1_000_000


def capcut_text(timeline: Timeline) -> str:
    (picture,) = (lane for lane in timeline.lanes if lane.kind == "video")
    clip = picture.stretches[0]
    sounds = [lane for lane in timeline.lanes if lane.kind == "audio"]
    # The sound of a video is part of its segment, and no track beside it.
    music = [lane for lane in sounds if lane.stretches[0].source != clip.source]
    own = len(sounds) > len(music)
    width, height = clip.source.size or (0, 0)
    lanes = [(picture, 1.0 if own else 0.0), *((lane, 1.0) for lane in music)]
    document = {
        "id": _id(timeline.name),
        "name": timeline.name,
        "version": 360000,
        "new_version": "110.0.0",
        "fps": float(timeline.rate),
        "duration": _micro(clip.seconds),
        "canvas_config": {"width": width, "height": height, "ratio": "original"},
        "materials": {
            "videos": [_material(clip.source, "video")],
            "audios": [_material(lane.stretches[0].source, "extract_music") for lane in music],
        },
        "tracks": [_track(lane, volume) for lane, volume in lanes],
        "keyframes": {"adjusts": [], "audios": [], "videos": []},
    }
    return json.dumps(document, indent=2)


def _material(source: SourceFile, kind: str) -> dict[str, Any]:
    width, height = source.size or (0, 0)
    shape = {"width": width, "height": height} if source.size else {}
    return {
        "id": _id(source.url_path),
        "type": kind,
        "path": str(source.path.absolute()),
        "material_name": source.name,
        "name": source.name,
        "duration": _micro(source.seconds),
        **shape,
    }


def _track(lane: Lane, volume: float) -> dict[str, Any]:
    return {
        "id": _id(f"{lane.kind} {lane.stretches[0].source.url_path}"),
        "type": lane.kind,
        "segments": [_segment(lane, stretch, volume) for stretch in lane.stretches],
    }


def _segment(lane: Lane, stretch: Stretch, volume: float) -> dict[str, Any]:
    first = min(_micro(stretch.offset), _micro(stretch.source.seconds))
    at, end = _micro(stretch.at), _micro(stretch.at + stretch.seconds)
    length = min(end - at, _micro(stretch.source.seconds) - first)
    points = [
        {
            "time_offset": first + _micro(Fraction(point.at) - stretch.at),
            "values": [round(10 ** (point.gain / 20), 5)],
            "curveType": "Line",
        }
        for point in lane.gain_within(stretch)
    ]
    levels = {"property_type": "KFTypeVolume", "material_id": "", "keyframe_list": points}
    return {
        "id": _id(f"{stretch.source.url_path} {at}"),
        "material_id": _id(stretch.source.url_path),
        "source_timerange": {"start": first, "duration": length},
        "target_timerange": {"start": at, "duration": length},
        "speed": 1.0,
        "volume": volume,
        "common_keyframes": [levels] if points else [],
    }


def _micro(seconds: Fraction) -> int:
    return round(seconds * _MICRO)


def _id(name: str) -> str:
    """The same for the same name, so that a draft written again is the same."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name)).upper()
