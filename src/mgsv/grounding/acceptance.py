"""A grounding that a person accepts becomes a use."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mgsv.errors import ConfigError, LibraryError, shown
from mgsv.grounding.result import SCHEMA, Grounding
from mgsv.library.library import Library
from mgsv.library.walk import plain
from mgsv.memory.use import Use, packed_cuts
from mgsv.moment import Moment

LARGEST_FILE = 50_000_000
"""Bytes of a result that are read; one of a thousand moments has less than one million."""


@dataclass(frozen=True)
class SeenOfClip:
    """What is remembered of a clip's picture: pooled features, what made them, and seconds of
    cuts."""

    feats: bytes = b""
    encoder: str = ""
    cuts: tuple[float, ...] = ()


def accept(
    found: Grounding, library: Library, rank: int = 1, *, category: str = ""
) -> tuple[Use, bool]:
    """Remember in `library` that the moment of `rank` was used; the use, and whether it is new.

    A choice made earlier for the same video is replaced. ConfigError where there is no such rank.
    """
    chosen = next((moment for moment in found if moment.rank == rank), None)
    if chosen is None:
        raise ConfigError(f"`rank` {rank}: there are {len(found)} moments")
    seen = SeenOfClip(*found.clip_feats, tuple(found.curves.cuts.tolist()))
    return accept_moment(
        library,
        os.fsencode(chosen.track.path),
        chosen.moment,
        video=found.video.path,
        video_seconds=found.video.duration,
        category=category,
        seen=seen,
    )


def accept_result(
    library: Library, path: str | os.PathLike[str], *, rank: int = 1, category: str = ""
) -> tuple[Use, bool]:
    """Remember the moment of `rank` in the result file `path`; the use, and whether it is new.

    ConfigError where the file is no result or has no such rank, LibraryError where the library does
    not hold the track.
    """
    document = _read(path)
    try:
        found = next((m for m in document["moments"] if m["rank"] == rank), None)
        if found is None:
            ranks = ", ".join(str(m["rank"]) for m in document["moments"])
            raise ConfigError(f"`rank` {rank}: not in {shown(path)}", f"it has {ranks}")
        moment = Moment(float(found["start"]), float(found["end"]))
        seconds = float(document["video"]["duration"])
        track, video = os.fsencode(found["track"]), Path(document["video"]["path"])
        cuts = tuple(float(time) for time in document["video"].get("cuts", []))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise _no_result(path) from error
    if not (0 < seconds < math.inf and moment.start >= 0 and moment.duration > 0):
        raise _no_result(path)
    return accept_moment(
        library,
        track,
        moment,
        video=video,
        video_seconds=seconds,
        category=category,
        seen=SeenOfClip(cuts=cuts),
    )


def accept_moment(
    library: Library,
    track: bytes,
    moment: Moment,
    *,
    video: Path,
    video_seconds: float,
    category: str = "",
    seen: SeenOfClip = SeenOfClip(),
) -> tuple[Use, bool]:
    """Remember that `video` uses `moment` of the track at the path `track`; see `accept_result`."""
    place = Path(os.fsdecode(track))
    id = library.uses.track_at(place)
    if id is None:
        raise LibraryError(f"{shown(place)}: not in this library", "add it with `mgsv library add`")
    use = Use(
        track=id,
        start=moment.start,
        end=moment.end,
        track_seconds=0.0,  # the library knows
        video=video_name(video),
        video_start=0.0,
        video_end=min(video_seconds, moment.duration),
        category=category,
        feats=seen.feats,
        encoder=seen.encoder,
        cuts=packed_cuts(seen.cuts, moment.duration),
    )
    return use, library.uses.accept(use)


def video_name(path: Path) -> str:
    """What is kept of a video's path: its name and a mark that distinguishes files of one name."""
    whole = plain(path)
    mark = hashlib.blake2b(whole, digest_size=4).hexdigest()
    name = os.path.basename(whole)  # noqa: PTH119 (bytes)
    return f"{name.decode('utf-8', 'backslashreplace')}~{mark}".replace("\\", "_")


def _read(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        with Path(path).open("rb") as file:
            document = json.loads(file.read(LARGEST_FILE))
    except OSError as error:
        raise ConfigError(f"{shown(path)}: {error.strerror}", "check the path") from error
    except (ValueError, RecursionError) as error:
        raise _no_result(path) from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise _no_result(path)
    return document


def _no_result(path: str | os.PathLike[str]) -> ConfigError:
    return ConfigError(
        f"{shown(path)}: not a result of `mgsv ground --json`", "write one and name it"
    )
