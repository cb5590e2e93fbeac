"""A clip's pictures on their way into a new file, encoded anew.

Times in the new file count from the first picture that is shown; everything else about them, a
variable frame rate included, stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from av.container import InputContainer, OutputContainer
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mgsv.errors import MediaError
from mgsv.files import StrPath
from mgsv.media.copying import Timed
from mgsv.media.sound import Filter
from mgsv.media.source import decoded
from mgsv.media.timing import PictureClock, claimed_rate
from mgsv.media.video import orientation

X264 = {"preset": "veryfast", "crf": "20"}
"""Three times as fast as the default preset; at this quality the loss is not seen."""

_CLOCKWISE: Filter = ("transpose", "clock")
_EVEN = (("crop", "max(2\\,trunc(iw/2)*2):max(2\\,trunc(ih/2)*2)"), ("format", "yuv420p"))
_TURNS: dict[int, tuple[Filter, ...]] = {
    0: (),
    1: (_CLOCKWISE,),
    2: (_CLOCKWISE, _CLOCKWISE),
    3: (("transpose", "cclock"),),
}


def encode_pictures(
    container: InputContainer,
    stream: VideoStream,
    output: OutputContainer,
    path: StrPath,
) -> Iterator[Timed]:
    """The pictures upright as h264; decodes the first and adds a stream to `output` at once."""
    pictures = _upright(_placed(container, stream))
    first = next(pictures, None)
    if first is None:
        raise MediaError(path, "none of its pictures can be decoded", "export it again")
    target = output.add_stream("libx264", rate=claimed_rate(stream), options=dict(X264))
    context = target.codec_context
    context.width, context.height, context.pix_fmt = first.width, first.height, "yuv420p"
    assert stream.time_base is not None
    context.time_base = stream.time_base
    context.sample_aspect_ratio = _aspect(stream, first)
    context.color_range, context.colorspace = first.color_range, first.colorspace
    context.color_primaries, context.color_trc = first.color_primaries, first.color_trc
    return _encoded(first, pictures, target)


def _encoded(
    first: VideoFrame, pictures: Iterator[VideoFrame], target: VideoStream
) -> Iterator[Timed]:
    fitted = _Row()
    frame: VideoFrame | None = first
    while True:
        if frame is not None and (frame.width, frame.height) != (target.width, target.height):
            # The picture's size may change within a stream, the file's cannot.
            frame = fitted.apply(frame, (("scale", f"{target.width}:{target.height}"),))
        for packet in target.encode(frame):
            assert packet.dts is not None
            yield float(packet.dts * packet.time_base), packet
        if frame is None:
            return
        frame = next(pictures, None)


def _placed(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Decoded pictures with growing times from 0."""
    clock = PictureClock(stream)
    for frame in decoded(container, stream):
        if not isinstance(frame, VideoFrame):
            continue
        time = clock.place(frame)
        if time is not None:  # a second picture for the same moment cannot be shown
            frame.pts, frame.time_base = time, stream.time_base
            yield frame


def _upright(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Pictures turned as their side data asks, in 4:2:0, whose sides must be even."""
    row = _Row()
    for frame in frames:
        mirrored, turns = orientation(frame)
        mirror: tuple[Filter, ...] = (("hflip", ""),) if mirrored else ()
        yield row.apply(frame, (*mirror, *_TURNS[turns], *_EVEN))


class _Row:
    """A row of filters, set up anew when the pictures or the filters change."""

    def __init__(self) -> None:
        self._form: object = None
        self._graph: Graph | None = None
        self._source: FilterContext
        self._sink: FilterContext

    def apply(self, frame: VideoFrame, filters: tuple[Filter, ...]) -> VideoFrame:
        form = frame.width, frame.height, frame.format.name, filters
        if form != self._form:
            graph = Graph()
            self._source = graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=frame.time_base,
            )
            self._sink = graph.add("buffersink")
            nodes = [graph.add(name, arguments) for name, arguments in filters]
            graph.link_nodes(self._source, *nodes, self._sink).configure()
            self._graph, self._form = graph, form  # a context holds its graph only weakly
        self._source.push(frame)
        result = self._sink.pull()
        assert isinstance(result, VideoFrame)
        return result


def _aspect(stream: VideoStream, upright: VideoFrame) -> Fraction:
    """Shape of a pixel, width over height, after the turn."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    turned = (stream.width > stream.height) != (upright.width > upright.height)
    return 1 / aspect if turned and aspect else aspect
