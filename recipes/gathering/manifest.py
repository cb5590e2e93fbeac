"""The corpus's list of contents, `manifest.json`: what each item is, and which split it is in."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from gathering.sources import KINDS, Kind
from mgsv.errors import DataError
from mgsv.files import write_file

SCHEMA = "mgsv.corpus/1"
NAME = "manifest.json"
Split = Literal["train", "val", "test"]
SHARES: dict[Split, float] = {"train": 0.7, "val": 0.1, "test": 0.2}
MIN_EXCERPT = 60.0


@dataclass(frozen=True)
class Item:
    """A track, an excerpt of one, a picture or a clip.

    file: below the corpus's folder; excerpts of one track name the same file. path: inside the
    package. seconds: of the item (an excerpt's own length), None for pictures. width, height:
    pixels, None for music. group: items of one group are nearly the same, or parts of the same.
    excerpt: [start, end] in seconds on the file, None for the whole.
    """

    id: str
    kind: Kind
    file: str
    package: str
    version: str
    path: str
    licence: str
    sha256: str
    group: str
    split: Split
    seconds: float | None = None
    width: int | None = None
    height: int | None = None
    excerpt: tuple[float, float] | None = None


def write_manifest(folder: Path, items: Sequence[Item]) -> Path:
    """Write `items` to `manifest.json` in `folder`."""
    path = folder / NAME
    body = {"schema": SCHEMA, "items": [asdict(item) for item in items]}
    write_file(path, json.dumps(body, indent=1) + "\n", overwrite=True)
    return path


def read_manifest(folder: Path) -> list[Item]:
    """The items of the corpus in `folder`.

    Raises `DataError`, with the item and field, for a manifest that is missing, of another schema
    or makes no sense: wrong types, a file outside the folder, a group in two splits, overlapping
    excerpts.
    """
    path = folder / NAME
    try:
        body = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _bad(path, f"it cannot be read ({error})") from error
    if not isinstance(body, dict) or body.get("schema") != SCHEMA:
        raise _bad(path, f'its schema is not "{SCHEMA}"')
    listed = body.get("items")
    if not isinstance(listed, list):
        raise _bad(path, 'it has no list of "items"')
    items = [_item(path, place, values) for place, values in enumerate(listed)]
    _check_together(path, items)
    return items


def assign_splits(sizes: Mapping[str, int], seed: str = "") -> dict[str, Split]:
    """A split for each unit (a group, a family of packages) of so many items.

    In order of the units' hashes, each goes where most is missing to `SHARES`; so the same units
    always come out the same, and shares are as near as the largest unit lets them.
    """
    total = sum(sizes.values())
    filled = dict.fromkeys(SHARES, 0)
    splits: dict[str, Split] = {}
    order = sorted(sizes, key=lambda unit: hashlib.sha256((seed + unit).encode()).digest())
    # Large ones first, in steps of doubling size, or a last large one would spoil the shares.
    for unit in sorted(order, key=lambda unit: -int(math.log2(max(1, sizes[unit])))):
        split = max(SHARES, key=lambda name: SHARES[name] * total - filled[name])
        splits[unit] = split
        filled[split] += sizes[unit]
    return splits


def cut_excerpts(items: Sequence[Item], wanted: int) -> list[Item]:
    """`items` with long tracks cut into disjoint excerpts until there are `wanted`.

    The longest are cut first and no shorter than needed: into parts of equal length of at most
    240 s, then 180, then 120. Where `wanted` are there already, `items` as they are.
    """
    if len(items) >= wanted:
        return list(items)
    parts: dict[str, int] = dict.fromkeys((item.id for item in items), 1)
    longest = sorted(items, key=lambda item: (-(item.seconds or 0), item.id))
    for limit in (240.0, 180.0, 120.0):
        for item in longest:
            if sum(parts.values()) >= wanted:
                break
            seconds = item.seconds or 0.0
            if seconds > limit and seconds / math.ceil(seconds / limit) >= MIN_EXCERPT:
                parts[item.id] = math.ceil(seconds / limit)
    return [part for item in items for part in _parts(item, parts[item.id])]


def _parts(item: Item, count: int) -> list[Item]:
    if count == 1:
        return [item]
    edges = [round((item.seconds or 0.0) * at / count, 3) for at in range(count + 1)]
    return [
        replace(
            item, id=f"{item.id}-part{at + 1}", seconds=round(end - start, 3), excerpt=(start, end)
        )
        for at, (start, end) in enumerate(itertools.pairwise(edges))
    ]


def table(items: Iterable[Item]) -> str:
    """Packages with their items, hours and licences, as a Markdown table."""
    rows = [
        "| package | version | tracks | hours | pictures | clips | licences |",
        "|---|---|--:|--:|--:|--:|---|",
    ]
    by_package: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        by_package.setdefault((item.package, item.version), []).append(item)
    for (package, version), members in sorted(by_package.items()):
        rows.append(f"| `{package}` | {version} | {_counts(members)} | {_licences(members)} |")
    everything = [item for members in by_package.values() for item in members]
    rows.append(f"| **all** | | {_counts(everything)} | |")
    return "\n".join(rows) + "\n"


def _counts(items: Sequence[Item]) -> str:
    music = [item for item in items if item.kind == "music"]
    tracks = len({item.file for item in music})
    hours = sum(item.seconds or 0 for item in music) / 3600
    pictures, clips = (sum(item.kind == kind for item in items) for kind in ("picture", "clip"))
    return f"{tracks or ''} | {f'{hours:.2f}' if tracks else ''} | {pictures or ''} | {clips or ''}"


def _licences(items: Sequence[Item]) -> str:
    names = sorted({item.licence for item in items})
    return ", ".join(name.replace("|", "/") for name in names)


def _item(path: Path, place: int, values: Any) -> Item:
    where = f"item {place}"
    if not isinstance(values, dict):
        raise _bad(path, f"{where} is no object")
    names = {field.name for field in fields(Item)}
    if unknown := sorted(set(values) - names):
        raise _bad(path, f'{where} has an unknown field "{unknown[0]}"')
    if missing := sorted(names - set(values)):
        raise _bad(path, f'{where} lacks "{missing[0]}"')
    texts = ("id", "file", "package", "version", "path", "licence", "sha256", "group")
    for name in texts:
        if not isinstance(values[name], str) or not values[name]:
            raise _bad(path, f'{where}: "{name}" is no text')
    where = f'item "{values["id"]}"'
    if values["kind"] not in KINDS:
        raise _bad(path, f'{where}: "kind" is none of {", ".join(KINDS)}')
    if values["split"] not in get_args(Split):
        raise _bad(path, f'{where}: "split" is none of {", ".join(get_args(Split))}')
    file = PurePosixPath(values["file"])
    if file.is_absolute() or ".." in file.parts:
        raise _bad(path, f'{where}: "file" leads out of the folder')
    has_time, has_size = values["kind"] != "picture", values["kind"] != "music"
    for name, wanted in (("seconds", has_time), ("width", has_size), ("height", has_size)):
        if (_positive(values[name]) if wanted else values[name] is None) is False:
            raise _bad(path, f'{where}: "{name}" is {values[name]!r}')
    if (excerpt := values["excerpt"]) is not None:
        if not isinstance(excerpt, list) or len(excerpt) != 2 or not _positive(excerpt[1]):
            raise _bad(path, f'{where}: "excerpt" is not [start, end]')
        start, end = excerpt
        if not isinstance(start, int | float) or not 0 <= start < end:
            raise _bad(path, f'{where}: "excerpt" is not [start, end]')
        excerpt = (float(start), float(end))
    return Item(**{**values, "excerpt": excerpt})


def _check_together(path: Path, items: Sequence[Item]) -> None:
    ids: set[str] = set()
    split_of: dict[tuple[str, str], Split] = {}
    ends: dict[str, float] = {}
    for item in sorted(items, key=lambda item: (item.file, item.excerpt or (0.0, 0.0))):
        if item.id in ids:
            raise _bad(path, f'two items have the id "{item.id}"')
        ids.add(item.id)
        if split_of.setdefault((item.kind, item.group), item.split) != item.split:
            raise _bad(path, f'the group "{item.group}" is in two splits')
        start, end = item.excerpt or (0.0, math.inf)
        if start < ends.get(item.file, 0.0):
            raise _bad(path, f'item "{item.id}" overlaps another part of {item.file}')
        ends[item.file] = end


def _positive(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and value > 0


def _bad(path: Path, problem: str) -> DataError:
    return DataError(path, problem, "gather the corpus again with recipes/corpus.py")
