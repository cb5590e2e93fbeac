"""Which clips a batch is about, and where their results go."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mgsv.errors import ConfigError, shown
from mgsv.library.walk import find_files, plain
from mgsv.media.extensions import VIDEO_EXTENSIONS

RESULT = ".mgsv"
"""Ends the stems of results, which are no clips when their folder is looked at again."""
PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class BatchClip:
    """A clip, and what is known of it before it is read."""

    path: Path
    output: Path
    """Its finished video."""
    home: Path
    """The folder whose journal says how far it is."""
    problem: str = ""
    """Why it cannot be read or written, where that was seen already."""

    @property
    def name(self) -> str:
        """Its result below the home folder, with slashes: what the journal calls it."""
        return Path(os.path.relpath(self.output, self.home)).as_posix()

    @property
    def state(self) -> tuple[int, int]:
        """(bytes, time of change in ns) of the file now; zeros where there is none."""
        try:
            status = self.path.stat()
        except OSError:
            return 0, 0
        return status.st_size, status.st_mtime_ns


def find_clips(
    places: Sequence[PathLike], output: PathLike | None = None, suffix: str = ".mp4"
) -> list[BatchClip]:
    """The clips at and under `places`, files and folders, each once; those in folders by name.

    output: the folder for the results, where they lie as the clips do below each place; None:
    beside the clips. suffix: of the results. A file that is named may have any ending.

    Of clips whose results would have the same name, each has that as its problem.

    Raises `ConfigError` where there is no clip, and `LibraryError` for a place that does not exist.
    """
    clips = clips_so_far(places, output, suffix)
    if not clips:
        names = ", ".join(shown(place) for place in places)
        raise ConfigError(f"{names}: no videos in here", "name a video, or a folder that has some")
    return clips


def clips_so_far(
    places: Sequence[PathLike], output: PathLike | None = None, suffix: str = ".mp4"
) -> list[BatchClip]:
    """`find_clips` where there may be none yet."""
    folder = None if output is None else Path(os.fsdecode(plain(output)))
    clips: dict[bytes, BatchClip] = {}
    for place in places:
        for clip in _clips_in(plain(place), folder, suffix):
            clips.setdefault(os.fsencode(clip.path), clip)
    sharing: dict[Path, list[BatchClip]] = {}
    for clip in clips.values():
        sharing.setdefault(clip.output, []).append(clip)
    return [_alone(clip, sharing[clip.output]) for clip in clips.values()]


def _alone(clip: BatchClip, sharing: Sequence[BatchClip]) -> BatchClip:
    """The clip, with a problem where its result would be that of others in `sharing` too."""
    if clip.problem or len(sharing) == 1:
        return clip
    one_folder = len({other.path.parent for other in sharing}) == 1
    names = [shown(other.path.name if one_folder else other.path) for other in sharing]
    error = ConfigError(
        f"{' and '.join(names)} would be written as one file, {shown(clip.output.name)}",
        "rename one of them, or name a single clip and its `output`",
    )
    return replace(clip, problem=str(error))


def _clips_in(root: bytes, folder: Path | None, suffix: str) -> Iterator[BatchClip]:
    named = not os.path.isdir(root)  # noqa: PTH112 (bytes)
    top = Path(os.fsdecode(root))
    top = top.parent if named else top
    for found in find_files([root], VIDEO_EXTENSIONS):
        path = Path(os.fsdecode(found.path))
        if not named and path.stem.endswith(RESULT):
            continue
        where = path.parent if folder is None else folder / path.parent.relative_to(top)
        result = where / f"{path.stem}{RESULT}{suffix}"
        yield BatchClip(path, result, folder or top, found.problem)
