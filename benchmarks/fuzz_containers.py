"""Media files as trees of boxes, chunks, elements, pages or packets, and back into bytes."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

SLICES = 64
"""Pieces of a file, or of a part of one, that has no structure known here."""


@dataclass(frozen=True)
class Size:
    """Where a head tells how long its piece is.

    order: of its bytes; "vint" is EBML's big-endian with a marker bit. more: what is counted
    besides the body.
    """

    offset: int
    width: int
    order: Literal["big", "little", "vint"]
    more: int = 0

    def put(self, head: bytes, length: int) -> bytes:
        value = max(0, length + self.more) & ((1 << 8 * self.width) - 1)
        if self.order == "vint":
            value = value & ((1 << 7 * self.width) - 1) | 1 << 7 * self.width
        text = value.to_bytes(self.width, "little" if self.order == "little" else "big")
        return head[: self.offset] + text + head[self.offset + self.width :]


@dataclass
class Node:
    """A piece of a file.

    kind: its name in the format, to find others like it. head: its first bytes, which may tell its
    length at `size`. body: what it holds, cut into further pieces where the format says so. tail:
    padding. seal: puts a checksum into the whole.
    """

    kind: bytes
    head: bytes
    body: bytes | list[Node]
    size: Size | None = None
    tail: bytes = b""
    seal: Callable[[bytes], bytes] = bytes

    def __bytes__(self) -> bytes:
        return self.seal(self.head + self.content() + self.tail)

    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else b"".join(map(bytes, self.body))

    def claim(self, length: int | None = None) -> None:
        """Have the head say that the body has `length` bytes; None: as many as it has."""
        if self.size is not None:
            self.head = self.size.put(self.head, len(self.content()) if length is None else length)


def parsed(data: bytes) -> Node:
    """A file as the node that holds all its pieces."""
    for start, parse in _FORMATS:
        if re.match(start, data, re.DOTALL):
            return Node(b"file", b"", list(parse(data)))
    return Node(b"file", b"", list(_slices(data)))


Pieces = Iterator[Node]


def _slices(data: bytes, length: int = 0) -> Pieces:
    length = length or max(1, -(-len(data) // SLICES))
    for at in range(0, len(data), length):
        yield Node(b"slice", b"", data[at : at + length])


def _boxes(data: bytes) -> Pieces:
    """MP4, QuickTime."""
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        header, size = 8, Size(0, 4, "big", 8)
        if length == 1:
            length, header, size = int.from_bytes(data[at + 8 : at + 16]), 16, Size(8, 8, "big", 16)
        if not header <= length <= len(data) - at:
            break
        inner = {b"meta": 4, b"stsd": 8}.get(kind, 0)  # version, flags, count
        head = data[at : at + header + inner]
        body = data[at + header + inner : at + length]
        size = Size(size.offset, size.width, "big", header + inner)
        if kind in _HOLDING_BOXES:
            yield Node(kind, head, list(_boxes(body)), size)
        else:
            yield Node(kind, head, list(_slices(body)) if kind == b"mdat" else body, size)
        at += length
    yield from _rest(data, at)


_HOLDING_BOXES = set(
    b"moov trak mdia minf dinf stbl stsd edts udta meta ilst moof traf mvex".split()
)


def _chunks(data: bytes, order: Literal["big", "little"] = "little") -> Pieces:
    """RIFF and IFF."""
    at = 0
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI" if order == "little" else ">4sI", data, at)
        if length > len(data) - at - 8:
            break
        holds = kind in (b"RIFF", b"LIST", b"FORM")
        inner = 4 if holds else 0
        body = data[at + 8 + inner : at + 8 + length]
        tail = data[at + 8 + length : at + 8 + length + length % 2]
        head, size = data[at : at + 8 + inner], Size(4, 4, order, inner)
        parts: bytes | list[Node] = body
        if holds:
            parts = list(_chunks(body, order))
        elif kind in (b"data", b"SSND"):
            parts = list(_slices(body))
        yield Node(kind, head, parts, size, tail)
        at += 8 + length + length % 2
    yield from _rest(data, at)


def _guids(data: bytes, align: int = 1) -> Pieces:
    """ASF and Wave64: objects with 16 bytes of name and 8 of length."""
    at = 0
    properties = data.find(_ASF_PROPERTIES)
    packet = int.from_bytes(data[properties + 92 : properties + 96], "little")
    while at + 24 <= len(data):
        kind, length = data[at : at + 16], int.from_bytes(data[at + 16 : at + 24], "little")
        inner = _ASF_HEADS.get(kind.hex()[:8], 0)
        if kind == b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00":
            inner, length = 16, len(data) - at
        if not 24 + inner <= length <= len(data) - at:
            break
        body = data[at + 24 + inner : at + length]
        parts: bytes | list[Node] = body
        if kind[:4] in (b"data", _ASF_DATA):
            parts = list(_slices(body, packet if kind[:4] == _ASF_DATA else 0))
        elif inner:
            parts = list(_guids(body, align))
        tail = data[at + length : at + length + -length % align]
        head = data[at : at + 24 + inner]
        yield Node(kind, head, parts, Size(16, 8, "little", 24 + inner), tail)
        at += length + len(tail)
    yield from _rest(data, at)


_ASF_PROPERTIES, _ASF_DATA = b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11", b"\x36\x26\xb2\x75"
_ASF_HEADS = {"3026b275": 6, "b503bf5f": 22, "3626b275": 26}  # header, its extension, data


def _elements(data: bytes) -> Pieces:
    """EBML: Matroska and WebM."""
    at = 0
    while at < len(data):
        wide = 9 - data[at].bit_length()
        kind = data[at : at + wide]
        if wide > 4 or at + wide >= len(data):
            break
        width = 9 - data[at + wide].bit_length()
        header = wide + width
        length = int.from_bytes(data[at + wide : at + header]) & ((1 << 7 * width) - 1)
        if width > 8 or length > len(data) - at - header:
            break
        body = data[at + header : at + header + length]
        holds = kind.hex() in _MASTERS
        yield Node(
            kind,
            data[at : at + header],
            list(_elements(body)) if holds else body,
            Size(wide, width, "vint"),
        )
        at += header + length
    yield from _rest(data, at)


# EBML, Segment, SeekHead, Seek, Info, Cluster, BlockGroup, Tracks, TrackEntry, Video, Colour,
# Audio, ContentEncodings, ContentEncoding, Cues, CuePoint, CueTrackPositions, Tags, Tag
_MASTERS = """
1a45dfa3 18538067 114d9b74 4dbb 1549a966 1f43b675 a0 1654ae6b ae e0 55b0 e1
6d80 6240 1c53bb6b bb b7 1254c367 7373
""".split()  # noqa: SIM905


def _pages(data: bytes) -> Pieces:
    """Ogg."""
    at = 0
    while data[at : at + 4] == b"OggS" and at + 27 <= len(data):
        header = 27 + data[at + 26]
        length = sum(data[at + 27 : at + header])
        kind = b"page" if data[at + 5] & 2 == 0 else b"first"
        head, body = data[at : at + header], data[at + header : at + header + length]
        yield Node(kind, head, body, seal=_ogg_checksum)
        at += header + length
    yield from _rest(data, at)


def _ogg_checksum(page: bytes) -> bytes:
    if len(page) < 27:
        return page
    page = page[:22] + bytes(4) + page[26:]
    value = 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ _OGG_TABLE[value >> 24 ^ byte]
    return page[:22] + value.to_bytes(4, "little") + page[26:]


def _ogg_row(value: int) -> int:
    for _ in range(8):
        value = value << 1 & 0xFFFFFFFF ^ (0x04C11DB7 if value >> 31 else 0)
    return value


_OGG_TABLE = [_ogg_row(byte << 24) for byte in range(256)]


def _sized(
    data: bytes, first: int, header: int, size: Size, tail: int = 0, kind: slice = slice(0, 0)
) -> Pieces:
    """A file header of `first` bytes, then pieces of one kind of head and as long as `size` says.

    kind: the place in a head where it says what the piece is.
    """
    if first:
        yield Node(b"header", b"", data[:first])
    at = first
    order: Literal["big", "little"] = "little" if size.order == "little" else "big"
    while at + header <= len(data):
        head = data[at : at + header]
        value = int.from_bytes(head[size.offset : size.offset + size.width], order)
        length = value - size.more
        if value == (1 << 8 * size.width) - 1:  # to the end, in CAF
            length = len(data) - at - header
        if not 0 <= length <= len(data) - at - header:
            break
        body = data[at + header : at + header + length]
        end = at + header + length + tail
        parts = list(_slices(body)) if length > len(data) // 4 else body
        yield Node(head[kind] or b"piece", head, parts, size, data[end - tail : end])
        at = end
    yield from _rest(data, at)


def _at(pattern: bytes, header: int) -> Callable[[bytes], Pieces]:
    """Pieces that begin where `pattern` does, as packets after their sync words."""

    def parse(data: bytes) -> Pieces:
        places = [match.start() for match in re.finditer(pattern, data, re.DOTALL)]
        for at, end in zip([0, *places], [*places, len(data)], strict=True):
            if piece := data[at:end]:
                yield Node(piece[:4], piece[:header], piece[header:])

    return parse


def _flac(data: bytes) -> Pieces:
    yield Node(b"fLaC", data[:4], b"")
    at, last = 4, False
    while not last and at + 4 <= len(data):
        last = data[at] >= 128
        length = int.from_bytes(data[at + 1 : at + 4])
        yield Node(
            b"metadata", data[at : at + 4], data[at + 4 : at + 4 + length], Size(1, 3, "big")
        )
        at += 4 + length
    yield from _at(rb"\xff[\xf8\xf9]", 6)(data[at:])


def _klv(data: bytes) -> Pieces:
    """MXF: 16 bytes of key, a BER length."""
    at = 0
    while at + 17 <= len(data):
        first = data[at + 16]
        width = first - 128 if first > 128 else 0
        header = 17 + width
        length = int.from_bytes(data[at + 17 : at + header]) if width else first
        if width > 8 or length > len(data) - at - header:
            break
        size = Size(17, width, "big") if width else None
        body = data[at + header : at + header + length]
        yield Node(data[at : at + 16], data[at : at + header], body, size)
        at += header + length
    yield from _rest(data, at)


def _gif(data: bytes) -> Pieces:
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 128 else 0)
    yield Node(b"header", b"", data[:at])
    while at < len(data) and data[at] in b"\x21\x2c":
        start, kind = at, data[at : at + 1]
        at += 2
        if kind == b"\x2c" and start + 10 <= len(data):
            flags = data[start + 9]
            at = start + 11 + (3 << (flags & 7) + 1 if flags & 128 else 0)
        head = data[start:at]
        begin = at
        while at < len(data) and data[at]:
            at += 1 + data[at]
        at += 1
        yield Node(kind, head, data[begin:at])
    yield from _rest(data, at)


def _rest(data: bytes, at: int) -> Pieces:
    if at < len(data):
        yield from _slices(data[at:])


_FORMATS: tuple[tuple[bytes, Callable[[bytes], Pieces]], ...] = (
    (rb"....(ftyp|moov|wide|mdat|free)", _boxes),
    (rb"RIFF", _chunks),
    (rb"FORM", lambda data: _chunks(data, "big")),
    (rb"riff\x2e\x91", lambda data: _guids(data, 8)),
    (rb"\x30\x26\xb2\x75", _guids),
    (rb"\x1a\x45\xdf\xa3", _elements),
    (rb"OggS", _pages),
    (rb"caff", lambda data: _sized(data, 8, 12, Size(4, 8, "big"), kind=slice(0, 4))),
    (rb"DSD ", lambda data: _sized(data, 28, 12, Size(4, 8, "little", 12), kind=slice(0, 4))),
    (rb"\.RMF", lambda data: _sized(data, 0, 10, Size(4, 4, "big", 10), kind=slice(0, 4))),
    (rb"FLV", lambda data: _sized(data, 13, 11, Size(1, 3, "big"), 4, slice(0, 1))),
    (rb"DKIF", lambda data: _sized(data, 32, 12, Size(0, 4, "little"))),
    (rb"wvpk", lambda data: _sized(data, 0, 32, Size(4, 4, "little", 24))),
    (rb"fLaC", _flac),
    (rb"\x06\x0e\x2b\x34", _klv),
    (rb"GIF8", _gif),
    (rb"nut/multimedia", _at(rb"N(M\x7a|S\x11|K\xe4|X\xdd|I\xab)", 8)),
    (rb"\x47.{187}\x47", lambda data: _packets(data)),
    (rb"\x00\x00\x01\xba", _at(rb"\x00\x00\x01[\xb9-\xff]", 6)),
    (rb"\x00\x00(\x00)?\x01", _at(rb"\x00\x00\x01", 4)),
    (rb"ID3|\xff[\xe2-\xfb]", _at(rb"\xff[\xf2-\xfb]", 4)),
    (rb"\x0b\x77", _at(rb"\x0b\x77", 6)),
)


def _packets(data: bytes) -> Pieces:
    """MPEG transport streams."""
    for at in range(0, len(data), 188):
        pid = data[at + 1 : at + 3]
        yield Node(pid, data[at : at + 4], data[at + 4 : at + 188])
