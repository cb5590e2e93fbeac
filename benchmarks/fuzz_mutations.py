"""Variants of a media file, each damaged in a way that its format can be: deterministic by a seed.

Most changes go to what is short: headers, where sizes, counts, durations, channels and flags stand.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

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
        change = rng.choice(_CHANGES)
        place = _chosen(root, rng)
        if place is not None:
            notes.append(f"{change.__name__.strip('_')} {change(*place, donor, rng)}")
    whole = bytes(root)
    if rng.random() < 0.15:
        change = rng.choice(_WHOLE)
        whole, note = change(whole, donor, rng)
        notes.append(f"{change.__name__.strip('_')} {note}")
    return whole, notes


Place = tuple[list[Node], int, list[Node]]
"""Siblings, the place of the chosen one among them, and the nodes that hold them, outermost first."""


def _chosen(root: Node, rng: random.Random) -> Place | None:
    """One node, of any depth."""
    places = list(_places(root, []))
    headers = [place for place in places if _is_header(place[0][place[1]])]
    if headers and rng.random() < 0.7:
        return rng.choice(headers)
    return rng.choice(places) if places else None


def _places(node: Node, above: list[Node]) -> Iterator[Place]:
    if isinstance(node.body, list):
        for index, child in enumerate(node.body):
            yield node.body, index, [*above, node]
            yield from _places(child, [*above, node])


def _is_header(node: Node) -> bool:
    return isinstance(node.body, list) or (len(node.body) < HEADER and node.kind != b"slice")


def _edit(siblings: list[Node], index: int, above: list[Node], _: bytes, rng: random.Random) -> str:
    """Put a value where a number may stand."""
    node = siblings[index]
    in_head = not isinstance(node.body, bytes) or not node.body or rng.random() < 0.15
    text = bytearray(node.head if in_head else node.body)
    if not text:
        return "nothing"
    width = rng.choice([w for w in _WIDTHS if w <= len(text)])
    at = rng.randrange(0, len(text) - width + 1)
    at -= at % width if rng.random() < 0.7 else 0
    order = rng.choice(("big", "little"))
    old = int.from_bytes(text[at : at + width], order)
    near = (
        old + 1,
        old - 1,
        old * 2,
        old // 2,
        old << 8,
        ~old,
        old ^ 1 << rng.randrange(8 * width),
    )
    value = (rng.choice(_VALUES) if rng.random() < 0.6 else rng.choice(near)) % (1 << 8 * width)
    text[at : at + width] = value.to_bytes(width, order)
    if in_head:
        node.head = bytes(text)
    else:
        node.body = bytes(text)
    return f"{_named(node)}[{at}:{at + width}] {old} -> {value} {order}"


def _lie(siblings: list[Node], index: int, above: list[Node], _: bytes, rng: random.Random) -> str:
    """Claim another length."""
    node = siblings[index]
    length = len(node.content())
    value = rng.choice((*_VALUES, length - 1, length + 1, length * 2, length // 2, -8))
    node.claim(value)
    return f"{_named(node)} {length} -> {value}"


def _drop(siblings: list[Node], index: int, above: list[Node], _: bytes, rng: random.Random) -> str:
    node = siblings.pop(index)
    _repair(above, rng)
    return _named(node)


def _double(
    siblings: list[Node], index: int, above: list[Node], _: bytes, rng: random.Random
) -> str:
    times = rng.choice((1, 1, 1, 2, 8, 40))
    copy = parsed_again(siblings[index])
    siblings[index:index] = [copy] * times
    _repair(above, rng)
    return f"{_named(copy)} x {times}"


def _swap(siblings: list[Node], index: int, above: list[Node], _: bytes, rng: random.Random) -> str:
    other = rng.randrange(len(siblings))
    siblings[index], siblings[other] = siblings[other], siblings[index]
    return f"{_named(siblings[index])} {_named(siblings[other])}"


def _shorten(
    siblings: list[Node], index: int, above: list[Node], _: bytes, rng: random.Random
) -> str:
    node = siblings[index]
    content = node.content()
    keep = rng.randrange(len(content) + 1)
    node.body = content[:keep]
    _repair([*above, node], rng)
    return f"{_named(node)} {len(content)} -> {keep}"


def _lengthen(
    siblings: list[Node], index: int, above: list[Node], _: bytes, rng: random.Random
) -> str:
    node = siblings[index]
    more = rng.choice((1, 4, 16, 300, 70_000))
    node.body = node.content() + rng.choice((bytes(more), b"\xff" * more, rng.randbytes(more)))
    _repair([*above, node], rng)
    return f"{_named(node)} + {more}"


def _flip(siblings: list[Node], index: int, above: list[Node], _: bytes, rng: random.Random) -> str:
    node = siblings[index]
    content = bytearray(node.content())
    if not content:
        return "nothing"
    count = rng.choice((1, 1, 2, 8, 64))
    for _bit in range(count):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    node.body = bytes(content)
    return f"{_named(node)} {count} bits"


def _wipe(siblings: list[Node], index: int, above: list[Node], _: bytes, rng: random.Random) -> str:
    node = siblings[index]
    content = bytearray(node.content())
    if not content:
        return "nothing"
    at = rng.randrange(len(content))
    length = min(rng.choice((1, 4, 16, 64, 1024, 1 << 20)), len(content) - at)
    fill = rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length)))
    content[at : at + length] = fill
    node.body = bytes(content)
    return f"{_named(node)}[{at}:{at + length}]"


def _graft(
    siblings: list[Node], index: int, above: list[Node], donor: bytes, rng: random.Random
) -> str:
    """Put a node of another file beside or in the place of one, of the same kind if there is one."""
    others = [each[index] for each, index, _ in _places(parsed(donor), [])]
    if not others:
        return "nothing"
    alike = [node for node in others if node.kind == siblings[index].kind]
    node = rng.choice(alike if alike and rng.random() < 0.7 else others)
    siblings[index : index + rng.choice((0, 1))] = [node]
    _repair(above, rng)
    return f"{_named(node)} of another file"


def _rename(
    siblings: list[Node], index: int, above: list[Node], _: bytes, rng: random.Random
) -> str:
    """Say that a node is of a kind that another one is."""
    node, other = siblings[index], rng.choice(siblings)
    if other.kind == node.kind or node.kind not in node.head:
        return "nothing"
    before = _named(node)
    node.head = node.head.replace(node.kind, other.kind, 1)
    return f"{before} -> {_named(other)}"


def _cut(data: bytes, _: bytes, rng: random.Random) -> tuple[bytes, str]:
    at = rng.randrange(len(data) + 1)
    return data[:at], f"at {at}"


def _splice(data: bytes, donor: bytes, rng: random.Random) -> tuple[bytes, str]:
    here, there = rng.randrange(len(data) + 1), rng.randrange(len(donor) + 1)
    return data[:here] + donor[there:], f"at {here} with another file from {there}"


def _shift(data: bytes, _: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Lose or add some bytes in the middle."""
    at, count = rng.randrange(len(data) + 1), rng.choice((1, 2, 188, 4096))
    if rng.random() < 0.5:
        return data[:at] + data[at + count :], f"{count} lost at {at}"
    return data[:at] + rng.randbytes(count) + data[at:], f"{count} added at {at}"


_CHANGES: tuple[Callable[..., str], ...] = (
    *(_edit,) * 6,
    *(_lie, _drop, _double, _swap, _shorten, _lengthen, _flip, _flip, _wipe, _graft, _rename),
)
_WHOLE = (_cut, _splice, _shift)


def _repair(above: list[Node], rng: random.Random) -> None:
    """Mostly let the heads of the nodes around a change tell the new lengths."""
    if rng.random() < 0.7:
        for node in reversed(above):
            node.claim()


def parsed_again(node: Node) -> Node:
    """A copy that does not change with `node`."""
    return Node(node.kind, node.head, node.content(), node.size, node.tail, node.seal)


def _named(node: Node) -> str:
    return node.kind[:8].decode("ascii", "backslashreplace")
