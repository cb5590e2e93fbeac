"""Loudness and true peak by FFmpeg's EBU R 128 meter (ITU-R BS.1770), beside a stream of sound."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from av.audio.frame import AudioFrame
from av.filter import Graph
from av.filter.context import FilterContext

from mgsv.media.sound import RATE, ready, row, source_of

SILENCE_LUFS = -70.0
"""The absolute gate of BS.1770: nothing below it counts. The meter reports it for silence."""
LOUDNESS_BLOCK = 0.4
"""Seconds. BS.1770 measures blocks of this length; anything shorter has no loudness."""


@dataclass(frozen=True, slots=True)
class Level:
    """Integrated loudness in LUFS and true peak in dBTP; −inf for silence."""

    loudness: float
    true_peak: float

    def louder(self, gain: float) -> Level:
        """The level after a plain gain in dB, which moves both figures alike."""
        return Level(self.loudness + gain, self.true_peak + gain)


class Meter:
    """FFmpeg's EBU R 128 meter beside a stream: `through` passes the sound on and listens."""

    def __init__(self) -> None:
        self._loudness = SILENCE_LUFS
        self._peak = 0.0
        self._graph = Graph()
        self._source: FilterContext | None = None
        self._sink: FilterContext | None = None

    def through(self, frames: Iterable[AudioFrame]) -> Iterator[AudioFrame]:
        for frame in frames:
            self.hear(frame)
            yield frame

    def hear(self, frame: AudioFrame) -> None:
        if self._source is None:
            self._source = source_of(self._graph, frame)
            # The meter reports whole tenths of a second: a tail of silence completes the last one.
            filters = (
                ("apad", f"pad_len={RATE // 10}"),
                ("ebur128", "metadata=1:peak=true:framelog=quiet"),
            )
            self._sink = row(self._graph, self._source, filters)
        self._source.push(frame)
        self._read()

    def level(self) -> Level:
        """What was heard in all; the meter takes nothing more after this."""
        if self._source is not None:
            self._source.push(None)
            self._read()
            self._source = None
        silent = self._loudness <= SILENCE_LUFS
        return Level(
            -math.inf if silent else self._loudness,
            20 * math.log10(self._peak) if self._peak > 0 else -math.inf,
        )

    def _read(self) -> None:
        assert self._sink is not None
        for frame in ready(self._sink):
            figures = frame.metadata
            self._loudness = float(figures.get("lavfi.r128.I", self._loudness))
            self._peak = max(self._peak, float(figures.get("lavfi.r128.true_peak", 0.0)))


def measure(frames: Iterable[AudioFrame]) -> Level:
    """Loudness and true peak of `frames`."""
    meter = Meter()
    for frame in frames:
        meter.hear(frame)
    return meter.level()
