"""Pictures through FFmpeg's filters, whatever changes among them."""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.frame import VideoFrame

from mgsv.media.sound import Filter


class PictureFilters:
    """A row of filters, set up anew where the pictures, or what is to be done to them, change.

    Pictures keep their times, but come in units of their own time base; a filter may hold some back
    until the next ones, or the end, are there.
    """

    def __init__(self) -> None:
        self._form: object = None
        self._graph: Graph | None = None  # a context holds its graph only weakly
        self._source: FilterContext
        self._sink: FilterContext

    def apply(self, frame: VideoFrame, filters: tuple[Filter, ...]) -> Iterator[VideoFrame]:
        """The pictures that are ready after `frame`."""
        form = (
            *(frame.width, frame.height, frame.format.name),
            *(frame.colorspace, frame.color_range, filters),
        )
        if form != self._form:
            yield from self.rest()
            self._set_up(frame, filters)
            self._form = form
        self._source.push(frame)
        yield from self._ready()

    def rest(self) -> Iterator[VideoFrame]:
        """What the filters still hold."""
        if self._graph is not None:
            self._source.push(None)
            yield from self._ready()
            self._graph, self._form = None, None

    def _set_up(self, frame: VideoFrame, filters: tuple[Filter, ...]) -> None:
        graph = Graph()
        # Not by `add_buffer`, which says nothing of colours, so that filters take them for unknown.
        self._source = graph.add(
            "buffer",
            video_size=f"{frame.width}x{frame.height}",
            pix_fmt=frame.format.name,
            time_base=str(frame.time_base),
            pixel_aspect="1/1",
            colorspace=str(frame.colorspace),
            range=str(frame.color_range),
        )
        self._sink = graph.add("buffersink")
        nodes = [graph.add(name, arguments) for name, arguments in filters]
        graph.link_nodes(self._source, *nodes, self._sink).configure()
        self._graph = graph

    def _ready(self) -> Iterator[VideoFrame]:
        while True:
            try:
                frame = self._sink.pull()
            except (av.BlockingIOError, av.EOFError):
                return
            assert isinstance(frame, VideoFrame)
            yield frame
