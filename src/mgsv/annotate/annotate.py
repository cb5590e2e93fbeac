"""The annotations of one's own videos: what MGSV-EC's are, made from the files themselves.

A row says: this part of this video uses this moment of this track. Videos and moments that would
make bad annotations are left out, each with its reason.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mgsv.annotate.copies import Copies
from mgsv.annotate.index import LandmarkIndex
from mgsv.annotate.listen import Heard, hear
from mgsv.annotate.locate import Match
from mgsv.annotate.options import REASONS, AnnotateOptions, Dropped
from mgsv.cluster import Ray
from mgsv.data.annotations import Row, write_rows
from mgsv.errors import ConfigError, DataError, reason_of, shown
from mgsv.files import check_output, write_file
from mgsv.jobs import Executor, Listener, Progress, Threads
from mgsv.library.features import content_hash
from mgsv.library.fingerprints import open_fingerprints
from mgsv.library.stores import default_folder, is_address
from mgsv.library.walk import by_ending, find_files, left_out, listed, plain
from mgsv.media.extensions import VIDEO_EXTENSIONS
from mgsv.media.video import VideoInfo

PathLike = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class AnnotatedMoment:
    """A row of the result, and what it was made from.

    sound: the sound track it was heard on, from 1, of the `sounds` that the video has.
    """

    path: Path
    row: Row
    match: Match
    sound: int = 1
    sounds: int = 1


@dataclass(frozen=True)
class Annotated:
    """What `annotate` did.

    failed: (file, reason) of videos and tracks that cannot be read. notes: what else the user
    should know, one line per note.
    """

    tracks: int
    videos: int
    """Videos looked at, those left out and failed included."""
    found: tuple[AnnotatedMoment, ...]
    dropped: tuple[Dropped, ...]
    failed: tuple[tuple[Path, str], ...]
    notes: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """How many were left out for each reason that occurred, in the order of `REASONS`."""
        return {
            reason: count
            for reason in REASONS
            if (count := sum(one.reason == reason for one in self.dropped))
        }


def annotate(
    videos: Iterable[PathLike],
    music: Sequence[PathLike],
    output: PathLike,
    *,
    folder: PathLike | None = None,
    options: AnnotateOptions | None = None,
    overwrite: bool = False,
    executor: Executor | None = None,
    progress: Listener | None = None,
) -> Annotated:
    """Write what `videos` use of the tracks in `music` to `output`, a CSV of MGSV-EC's columns.

    One row per moment, plus a last column `confidence` (see `Match`). An id is the file's name
    without its ending, with a number after it where that stands twice. videos, music: files, or
    folders that are searched; of a video, every sound track is listened to. folder: the library's,
    where fingerprints are kept. executor: reads the files; None = a thread per core. progress:
    called after each file of the music and then of the videos, which `what` says.

    Files that cannot be read are in the report. Where no row is left, nothing is written. Raises
    `ConfigError` for an `output` that makes no sense, `LibraryError` where there is no
    music, `DataError` where there are no videos, `OutputError` where `output` exists or cannot be
    written.
    """
    options = options or AnnotateOptions()
    given = [Path(path) for path in videos]
    if isinstance(executor, Ray):  # whose workers may be in another folder
        given = [path.absolute() for path in given]
    target = check_output(output, (".csv",), overwrite=overwrite, inputs=given)
    others: set[bytes] = set()
    paths = list(_find(given, others))
    if not paths:
        only = f", only {listed(by_ending(others))}" if others else ""
        names = ", ".join(map(shown, given))
        raise DataError(names, f"no videos{only}", "name a video or a folder")
    executor = executor or Threads()
    kept = default_folder() if folder is None else Path(folder)
    if is_address(kept):
        raise ConfigError(
            "`folder` is a shared library, and fingerprints are kept in a folder",
            "name a folder that every machine sees",
        )
    tracks, made = open_fingerprints(
        [plain(path) for path in music],
        kept.absolute(),
        executor=executor,
        progress=progress,
    )
    ids = _Names()
    music_ids = {track.id: ids.take(track.path) for track in tracks}
    heard = _listen(paths, LandmarkIndex(tracks), options, executor, progress)
    found: list[AnnotatedMoment] = []
    dropped: list[Dropped] = []
    failed: list[tuple[Path, str]] = []
    ignored = (("videos", by_ending(others)), ("music", made.ignored))
    notes = [left_out(counts, kind) for kind, counts in ignored if counts]
    ids, copies = _Names(), Copies()
    for path, result in heard:
        if isinstance(result, str):
            failed.append((path, result))
        elif isinstance(result, Dropped):
            dropped.append(result)
        else:
            notes += result.notes
            for use in result.uses:
                match = use.match
                if problem := _problem(path, match, options, copies):
                    dropped.append(problem)
                else:
                    video_id, music_id = ids.take(path), music_ids[match.track.id]
                    row = _row(result.info, match, video_id, music_id, options.category)
                    found.append(AnnotatedMoment(path, row, match, use.sound, result.sounds))
    if found:
        text = io.StringIO(newline="")
        confidence = [round(one.match.confidence, 6) for one in found]
        write_rows(text, [one.row for one in found], confidence)
        # File names that are not UTF-8 keep their bytes.
        data = text.getvalue().encode("utf-8", "surrogateescape")
        write_file(target, data, overwrite=overwrite)
    unread = (*failed, *made.failed)
    return Annotated(len(tracks), len(paths), tuple(found), tuple(dropped), unread, tuple(notes))


def _listen(
    paths: Sequence[Path],
    index: LandmarkIndex,
    options: AnnotateOptions,
    executor: Executor,
    progress: Listener | None,
) -> list[tuple[Path, Heard | Dropped | str]]:
    """(path, what is heard there, or why nothing is looked for, or why it cannot be read)."""
    first: dict[str, Path] = {}
    results: dict[int, Heard | Dropped | str] = {}
    for place, path in enumerate(paths):
        try:
            content = content_hash(os.fsencode(path))
        except (OSError, ValueError):
            continue  # opening it will say what is wrong
        if content in first:
            results[place] = Dropped(path, "same video", f"as {shown(first[content])}")
        else:
            first[content] = path
    left = [place for place in range(len(paths)) if place not in results]
    listen = functools.partial(hear, index=index, options=options)
    outcomes = executor.map(listen, [paths[place] for place in left])
    with contextlib.closing(outcomes):
        for done, outcome in enumerate(outcomes, 1):
            if outcome.error is None:
                results[left[outcome.index]] = outcome.result()
            else:  # whatever it is, the other videos are worth going on for
                results[left[outcome.index]] = reason_of(outcome.error, outcome.item)
            if progress is not None:
                progress(Progress("videos", done, len(left), outcome.item))
    return [(path, results[place]) for place, path in enumerate(paths)]


def _problem(path: Path, match: Match, options: AnnotateOptions, copies: Copies) -> Dropped | None:
    """Why `match` makes no row."""
    if match.confidence < options.min_confidence:
        detail = f"{shown(match.track.path.name)} at {match.video}, {match.confidence:.2f}"
        return Dropped(path, "low confidence", detail)
    if match.video.duration < options.min_moment:
        detail = f"{shown(match.track.path.name)} at {match.video}, {match.video.duration:.1f} s"
        return Dropped(path, "short moment", detail)
    if original := copies.original(path, match):
        return Dropped(path, "same moment", f"{match.video}, as {shown(original)}")
    return None


def _row(info: VideoInfo, match: Match, video_id: str, music_id: str, category: str) -> Row:
    video, music = match.video, match.music
    return Row(
        video_id=video_id,
        music_id=music_id,
        video_start=round(video.start, 3),
        video_end=round(video.end, 3),
        music_start=round(music.start, 3),
        music_end=round(music.end, 3),
        music_total_duration=round(match.track.seconds, 3),
        video_segment_duration=round(video.duration, 3),
        music_segment_duration=round(music.duration, 3),
        music_path=os.fspath(match.track.path),
        video_total_duration=round(info.duration, 3),
        video_width=info.width,
        video_height=info.height,
        video_total_frames=round(info.duration * info.frame_rate),
        video_frame_rate=round(info.frame_rate, 3),
        video_category=category,
    )


class _Names:
    """Ids that can name feature files, each given once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, path: Path) -> str:
        stem = path.stem.replace("\\", "_")
        numbered = (f"{stem}.{number}" for number in itertools.count(2))
        name = next(n for n in itertools.chain([stem], numbered) if n not in self._taken)
        self._taken.add(name)
        return name


def _find(given: Iterable[Path], others: set[bytes]) -> Iterator[Path]:
    """The files named, and those with a video's ending in the folders named; see `find_files`."""
    for path in given:
        if path.is_dir():
            for found in find_files([plain(path)], VIDEO_EXTENSIONS, others=others):
                yield Path(os.fsdecode(found.path))
        else:
            yield path
