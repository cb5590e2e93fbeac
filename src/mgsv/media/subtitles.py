"""A clip's subtitles on their way into a new file: copied, or turned into text that it can hold."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.subtitles.stream import SubtitleStream

from mgsv.media.copying import CONTAINERS, Timed
from mgsv.media.extent import Extent

SUBTITLES = {
    "mp4": frozenset({"mov_text"}),
    "mov": frozenset({"mov_text"}),
    "matroska": frozenset({"srt", "subrip", "ssa", "ass", "webvtt", "pgssub", "dvdsub", "dvbsub"}),
}
"""Codecs (by decoder) of subtitles that go into a container as they are."""

TEXT_SUBTITLES = frozenset({"mov_text", "srt", "subrip", "ssa", "ass", "webvtt", "text"})
"""Those that are text, which every container takes in some form."""

_NOTHING = b"\0\0"  # QuickTime's text for a while without any


class Subtitles:
    """The subtitles of `clip`, an open file of its own, in step with its pictures.

    Making it adds streams to `output`; `notes` tells what it cannot hold.
    """

    def __init__(
        self, clip: InputContainer, extent: Extent, output: OutputContainer, suffix: str
    ) -> None:
        self._clip, self._extent = clip, extent
        self._targets: dict[int, SubtitleStream] = {}  # by the source's index
        self._made: set[int] = set()
        self.notes: list[str] = []
        container = CONTAINERS[suffix]
        for stream in clip.streams.subtitles:
            context: Any = stream.codec_context  # None without a decoder, whatever the stubs say
            name = "unknown" if context is None else context.name
            if name in SUBTITLES[container]:
                target = output.add_stream_from_template(stream)
            elif name in TEXT_SUBTITLES:
                target = _text_stream(stream, output, container)
                self._made.add(stream.index)
            else:
                self.notes.append(f"its subtitles ({name}) do not fit into {suffix} files")
                continue
            tags = ("language", "title")
            target.metadata.update({k: v for k, v in stream.metadata.items() if k in tags})
            target.disposition = stream.disposition
            self._targets[stream.index] = target

    def __iter__(self) -> Iterator[Timed]:
        sources = [s for s in self._clip.streams.subtitles if s.index in self._targets]
        if not sources:
            return
        source = self._clip.demux(sources)
        while True:
            try:
                packet = next(source)
            except (StopIteration, av.FFmpegError, IndexError):  # see `source.packets`
                return
            if packet.size and bytes(packet) != _NOTHING and self._moved(packet):
                yield from self._fitting(packet)

    def _moved(self, packet: Any) -> bool:
        """Set the packet's times to those in the new file; false if it is not shown there."""
        if packet.pts is None:
            return False
        start = packet.pts * packet.time_base - self._extent.start * self._extent.time_base
        end = start + (packet.duration or 0) * packet.time_base
        start, end = max(start, Fraction(0)), min(end, Fraction(self._extent.seconds))
        if start >= self._extent.seconds or (packet.duration and end <= start):
            return False
        packet.pts = packet.dts = round(start / packet.time_base)
        if packet.duration:
            packet.duration = max(1, round((end - start) / packet.time_base))
        return True

    def _fitting(self, packet: Any) -> Iterator[Timed]:
        """The packet for the new file's stream, if it can be read."""
        due = float(packet.pts * packet.time_base)
        source, target = packet.stream, self._targets[packet.stream.index]
        if source.index not in self._made:
            packet.stream = target
            yield due, packet
            return
        try:
            text = source.codec_context.decode2(packet)
            if text is None:
                return
            made: Any = target.codec_context.encode_subtitle(text)
        except av.FFmpegError:
            return
        made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
        made.time_base, made.stream = packet.time_base, target
        yield due, made


def _text_stream(source: SubtitleStream, output: OutputContainer, container: str) -> SubtitleStream:
    """A stream of `output` for the text of `source`."""
    context: Any = source.codec_context
    context.open(strict=False)  # which gives it the header, with the text's styles
    target: Any = output.add_stream("subrip" if container == "matroska" else "mov_text")
    target.codec_context.subtitle_header = context.subtitle_header
    target.time_base = target.codec_context.time_base = Fraction(1, 1000)
    assert isinstance(target, SubtitleStream)
    return target
