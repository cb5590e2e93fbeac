"""Sound as a stream of stereo blocks at 48 kHz: decoding, spooling, FFmpeg's filters.

Nothing here holds more than a few blocks in memory. What has to be gone through more than once is
kept in a `Spool`, a temporary file.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import IO, Self

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.filter import Graph
from av.filter.context import FilterContext
from numpy.typing import NDArray

from mgsv.files import StrPath
from mgsv.media.soundclock import SoundClock
from mgsv.media.source import decoded

RATE = 48_000
LAYOUT = "stereo"
TIME_BASE = Fraction(1, RATE)
_BLOCK = 4_800  # samples of a spooled block: the step of FFmpeg's meter
STEP = _BLOCK / RATE
"""Seconds of a spooled block, 0.1."""
_WARM_UP = 0.1  # seconds decoded on both sides of a cut, for the resampler's filter
_SAMPLE_BYTES = 4 * 2  # float32, two channels side by side

Filter = tuple[str, str]
"""A filter's name and its arguments, as in FFmpeg's own notation."""


class Spool:
    """Stereo sound of any length in `file` (empty, binary): written once, read many times."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.samples = 0

    @property
    def seconds(self) -> float:
        return self.samples / RATE

    def fill(self, frames: Iterable[AudioFrame]) -> Self:
        """Append all of `frames` (packed float stereo)."""
        for frame in frames:
            self._file.write(frame.to_ndarray().astype(np.float32, copy=False).tobytes())
            self.samples += frame.samples
        return self

    def frames(self) -> Iterator[AudioFrame]:
        """The sound from its beginning, in blocks that carry their time."""
        position = 0
        self._file.seek(0)
        while data := self._file.read(_BLOCK * _SAMPLE_BYTES):
            yield _frame(np.frombuffer(data, np.float32).reshape(1, -1), position)
            position += len(data) // _SAMPLE_BYTES

    def between(self, first: int, last: int) -> NDArray[np.float32]:
        """[last - first, 2] samples from `first` on; silence beyond both ends."""
        sound = np.zeros((max(0, last - first), 2), np.float32)
        begin, end = max(first, 0), min(last, self.samples)
        if begin < end:
            self._file.seek(begin * _SAMPLE_BYTES)
            data = self._file.read((end - begin) * _SAMPLE_BYTES)
            sound[begin - first : end - first] = np.frombuffer(data, np.float32).reshape(-1, 2)
        return sound


def filtered(frames: Iterable[AudioFrame], *filters: Filter) -> Iterator[AudioFrame]:
    """`frames` through a row of FFmpeg filters, as packed float stereo at 48 kHz.

    The frames are all of one rate, sample format and layout.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        return
    graph = Graph()
    source = source_of(graph, first)
    sink = row(graph, source, filters)
    for frame in itertools.chain([first], frames, [None]):
        try:
            source.push(frame)
        except av.EOFError:  # a filter that cuts has all it wants
            break
        yield from ready(sink)
    yield from ready(sink)


def ducked(own: Spool, music: Spool, *, own_gain: float, music_gain: float) -> Iterator[AudioFrame]:
    """`own` with `music` under it, which steps back while `own` is heard; gains in dB.

    Both are as long as each other. Brought to about −20 LUFS, `own` is some 14 dB above the
    threshold (−34 dB) when speech is heard and presses the music down by 12 dB; the music comes
    back within half a second.
    """
    graph = Graph()
    voice = source_of(graph, next(own.frames()))
    bed = source_of(graph, next(music.frames()))
    loud = graph.add("volume", f"{own_gain}dB")
    soft = graph.add("volume", f"{music_gain}dB")
    split = graph.add("asplit", "2")
    duck = graph.add("sidechaincompress", "threshold=0.02:ratio=8:attack=20:release=400")
    mix = graph.add("amix", "inputs=2:duration=longest:normalize=0")
    graph.link_nodes(voice, loud, split)
    graph.link_nodes(bed, soft, duck)
    split.link_to(duck, 0, 1)
    split.link_to(mix, 1, 0)
    duck.link_to(mix, 0, 1)
    sink = row(graph, mix, ())
    for heard, under in itertools.zip_longest(own.frames(), music.frames()):
        for source, frame in ((voice, heard), (bed, under)):
            if frame is not None:
                source.push(frame)
        yield from ready(sink)
    voice.push(None)
    bed.push(None)
    yield from ready(sink)


class Decoded:
    """The main sound of an open file from `start` to `end`, as packed float stereo at 48 kHz.

    path, container, stream: the file, and as `open_media` and `audio_stream` give them.
    start, end: seconds after `origin`, the presentation time that counts as 0 (None = that of the
        first sample, as in `read_audio`).

    To be iterated once. Sound before `start` is decoded and dropped, never sought over, so that
    the cut is exact in every format. As in `read_audio`, holes in the timestamps and packets that
    cannot be decoded are silence. Afterwards `heard` tells where the decoding ended (seconds
    after `origin`): the end of the sound, or just past `end`.
    """

    def __init__(
        self,
        path: StrPath,
        container: InputContainer,
        stream: AudioStream,
        start: float,
        end: float,
        origin: float | None = None,
    ) -> None:
        self._container, self._stream = container, stream
        self._start, self._end = start, end
        self._clock = SoundClock(path, container, origin)

    @property
    def heard(self) -> float:
        """Seconds after `origin` at which the decoding ended."""
        return self._clock.now

    def __iter__(self) -> Iterator[AudioFrame]:
        bounds = f"start_pts={round(self._start * RATE)}:end_pts={round(self._end * RATE)}"
        return filtered(self._blocks(), ("atrim", bounds), ("asetpts", "N"))

    def _blocks(self) -> Iterator[AudioFrame]:
        """Blocks from a little before `start` to a little after `end`, placed by their times."""
        stereo: _Stereo | None = None
        form: tuple[int, str, str] | None = None
        place = 0  # of the next block, in samples at 48 kHz
        for frame in decoded(self._container, self._stream):
            if not isinstance(frame, AudioFrame):
                continue  # damaged
            before, gap, new_form = self.heard, self._clock.take(frame), _form(frame)
            if gap is None:
                continue
            if new_form != form or gap or stereo is None:
                if stereo is not None:
                    yield from _placed(stereo.rest(), place)
                yield from self._silence(before, before + gap)
                stereo, form = None, new_form
            if self.heard < self._start - _WARM_UP:
                continue
            if stereo is None:
                stereo = _Stereo(frame)
                place = round((before + gap) * RATE)
            frame.pts = None  # places are kept here; a resampler would stretch over jumps
            for block in _placed(stereo.blocks(frame), place):
                place += block.samples
                yield block
            if self.heard > self._end + _WARM_UP:
                return
        if stereo is not None:
            yield from _placed(stereo.rest(), place)

    def _silence(self, start: float, end: float) -> Iterator[AudioFrame]:
        """Blocks of silence from `start` to `end` seconds, as far as they are wanted."""
        first = round(max(start, self._start - _WARM_UP) * RATE)
        last = round(min(end, self._end + _WARM_UP) * RATE)
        for place in range(first, last, _BLOCK):
            samples = min(_BLOCK, last - place)
            yield _frame(np.zeros((1, 2 * samples), np.float32), place)


class _Stereo:
    """Sound in the form of `frame` on its way to packed float stereo at 48 kHz."""

    def __init__(self, frame: AudioFrame) -> None:
        try:
            self._set_up(frame)
        except av.FFmpegError:
            # FFmpeg has no rule by which such channels go into two. The mean of all goes into both.
            count = frame.layout.nb_channels
            mean = "+".join(f"{1 / count}*c{channel}" for channel in range(count))
            self._set_up(
                frame, ("aformat", "sample_fmts=flt"), ("pan", f"stereo|c0={mean}|c1={mean}")
            )

    def _set_up(self, frame: AudioFrame, *filters: Filter) -> None:
        self._graph = Graph()  # a context holds its graph only weakly
        self._source = source_of(self._graph, frame)
        self._sink = row(self._graph, self._source, filters)

    def blocks(self, frame: AudioFrame | None) -> Iterator[AudioFrame]:
        self._source.push(frame)
        return ready(self._sink)

    def rest(self) -> Iterator[AudioFrame]:
        """What the resampler holds back; nothing can be added after this."""
        return self.blocks(None)


def _form(frame: AudioFrame) -> tuple[int, str, str]:
    """What a resampler cannot take a change of."""
    return frame.sample_rate, frame.layout.name, frame.format.name


def _placed(blocks: Iterable[AudioFrame], place: int) -> Iterator[AudioFrame]:
    """48 kHz `blocks`, the first of them at `place`."""
    for block in blocks:
        block.time_base, block.pts = TIME_BASE, place
        place += block.samples
        yield block


def _frame(samples: NDArray[np.float32], place: int) -> AudioFrame:
    """A block of `samples` [1, 2 N], left and right in turn, at `place`."""
    frame = AudioFrame.from_ndarray(samples, format="flt", layout=LAYOUT)
    frame.sample_rate, frame.time_base, frame.pts = RATE, TIME_BASE, place
    return frame


def block_of(sound: NDArray[np.float32], place: int) -> AudioFrame:
    """A block of `sound` [N, 2] at sample `place`."""
    return _frame(sound.reshape(1, -1), place)


def source_of(graph: Graph, frame: AudioFrame) -> FilterContext:
    return graph.add_abuffer(
        sample_rate=frame.sample_rate,
        format=frame.format.name,
        layout=frame.layout.name,
        time_base=frame.time_base or Fraction(1, frame.sample_rate),
    )


def row(graph: Graph, source: FilterContext, filters: Iterable[Filter]) -> FilterContext:
    """`source`, then `filters`, then a sink that gives packed float stereo at 48 kHz."""
    shape: Filter = ("aformat", f"sample_fmts=flt:sample_rates={RATE}:channel_layouts={LAYOUT}")
    nodes = [graph.add(name, arguments) for name, arguments in (*filters, shape)]
    sink = graph.add("abuffersink")
    graph.link_nodes(source, *nodes, sink).configure()
    return sink


def ready(sink: FilterContext) -> Iterator[AudioFrame]:
    """What the sink holds by now."""
    while True:
        try:
            frame = sink.pull()
        except (av.BlockingIOError, av.EOFError):
            return
        assert isinstance(frame, AudioFrame)
        yield frame
