"""CMX 3600 edit decision lists: an event per stretch, to the frame."""

from __future__ import annotations

from mgsv.errors import ConfigError, shown
from mgsv.media.timeline.model import Stretch, Timeline
from mgsv.media.timeline.timecode import day, written

_COLOURS = {"cut": "RED", "bar": "GREEN", "beat": "CYAN"}
_TITLE = 70  # characters that the format's readers take


def edl_text(timeline: Timeline) -> str:
    """Raises `ConfigError` where a source is used beyond what timecode counts, a day."""
    fcm = "DROP FRAME" if timeline.drop else "NON-DROP FRAME"
    lines = [f"TITLE: {timeline.name[:_TITLE]}", f"FCM: {fcm}"]
    sound = iter(("A", "A2"))
    events = [
        (channel, lane, stretch)
        for lane in timeline.lanes
        for channel in ["V" if lane.kind == "video" else next(sound)]
        for stretch in lane.stretches
    ]
    for number, (channel, lane, stretch) in enumerate(events, start=1):
        # AX stands for a file that came from no tape. Premiere finds files by their names in the
        # first comment, and takes none where there is a FROM CLIP or FROM FILE beside it.
        lines += [
            "",
            f"{number:03d}  AX       {channel:5} C        {' '.join(_codes(timeline, stretch))}",
            f"* FROM CLIP NAME:  {stretch.source.name}",
            f"* SOURCE FILE: {shown(stretch.source.path.absolute())}",
            *(
                f"* AUDIO LEVEL AT {_place(timeline, at)} IS {gain:.2f} DB  (REEL AX {channel})"
                for at, gain in lane.gain_within(stretch)
            ),
        ]
        if number == 1:  # of the picture, the first event
            lines += [
                f"* LOC: {_place(timeline, at)} {_COLOURS[name]:7} {name.upper()}"
                for at, name in timeline.markers
            ]
    return "\n".join(lines) + "\n"


def _place(timeline: Timeline, at: float) -> str:
    """Timecode of a place on the timeline."""
    return written(round(at * timeline.rate), timeline.rate, drop=timeline.drop)


def _codes(timeline: Timeline, stretch: Stretch) -> list[str]:
    """Timecode of in and out in the source, then in the timeline."""
    start, _ = stretch.source.counted(timeline.rate)
    first, length = stretch.counted(timeline.rate)
    if first + length >= day(timeline.rate, drop=timeline.drop):
        raise ConfigError(
            f"{stretch.source.name}: timecode ends after 24 hours", "write an .otio file"
        )
    begin, at = start + first, round(stretch.at * timeline.rate)
    frames = (begin, begin + length, at, at + length)
    return [written(frame, timeline.rate, drop=timeline.drop) for frame in frames]
