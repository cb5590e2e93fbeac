"""Variants of a media file, each damaged in a way that its format can be: deterministic by a seed.

Most changes go to what is short: headers, where sizes, counts, durations, channels and flags stand.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fuzz_containers import Node, parsed

MOST = 4
"""Changes to one file."""
HEADER = 400
"""Bytes of a body up to which it counts as a header."""

# Values at which sizes, counts, times and channels turn over, or that promise too much.
_VALUES = (0, 1, 2, 3, 5, 7, 8, 9, 16, 37, 64, 65, 127, 128, 255, 256, 1000, 8000, 32767, 32768)
_VALUES += (65535, 65536, 10**6, 2**24 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63)
_WIDTHS = (1, 1, 2, 2, 4, 4, 8)


def mutated(data: bytes, donor: bytes, seed: str) -> tuple[bytes, list[str]]:
    """`data` after one to `MOST` changes, and what they were. donor: a file to graft from."""
    rng = random.Random(seed)
    while True:
        changed, notes = _variant(data, donor, rng)
        if changed != data:
            return changed, notes


def _variant(data: bytes, donor: bytes, rng: random.Random) -> tuple[bytes, list[str]]:
    root, notes = parsed(data), []
    for _ in range(min(MOST, 1 + int(rng.expovariate(0.9)))):
        places = list(_places(root))
        headers = [place for place in places if place.is_header()]
        if not places:
            break
        place = rng.choice(headers if headers and rng.random() < 0.7 else places)
        change = rng.choice(_CHANGES)
        name = place.node.kind[:8].decode("ascii", "backslashreplace")
        notes.append(f"{name}: {change(place, rng)}")
        if rng.random() < 0.7:  # mostly the heads around it tell the new lengths
            place.repair()
    whole = bytes(root)
    if rng.random() < 0.15:
        whole, note = rng.choice(_WHOLE)(whole, donor, rng)
        notes.append(note)
    elif rng.random() < 0.15 and (places := list(_places(root))):
        place, others = rng.choice(places), list(_places(parsed(donor)))
        alike = [other for other in others if other.node.kind == place.node.kind]
        other = rng.choice(alike if alike and rng.random() < 0.7 else others)
        place.siblings[place.index : place.index + rng.choice((0, 1))] = [other.node]
        place.repair()
        whole = bytes(root)
        notes.append(f"graft {other.node.kind[:8]!r} of another file at {place.node.kind[:8]!r}")
    return whole, notes


@dataclass
class Place:
    """A node among its siblings, and the nodes that hold them, outermost first."""

    siblings: list[Node]
    index: int
    above: list[Node]

    def __post_init__(self) -> None:
        self.node = self.siblings[self.index]

    def is_header(self) -> bool:
        body = self.node.body
        return isinstance(body, list) or (len(body) < HEADER and self.node.kind != b"slice")

    def repair(self) -> None:
        for node in reversed(self.above):
            node.claim()


def _places(node: Node, above: tuple[Node, ...] = ()) -> Iterator[Place]:
    if isinstance(node.body, list):
        for index, child in enumerate(node.body):
            yield Place(node.body, index, [*above, node])
            yield from _places(child, (*above, node))


# --- changes at a place ---------------------------------------------------------------------------


def _edit(place: Place, rng: random.Random) -> str:
    """Put a value where a number may stand."""
    node = place.node
    in_head = not isinstance(node.body, bytes) or not node.body or rng.random() < 0.15
    text = bytearray(node.head if in_head else node.body)
    if not text:
        return "nothing"
    width = rng.choice([width for width in _WIDTHS if width <= len(text)])
    at = rng.randrange(len(text) - width + 1)
    at -= at % width if rng.random() < 0.7 else 0
    order = rng.choice(("big", "little"))
    old = int.from_bytes(text[at : at + width], order)
    near = (old + 1, old - 1, old * 2, old // 2, old << 8, ~old, old ^ 1 << rng.randrange(64))
    value = rng.choice(_VALUES if rng.random() < 0.6 else near) % (1 << 8 * width)
    text[at : at + width] = value.to_bytes(width, order)
    if in_head:
        node.head = bytes(text)
    else:
        node.body = bytes(text)
    return f"{'head' if in_head else 'body'}[{at}:{at + width}] {old} -> {value} {order}"


def _lie(place: Place, rng: random.Random) -> str:
    length = len(place.node.content())
    value = rng.choice((*_VALUES, length - 1, length + 1, length * 2, length // 2, -8))
    place.node.claim(value)
    return f"claims {value} bytes, has {length}"


def _drop(place: Place, _: random.Random) -> str:
    del place.siblings[place.index]
    return "dropped"


def _double(place: Place, rng: random.Random) -> str:
    times = rng.choice((1, 1, 1, 2, 8, 40))
    node = place.node
    copy = Node(node.kind, node.head, node.content(), node.size, node.tail, node.seal)
    place.siblings[place.index : place.index] = [copy] * times
    return f"doubled {times} times"


def _swap(place: Place, rng: random.Random) -> str:
    other = rng.randrange(len(place.siblings))
    place.siblings[place.index] = place.siblings[other]
    place.siblings[other] = place.node
    return f"changes places with number {other}"


def _shorten(place: Place, rng: random.Random) -> str:
    content = place.node.content()
    place.node.body = content[: rng.randrange(len(content) + 1)]
    place.above.append(place.node)
    return f"{len(content)} bytes cut to {len(place.node.body)}"


def _lengthen(place: Place, rng: random.Random) -> str:
    more = rng.choice((1, 4, 16, 300, 70_000))
    place.node.body = place.node.content() + _filling(more, rng)
    place.above.append(place.node)
    return f"{more} bytes more"


def _flip(place: Place, rng: random.Random) -> str:
    content = bytearray(place.node.content())
    count = rng.choice((1, 1, 2, 8, 64))
    for _ in range(count if content else 0):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    place.node.body = bytes(content)
    return f"{count} bits flipped"


def _wipe(place: Place, rng: random.Random) -> str:
    content = place.node.content()
    at = rng.randrange(len(content) + 1)
    length = min(rng.choice((1, 4, 16, 64, 1024, 1 << 20)), len(content) - at)
    place.node.body = content[:at] + _filling(length, rng) + content[at + length :]
    return f"[{at}:{at + length}] overwritten"


def _rename(place: Place, rng: random.Random) -> str:
    """Say that a node is of a kind that another one is."""
    node, other = place.node, rng.choice(place.siblings)
    node.head = node.head.replace(node.kind, other.kind, 1)
    return f"called {other.kind[:8]!r}"


_CHANGES: tuple[Callable[[Place, random.Random], str], ...] = (
    *(_edit,) * 6,
    *(_lie, _drop, _double, _swap, _shorten, _lengthen, _flip, _flip, _wipe, _rename),
)


# --- changes to the whole file --------------------------------------------------------------------


def _cut(data: bytes, _: bytes, rng: random.Random) -> tuple[bytes, str]:
    at = rng.randrange(len(data) + 1)
    return data[:at], f"cut at {at}"


def _splice(data: bytes, donor: bytes, rng: random.Random) -> tuple[bytes, str]:
    here, there = rng.randrange(len(data) + 1), rng.randrange(len(donor) + 1)
    return data[:here] + donor[there:], f"from {here} on another file from {there} on"


def _shift(data: bytes, _: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Lose or add some bytes in the middle."""
    at, count = rng.randrange(len(data) + 1), rng.choice((1, 2, 188, 4096))
    if rng.random() < 0.5:
        return data[:at] + data[at + count :], f"{count} bytes lost at {at}"
    return data[:at] + rng.randbytes(count) + data[at:], f"{count} bytes added at {at}"


_WHOLE = (_cut, _splice, _shift)


def _filling(length: int, rng: random.Random) -> bytes:
    return rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length)))
