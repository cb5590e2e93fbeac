"""Pictures of why the moments of a grounding fit their clip, one file per moment."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from mgsv.drawing import Kind
from mgsv.errors import ConfigError, shown
from mgsv.explanation.facts import Facts
from mgsv.files import check_output, write_file
from mgsv.grounding.result import Grounding, RankedMoment
from mgsv.media.isolated import VideoScan
from mgsv.media.video import Frame

if TYPE_CHECKING:
    from mgsv.library import Library

PathLike = str | os.PathLike[str]
SCHEMA = "mgsv.explanation/1"
"""Of the documents that `mgsv explain --json` prints."""
FILM_FRAMES, FILM_PIXELS = 12, 96
"""Pictures in a film strip, and the shorter side of each."""
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Explained:
    """A moment, the picture that was written of it, and the sentences on it."""

    moment: RankedMoment
    path: Path
    reasons: tuple[str, ...]


def explain(
    found: Grounding,
    library: Library,
    output: PathLike | None = None,
    *,
    format: Kind | None = None,
    overwrite: bool = False,
) -> tuple[Explained, ...]:
    """Draw each moment of `found`, and say where the pictures are, best moment first.

    Args:
        found: what `mgsv.ground` answered.
        library: where it looked, still open.
        output: a folder, or a file in .png or .svg; None: beside the clip. See `picture_paths`.
        format: "png" or "svg" where `output` names no file; None: png.
        overwrite: replace pictures of an earlier run.

    Raises:
        ConfigError: an unknown format, or one that is not the output's.
        OutputError: a picture cannot be written, or exists and `overwrite` is false.
        LibraryError: a track's features are gone or damaged.
    """
    paths = picture_paths(found.video.path, len(found), output, format=format, overwrite=overwrite)
    frames = clip_pictures(found)
    written = []
    for moment, path in zip(found, paths, strict=True):
        data, reasons = draw_moment(found, moment, library, frames, kind_of(path))
        write_file(path, data, overwrite=overwrite)
        written.append(Explained(moment, path, reasons))
    return tuple(written)


def draw_moment(
    found: Grounding, moment: RankedMoment, library: Library, frames: tuple[Frame, ...], kind: Kind
) -> tuple[bytes, tuple[str, ...]]:
    """The picture of one of the moments, as a file, and the sentences on it."""
    from mgsv.explanation.picture import picture

    facts = Facts.of(found, moment, library.features(moment.track), frames)
    return picture(facts, kind), facts.reasons


def as_dict(found: Grounding, pictures: Sequence[Explained]) -> dict[str, Any]:
    """The document of `mgsv explain --json`: that of `mgsv ground`, and the pictures."""
    return {
        "schema": SCHEMA,
        "pictures": [
            {"rank": one.moment.rank, "path": os.fspath(one.path), "reasons": list(one.reasons)}
            for one in pictures
        ],
        "grounding": found.as_dict(),
    }


def picture_paths(
    video: PathLike,
    count: int,
    output: PathLike | None = None,
    *,
    format: Kind | None = None,
    overwrite: bool = False,
) -> tuple[Path, ...]:
    """Where the pictures of `count` moments of `video` go; raises as `explain` does.

    `clip.explain.1.png`, `clip.explain.2.png`, … beside the clip or in the folder `output`. A file
    `why.svg` stands for itself where there is one moment, else for `why.1.svg`, `why.2.svg`, ….
    """
    if format is not None and format not in KINDS:
        raise ConfigError(f"`format` {format}: unknown", f"choose {' or '.join(KINDS)}")
    video = Path(video)
    target = video.parent if output is None else Path(output)
    names: Sequence[str]
    if target.is_dir():
        folder = target
        names = [f"{video.stem}.explain.{n}.{format or 'png'}" for n in range(1, count + 1)]
    else:
        folder = target.parent
        if not target.suffix:
            raise ConfigError(
                f"`output` {shown(target)}: no folder of that name exists",
                "make it first, or name a .png or .svg file",
            )
        if format and target.suffix.lower() != f".{format}":
            raise ConfigError(
                f"`format` {format} is not the ending of {shown(target)}",
                "leave one of them out, or name a folder that exists",
            )
        numbers = [""] if count == 1 else [f".{n}" for n in range(1, count + 1)]
        names = [f"{target.stem}{number}{target.suffix}" for number in numbers]
    endings = [f".{kind}" for kind in KINDS]
    return tuple(
        check_output(folder / name, endings, overwrite=overwrite, inputs=[video]) for name in names
    )


def clip_pictures(found: Grounding) -> tuple[Frame, ...]:
    """Small pictures of the clip at whole seconds, evenly spaced, at most FILM_FRAMES."""
    step = max(1, math.ceil(found.curves.duration / FILM_FRAMES))
    scan = VideoScan(found.video.path, shorter_side=FILM_PIXELS)
    first = math.ceil(found.music_at)
    return tuple(
        frame._replace(time=frame.time - found.music_at)
        for frame in scan
        if frame.time >= first and round(frame.time - first) % step == 0
    )


def kind_of(path: Path) -> Kind:
    return "svg" if path.suffix.lower() == ".svg" else "png"
