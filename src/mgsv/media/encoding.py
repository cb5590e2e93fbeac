"""A clip's pictures on their way into a new file, encoded anew.

Times in the new file count from the first picture that is shown; everything else about them, a
variable frame rate included, stays.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction

import av
from av.container import InputContainer, OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mgsv.errors import MediaError
from mgsv.files import StrPath
from mgsv.media.colour import (
    Alpha,
    Colours,
    colours_for,
    has_alpha,
    is_see_through,
    opaque,
    take_marks_off,
)
from mgsv.media.copying import Timed
from mgsv.media.extent import Extent
from mgsv.media.filtering import PictureFilters
from mgsv.media.sound import Filter
from mgsv.media.source import MAX_PIXELS, decoded
from mgsv.media.timing import FrameClock, claimed_rate
from mgsv.media.video import orientation

# Three times as fast as the default preset; at this quality the loss is not seen.
_OPTIONS = {
    "libx264": {"preset": "veryfast", "crf": "20"},
    "libx265": {"preset": "veryfast", "crf": "20", "x265-params": "log-level=none"},
}
_NAMES = {"libx264": "h264", "libx265": "hevc"}

_CLOCKWISE: Filter = ("transpose", "clock")
_EVEN: Filter = ("crop", "max(2\\,trunc(iw/2)*2):max(2\\,trunc(ih/2)*2)")
_TURNS: dict[int, tuple[Filter, ...]] = {
    0: (),
    1: (_CLOCKWISE,),
    2: (_CLOCKWISE, _CLOCKWISE),
    3: (("transpose", "cclock"),),
}
# One picture for two fields, so that their number and times stay.
_DEINTERLACED: Filter = ("bwdif", "mode=send_frame:deint=interlaced")
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_SAME_RATE = Fraction(1, 200)  # of it. Nearer, the header's rate is the one that was meant
_COPIES = 100  # of the last good picture in the place of damaged ones
_STAYS = 1.5  # times the mean: longer, the last picture is one that stays


class Encoding:
    """The pictures of a clip as H.264, or HEVC, upright and progressive; iterated over once.

    Making it decodes the first picture and adds a stream to `output`; afterwards `notes` tells what
    became of the pictures.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        extent: Extent,
        output: OutputContainer,
        path: StrPath,
        alpha: Alpha,
    ) -> None:
        self._container, self._stream, self._alpha = container, stream, alpha
        self._extent = extent
        self._lengths: dict[int, int] = {}  # time -> how long it is shown, both in ticks
        self._interlaced = self._see_through = False
        self._pictures = self._made_fit()
        first = next(self._pictures, None)
        if first is None:
            raise MediaError(path, "none of its frames can be decoded", "get or export it again")
        self._first, self._colours = first
        self._target = self._added_to(output, extent)

    @property
    def codec(self) -> str:
        """The name of what the pictures are encoded as."""
        return _NAMES[self._colours.codec]

    @property
    def notes(self) -> Iterator[str]:
        if self._interlaced:
            yield "its interlaced pictures were made progressive"
        if self._see_through:
            yield f"its transparent pixels are shown over {self._alpha}"

    def __iter__(self) -> Iterator[Timed]:
        fitted = PictureFilters()
        width, height = self._first.width, self._first.height
        scale: Filter = ("scale", f"{width}:{height}")
        frame: VideoFrame | None = self._first
        while frame is not None:
            if (frame.width, frame.height) == (width, height):
                yield from self._encoded(frame)
            else:  # the picture's size may change within a stream, the file's cannot
                for made in fitted.apply(frame, (scale, ("format", self._colours.pixels))):
                    yield from self._encoded(made)
            frame, _ = next(self._pictures, (None, None))
        yield from self._encoded(None)

    def _added_to(self, output: OutputContainer, extent: Extent) -> VideoStream:
        name, first, colours = self._colours.codec, self._first, self._colours
        options = dict(_OPTIONS[name])
        if colours.light:
            options["x265-params"] += f":{colours.light}"
        if extent.last > _STAYS / extent.frame_rate:
            # A file's last packet is one with a B picture, shown before the last one: how long that
            # one stays could not be said.
            options["bf"] = "0"
        target = output.add_stream(name, rate=_rate(self._stream, extent), options=options)
        assert isinstance(target, VideoStream)
        context = target.codec_context
        context.width, context.height, context.pix_fmt = first.width, first.height, colours.pixels
        assert self._stream.time_base is not None
        context.time_base = self._stream.time_base
        context.sample_aspect_ratio = _aspect(self._stream, first)
        context.color_range, context.colorspace = colours.range, colours.matrix
        context.color_primaries, context.color_trc = colours.primaries, colours.transfer
        if name == "libx265" and output.format.name in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # Apple's players take no other
        return target

    def _encoded(self, frame: VideoFrame | None) -> Iterator[Timed]:
        for packet in self._target.encode(frame):
            assert packet.pts is not None
            assert packet.dts is not None
            packet.duration = self._lengths.pop(packet.pts, packet.duration)
            yield float(packet.dts * packet.time_base), packet

    def _made_fit(self) -> Iterator[tuple[VideoFrame, Colours]]:
        """Pictures ready to be encoded, each with the colours it has by now."""
        base, filters = self._stream.time_base, PictureFilters()
        assert base is not None
        colours: Colours | None = None
        for frame in self._placed():
            colours, row = self._plan(frame)
            for made in filters.apply(frame, row):
                yield _in_ticks(made, base), colours
        if colours is not None:
            for made in filters.rest():
                yield _in_ticks(made, base), colours

    def _plan(self, frame: VideoFrame) -> tuple[Colours, tuple[Filter, ...]]:
        """The colours that pictures like `frame` get, and all that is to be done to them."""
        row: list[Filter] = []
        colours = colours_for(frame)
        take_marks_off(frame)
        self._interlaced |= frame.interlaced_frame
        if self._interlaced:
            row.append(_DEINTERLACED)
        if has_alpha(frame):
            self._see_through = self._see_through or is_see_through(frame)
            row += opaque(self._alpha, frame)
        mirrored, turns = orientation(frame)
        if mirrored:
            row.append(("hflip", ""))
        return colours, (*row, *_TURNS[turns], _EVEN, *colours.filters)

    def _placed(self) -> Iterator[VideoFrame]:
        """Decoded pictures with growing times from 0, in ticks."""
        clock = FrameClock(self._stream)
        before = 0
        decoder = _alpha_decoder(self._stream)
        last: VideoFrame | None = None
        for frame in decoded(self._container, self._stream, decoder):
            if not isinstance(frame, VideoFrame):
                continue
            time = clock.place(frame)
            if time is None:
                continue  # a second picture for the same moment cannot be shown
            self._lengths[before] = time - before
            self._lengths[time] = max(1, round(clock.end) - time)
            before, last = time, frame
            frame.pts, frame.time_base = time, self._stream.time_base
            yield frame
        if last is not None:
            yield from self._held(last, before, round(clock.end) - before)

    def _held(self, frame: VideoFrame, time: int, length: int) -> Iterator[VideoFrame]:
        """`frame` again and again where pictures after it, the last at `time`, are damaged.

        Not as one that is shown for longer: where an encoder puts it before one that is shown
        before it, a file cannot say for how long.
        """
        assert self._stream.time_base is not None
        end = round(self._extent.seconds / self._stream.time_base)
        step = max(length, -(-(end - time) // _COPIES), 1)
        times = range(time + max(length, 1), end - step // 2, step)
        for again, following in itertools.pairwise([*times, end]):
            self._lengths[again] = following - again
            frame.pts = again
            yield frame


def _alpha_decoder(stream: VideoStream) -> VideoCodecContext | None:
    """A decoder that sees the transparency of WebM pictures, where FFmpeg's own does not."""
    name = _ALPHA_DECODERS.get(stream.codec_context.name)
    if name not in av.codecs_available or stream.metadata.get("alpha_mode") != "1":
        return None
    decoder = VideoCodecContext.create(name, "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.options = {"max_pixels": str(MAX_PIXELS)}
    return decoder


def _in_ticks(frame: VideoFrame, base: Fraction) -> VideoFrame:
    """`frame` with its time in units of `base`, whatever filters count in."""
    assert frame.pts is not None
    assert frame.time_base is not None
    frame.pts, frame.time_base = round(frame.pts * frame.time_base / base), base
    return frame


def _rate(stream: VideoStream, extent: Extent) -> Fraction:
    """Frames per second, as a hint to the encoder and for timecodes."""
    claimed, mean = claimed_rate(stream), Fraction(extent.frame_rate)
    if abs(mean - claimed) <= _SAME_RATE * claimed:
        return claimed
    return min(max(mean, Fraction(1)), Fraction(1000)).limit_denominator(1001)


def _aspect(stream: VideoStream, upright: VideoFrame) -> Fraction:
    """Shape of a pixel, width over height, after the turn."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    turned = (stream.width > stream.height) != (upright.width > upright.height)
    return 1 / aspect if turned and aspect else aspect
