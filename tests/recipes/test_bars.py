"""Beats and bars of MIDI files made here byte by byte; the times follow from their tempo."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

import bars
from gathering.bars import Piece, f_measure, read_pieces, write_pieces
from gathering.midi import MidiError, Note, read_midi
from mgsv.errors import DataError

QUARTER = 96


def number(value: int) -> bytes:
    """A number of variable length."""
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(value & 0x7F | 0x80)
    return bytes(reversed(out))


def tempo(bpm: float) -> bytes:
    return b"\xff\x51\x03" + round(6e7 / bpm).to_bytes(3, "big")


def signature(beats: int, unit: int) -> bytes:
    return b"\xff\x58\x04" + bytes([beats, unit.bit_length() - 1, 24, 8])


def note(pitch: int = 60) -> bytes:
    return bytes([0x90, pitch, 100])


def midi(*tracks: list[tuple[int, bytes]], layout: int = 1, division: int = QUARTER) -> bytes:
    """A file of tracks of (tick, event)."""
    data = b"MThd" + struct.pack(">IHHH", 6, layout, len(tracks), division)
    for events in tracks:
        body, now = b"", 0
        for tick, event in events:
            body, now = body + number(tick - now) + event, tick
        body += b"\x00\xff\x2f\x00"
        data += b"MTrk" + struct.pack(">I", len(body)) + body
    return data


def notes(count: int, step: int = QUARTER, first: int = 0) -> list[tuple[int, bytes]]:
    return [(first + step * k, note()) for k in range(count)]


def test_beats_follow_the_tempo_and_bars_the_signature() -> None:
    """Two bars of 4/4 at 120 bpm, then 3/4 at 60: half a second a beat, then a second."""
    control = [
        (0, tempo(120)),
        (0, signature(4, 4)),
        (8 * 96, tempo(60)),
        (8 * 96, signature(3, 4)),
    ]
    beats, downbeats, _ = bars.truth(read_midi(midi(control, notes(14))))
    assert beats == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9])
    assert downbeats == pytest.approx([0, 2, 4, 7])


def test_a_beat_of_six_eight_is_three_eighths() -> None:
    score = read_midi(midi([(0, tempo(90)), (0, signature(6, 8))], notes(24, QUARTER // 2)))
    beats, downbeats, metre = bars.truth(score)
    assert beats == pytest.approx(list(range(8)))  # three eighths at 90 quarters a minute
    assert downbeats == pytest.approx([0, 2, 4, 6])
    assert metre == "6/8"


def test_without_a_signature_bars_have_four_beats_and_an_upbeat_is_none() -> None:
    _, downbeats, metre = bars.truth(read_midi(midi(notes(9, first=3 * QUARTER))))
    assert downbeats == pytest.approx([2.0, 4.0])  # 120 bpm; the first note is beat 3
    assert metre == "4/4"


def test_running_status_and_text_are_read_over() -> None:
    events = [
        (0, b"\xff\x03\x02hi"),
        (0, note(60)),
        (10, bytes([64, 90])),
        (20, b"\xf0\x02\x01\xf7"),
    ]
    events += [(300, bytes([0xC0, 5])), (400, bytes([0x90, 60, 0])), (500, note(62))]
    found = read_midi(midi(events, layout=0)).notes
    assert found == (Note(0, 0, 60, 100), Note(10, 0, 64, 90), Note(500, 0, 62, 100))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF" + bytes(20),
        midi(notes(2), layout=2),
        midi(notes(2), division=0xE728),  # frames of film a second
        b"MThd"
        + struct.pack(">IHHH", 6, 0, 1, 96)
        + b"MTrk"
        + struct.pack(">I", 3)
        + b"\x00\x90\x3c",
        b"MThd" + struct.pack(">IHHH", 6, 0, 1, 96) + b"MTrk" + struct.pack(">I", 2) + b"\x00\x3c",
    ],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(MidiError, match="MIDI"):
        read_midi(data)


def test_a_piece_that_ignores_its_clock_is_off_the_grid() -> None:
    assert bars.grid_share(read_midi(midi(notes(40, QUARTER // 4)))) == 1.0
    assert bars.grid_share(read_midi(midi(notes(40, QUARTER // 3)))) == 1.0
    assert bars.grid_share(read_midi(midi(notes(400, 101)))) < bars.ON_GRID


def test_midi_files_are_found_in_game_data() -> None:
    song = midi(notes(3))
    wad = b"IWAD" + struct.pack("<II", 2, 12 + len(song) + 4) + song + b"MUS\x1a"
    wad += struct.pack("<II8s", 12, len(song), b"D_ONE")
    wad += struct.pack("<II8s", 12 + len(song), 4, b"D_TWO")
    assert list(bars.lumps(wad)) == [("D_ONE", song)]


def test_of_two_files_of_one_name_or_content_the_first_is_taken(monkeypatch) -> None:
    """A second one of a name would be measured against the first one's sound."""
    files = {"a/x.mid": b"one", "b/x.mid": b"two", "b/y.mid": b"one", "b/z.mid": b"three"}
    listed = [(path, len(data), io.BytesIO(data)) for path, data in files.items()]
    monkeypatch.setattr(bars, "members", lambda _: listed)
    assert list(bars._songs(Path("any.deb"))) == [("x", b"one"), ("z", b"three")]


def test_f_measure_counts_each_time_once() -> None:
    truth = [4.0, 6.0, 7.0, 8.0, 9.0]  # the first lies in the seconds that do not count
    assert f_measure(truth, truth) == 1.0
    assert f_measure([6.05, 6.06, 7.08, 8.0], truth) == pytest.approx(2 * 2 / (4 + 4))
    assert f_measure([], truth) == 0.0


def test_pieces_come_back_as_they_were_written(tmp_path) -> None:
    piece = Piece("a", "tunes", "tuning", "4/4", "4/4", "audio/a.wav", (0.0, 0.5), (0.0,))
    write_pieces(tmp_path, [piece])
    assert read_pieces(tmp_path) == [piece]
    (tmp_path / "pieces.json").write_text("{")
    with pytest.raises(DataError, match=r"pieces\.json"):
        read_pieces(tmp_path)
