"""Clips for timelines, and what a timeline file says, read without any of the package's code.

Every reader gives the same: for each track what plays on it, in seconds as exact fractions.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from media_files import Clip, sine, write_video

NTSC = Fraction(1000, 1001)
NTSC_30 = 30 * NTSC
EVENT = re.compile(
    r"(?P<event>\d{3})  (?P<reel>\S{1,8}) +(?P<channel>V|A2?) +C +"
    r"(?P<codes>\d\d:\d\d:\d\d[:;]\d\d(?: \d\d:\d\d:\d\d[:;]\d\d){3})"
)


def ntsc_video(path: Path, timecode: str = "") -> Path:
    """60 pictures at 29.97 per second, with stereo sound."""
    clip = Clip(seconds=float(60 / NTSC_30), rate=float(NTSC_30))
    sound = np.stack([sine(2.0, 48_000), sine(2.0, 48_000)])
    base = Fraction(1, 30_000)
    return write_video(path, clip, time_base=base, audio=sound, timecode=timecode)


@dataclass(frozen=True)
class Played:
    """channel: V, or A for sound. start: in the source, from its timecode's midnight.

    begin, whole: where the source's timecode starts, and how long it lasts; None in an EDL. at: on
    the timeline.
    """

    channel: str
    name: str
    start: Fraction
    seconds: Fraction
    begin: Fraction | None = None
    whole: Fraction | None = None
    where: str = ""
    at: Fraction = Fraction(0)


@cache
def drop_frame_labels(base: int) -> dict[str, int]:
    """The labels of ten minutes, by counting: 00 and 01 (of 30) are skipped, but not each tenth."""
    skipped = base // 15
    labels = (
        f"{m}:{s:02d};{f:02d}"
        for m in range(10)
        for s in range(60)
        for f in range(base)
        if not (m and s == 0 and f < skipped)
    )
    return {label: n for n, label in enumerate(labels)}


def frame_of(code: str, base: int) -> int:
    """Frames from midnight."""
    hours, tens, rest = int(code[:2]), int(code[3]), code[4:]
    if ";" in code:
        labels = drop_frame_labels(base)
        return (6 * hours + tens) * len(labels) + labels[rest]
    minutes, seconds, frames = (int(part) for part in rest.split(":"))
    assert frames < base
    return ((hours * 60 + tens * 10 + minutes) * 60 + seconds) * base + frames


def read_edl(path: Path, rate: Fraction) -> list[Played]:
    """By the CMX 3600 grammar, at `rate`, which the format does not say; checks its lines."""
    lines = path.read_text("utf-8").splitlines()
    base = -(-rate.numerator // rate.denominator)
    assert lines[0].startswith("TITLE: ") and len(lines[0]) <= 77
    assert lines[1] in ("FCM: DROP FRAME", "FCM: NON-DROP FRAME")
    played, place = [], []
    for line in filter(None, lines[2:]):
        if line.startswith("* FROM CLIP NAME:  "):
            played[-1]["name"] = line.removeprefix("* FROM CLIP NAME:  ")
        elif line.startswith("* SOURCE FILE: "):
            played[-1]["where"] = line.removeprefix("* SOURCE FILE: ")
        else:
            event = EVENT.fullmatch(line)
            assert event, line
            assert int(event["event"]) == len(played) + 1
            assert (";" in line) == (lines[1] == "FCM: DROP FRAME")
            place = [frame_of(code, base) for code in event["codes"].split()]
            day = (
                frame_of("23:59:59:00", base) + base
                if ";" not in line
                else 144 * 17982 * base // 30
            )
            assert (place[1] - place[0]) % day == place[3] - place[2] > 0
            played.append(
                {
                    "channel": event["channel"][0],
                    "start": place[0] / rate,
                    "seconds": (place[3] - place[2]) / rate,
                    "at": place[2] / rate,
                }
            )
    return [Played(**event) for event in played]


def read_xml(path: Path) -> list[Played]:
    """Final Cut Pro 7 XML: in and out count frames of the file, start and end of the sequence."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == "xmeml"
    sequence = root.find("sequence")
    assert sequence is not None
    own = rate_in(sequence)
    files = {file.get("id"): file for file in root.iter("file") if len(file)}
    played = []
    for kind, channel in (("video", "V"), ("audio", "A")):
        for track in sequence.findall(f"media/{kind}/track"):
            if track.get("currentExplodedTrackIndex", "0") != "0":
                continue
            for clip in track.findall("clipitem"):
                reference = clip.find("file")
                assert reference is not None
                file = files[reference.get("id")]
                timecode = file.find("timecode")
                assert timecode is not None
                base = int(timecode.findtext("rate/timebase", ""))
                code = timecode.findtext("string", "")
                assert frame_of(code, base) == number(timecode, "frame")
                assert (";" in code) == (timecode.findtext("displayformat") == "DF")
                begin = frame_of(code, base) / rate_in(timecode)
                rate = rate_in(clip)
                at = number(clip, "start") / own
                start, end = number(clip, "in") / rate, number(clip, "out") / rate
                seconds = number(clip, "end") / own - at
                assert abs(end - start - seconds) <= max(1 / rate, 1 / own)
                whole = number(file, "duration") / rate_in(file)
                where = file.findtext("pathurl", "")
                name = clip.findtext("name", "")
                played.append(
                    Played(channel, name, begin + start, seconds, begin, whole, where, at)
                )
    return played


def rate_in(element: ElementTree.Element) -> Fraction:
    slowed = {"TRUE": NTSC, "FALSE": Fraction(1)}[element.findtext("rate/ntsc", "")]
    return int(element.findtext("rate/timebase", "")) * slowed


def number(element: ElementTree.Element, tag: str) -> int:
    return int(element.findtext(tag, ""))


def read_otio(path: Path) -> list[Played]:
    """OpenTimelineIO's JSON."""
    played = []
    for track in json.loads(path.read_text("ascii"))["tracks"]["children"]:
        at = Fraction(0)
        for item in track["children"]:
            start, seconds = otio_range(item["source_range"])
            if item["OTIO_SCHEMA"] == "Clip.2":
                reference = item["media_references"][item["active_media_reference_key"]]
                begin, whole = otio_range(reference["available_range"])
                where, channel = reference["target_url"], track["kind"][0]
                name = item["name"]
                played.append(Played(channel, name, start, seconds, begin, whole, where, at))
            else:
                assert item["OTIO_SCHEMA"] == "Gap.1"
            at += seconds
    return played


def otio_range(value: dict[str, Any]) -> tuple[Fraction, Fraction]:
    start, duration = value["start_time"], value["duration"]
    return otio_seconds(start), otio_seconds(duration)


def otio_seconds(time: dict[str, float]) -> Fraction:
    return Fraction(time["value"]) / Fraction(time["rate"]).limit_denominator(1001)


def read(path: Path, rate: Fraction) -> list[Played]:
    """`rate`: frames per second of the timeline, for an EDL."""
    if path.suffix == ".edl":
        return read_edl(path, rate)
    return read_xml(path) if path.suffix == ".xml" else read_otio(path)
