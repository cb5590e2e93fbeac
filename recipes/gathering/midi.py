"""Standard MIDI files: notes, tempo and time signatures, and the beats and bars that follow.

Only what counting needs is read. Files of one song whose tracks play together (formats 0 and 1)
and whose clock is given in ticks per quarter note; other files raise `MidiError`.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from mgsv.errors import MgsvError

DRUMS = 9
"""The channel of drums in General MIDI, counted from 0."""
_TEMPO, _SIGNATURE, _END = 0x51, 0x58, 0x2F


class MidiError(MgsvError):
    """Bytes that are no MIDI file of this kind."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem, "give a MIDI file of format 0 or 1, in ticks per quarter note")


@dataclass(frozen=True)
class Note:
    """One key struck. tick: when; channel: 0 to 15; velocity: 1 to 127."""

    tick: int
    channel: int
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Signature:
    """A time signature from `tick` on: `beats` notes of 1 / `unit` to the bar."""

    tick: int
    beats: int
    unit: int


@dataclass(frozen=True)
class Score:
    """What a MIDI file says.

    quarter: ticks per quarter note. notes, tempi, signatures: in order of time. tempi: (tick,
    microseconds per quarter). end: the last tick of any event.
    """

    quarter: int
    notes: tuple[Note, ...]
    tempi: tuple[tuple[int, int], ...]
    signatures: tuple[Signature, ...]
    end: int

    def seconds(self, tick: float) -> float:
        """When `tick` is played, from the start of the file."""
        starts, times, tempi = self._clock
        at = max(bisect.bisect_right(starts, tick) - 1, 0)
        return times[at] + (tick - starts[at]) * tempi[at] / self.quarter / 1e6

    @property
    def _clock(self) -> tuple[list[int], list[float], list[int]]:
        starts, tempi, times = [0], [500_000], [0.0]
        for tick, tempo in self.tempi:
            times.append(times[-1] + (tick - starts[-1]) * tempi[-1] / self.quarter / 1e6)
            starts.append(tick)
            tempi.append(tempo)
        return starts, times, tempi


def read_midi(data: bytes) -> Score:
    """The score in the bytes of a MIDI file. Raises `MidiError`."""
    chunks = list(_chunks(data))
    if not chunks or chunks[0][0] != b"MThd" or len(chunks[0][1]) < 6:
        raise MidiError("it does not begin with a MIDI header")
    layout, _, division = struct.unpack(">HHH", chunks[0][1][:6])
    if layout > 1 or division == 0 or division & 0x8000:
        raise MidiError(f"its format is {layout} and its clock {division:#x}")
    notes: list[Note] = []
    tempi: dict[int, int] = {}
    signatures: dict[int, Signature] = {}
    end = 0
    try:
        for name, body in chunks[1:]:
            if name == b"MTrk":
                end = max(end, _read_track(body, notes, tempi, signatures))
    except IndexError as error:
        raise MidiError("a track of it breaks off") from error
    return Score(
        division,
        tuple(sorted(notes, key=lambda note: note.tick)),
        tuple(sorted(tempi.items())),
        tuple(signatures[tick] for tick in sorted(signatures)),
        end,
    )


def bars_of(score: Score) -> Iterator[tuple[int, int, int]]:
    """(first tick, ticks per beat, beats) of each bar, from the first note's bar to the last's.

    A beat is what the signature names, and in 6/8, 9/8 and 12/8 three of those. 4/4 where the file
    says nothing; a new signature begins a bar.
    """
    if not score.notes:
        return
    first, last = score.notes[0].tick, score.notes[-1].tick
    changes = [Signature(0, 4, 4), *score.signatures, Signature(last + 1, 4, 4)]
    for now, after in pairwise(changes):
        step, count = 4 * score.quarter // now.unit, now.beats
        if now.unit >= 8 and count > 3 and count % 3 == 0:
            step, count = 3 * step, count // 3
        if step <= 0 or count <= 0:
            raise MidiError(f"its time signature is {now.beats}/{now.unit}")
        for tick in range(now.tick, after.tick, step * count):
            if tick + step * count > first:
                yield tick, step, count


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "big")
        yield data[at : at + 4], data[at + 8 : at + 8 + size]
        at += 8 + size


def _read_track(
    body: bytes, notes: list[Note], tempi: dict[int, int], signatures: dict[int, Signature]
) -> int:
    """Add a track's events to the lists; the tick at which it ends."""
    at = tick = status = 0
    while at < len(body):
        delta, at = _number(body, at)
        tick += delta
        if body[at] & 0x80:
            status = body[at]
            at += 1
        if status in (0xF0, 0xF7):
            size, at = _number(body, at)
            at += size
        elif status == 0xFF:
            kind = body[at]
            size, at = _number(body, at + 1)
            value = body[at : at + size]
            at += size
            if kind == _TEMPO and len(value) == 3:
                tempi[tick] = max(1, int.from_bytes(value, "big"))
            elif kind == _SIGNATURE and len(value) >= 2:
                signatures[tick] = Signature(tick, value[0], 2 ** value[1])
            elif kind == _END:
                break
        elif status & 0x80:
            size = 1 if status & 0xF0 in (0xC0, 0xD0) else 2
            if status & 0xF0 == 0x90 and body[at + 1]:
                notes.append(Note(tick, status & 0x0F, body[at], body[at + 1]))
            at += size
        else:
            raise MidiError("a track of it does not begin with a status byte")
    return tick


def _number(body: bytes, at: int) -> tuple[int, int]:
    """(value, place after it) of a number of variable length."""
    value = 0
    while True:
        byte = body[at]
        value, at = value << 7 | byte & 0x7F, at + 1
        if byte < 0x80:
            return value, at
