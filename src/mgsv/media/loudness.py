"""Loudness and true peak by FFmpeg's EBU R 128 meter (ITU-R BS.1770), beside a stream of sound."""

from __future__ import annotations

import math
from collections.abc import Iterable
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
    """Integrated loudness in LUFS and highest peak in dB re full scale; −inf for silence."""

    loudness: float
    peak: float


class Meter:
    """FFmpeg's EBU R 128 meter that is fed block by block.

    true_peaks: find what rises between the samples too, which takes three times as long; otherwise
    the peak is that of the samples.
    """

    def __init__(self, *, true_peaks: bool = True) -> None:
        self._kind = "true" if true_peaks else "sample"
        self._loudness = SILENCE_LUFS
        self._peak = 0.0
        self._graph = Graph()
        self._source: FilterContext | None = None
        self._sink: FilterContext | None = None

    def hear(self, frame: AudioFrame) -> None:
        if self._source is None:
            self._source = source_of(self._graph, frame)
            # The meter reports whole tenths of a second: a tail of silence completes the last one.
            filters = (
                ("apad", f"pad_len={RATE // 10}"),
                ("ebur128", f"metadata=1:peak={self._kind}:framelog=quiet"),
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
            self._peak = max(self._peak, float(figures.get(f"lavfi.r128.{self._kind}_peak", 0.0)))


def measure_level(frames: Iterable[AudioFrame], *, true_peaks: bool = True) -> Level:
    """The level of `frames`; for `true_peaks` see `Meter`."""
    meter = Meter(true_peaks=true_peaks)
    for frame in frames:
        meter.hear(frame)
    return meter.level()


def gain_to(level: Level, loudness: float) -> float:
    """dB from `level` to `loudness`; 0 for silence, which no gain makes louder."""
    return 0.0 if math.isinf(level.loudness) else loudness - level.loudness
