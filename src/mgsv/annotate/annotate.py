"""The annotations of one's own videos: what MGSV-EC's are, made from the files themselves.

A row says: this part of this video uses this moment of this track. Videos and moments that would
make bad annotations are left out, each with its reason.
"""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mgsv.annotate.copies import Copies
from mgsv.annotate.index import LandmarkIndex
from mgsv.annotate.locate import Match, locate
from mgsv.data.annotations import Row, write_rows
from mgsv.errors import ConfigError, DataError, MgsvError, shown
from mgsv.files import check_output, write_file
from mgsv.library import pool
from mgsv.library.features import content_hash
from mgsv.library.library import default_folder
from mgsv.library.prints import open_prints
from mgsv.library.walk import find_files, plain
from mgsv.media.audio import read_audio, sound_delay
from mgsv.media.extensions import VIDEO_EXTENSIONS
from mgsv.media.landmarks import RATE
from mgsv.media.video import VideoInfo, probe_video
from mgsv.moment import Moment

PathLike = str | os.PathLike[str]
Progress = Callable[[str, int, int, Path], None]
"""Takes (job, files done, files in all, file); jobs are "music" and "videos"."""

SILENT = 1e-3
"""Full scale 1: a video whose sound stays below, -60 dB, is silent."""

REASONS: Mapping[str, str] = {
    "same video": "the same file was given before, under this or another name",
    "short video": "shorter than --min-video",
    "long video": "longer than --max-video",
    "no sound": "it has no sound",
    "silent": "its sound is silent",
    "no track": "none of the tracks is heard in it",
    "short moment": "the moment is shorter than --min-moment",
    "low confidence": "the match is less sure than --min-confidence",
    "same moment": "another video shows the same pictures over the same moment",
}
"""Why a video or moment is left out."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A video, or one moment of it, that is left out."""

    path: Path
    reason: str
    """A key of `REASONS`."""
    detail: str = ""
    """What the reason is about: seconds, confidence, the other file."""


@dataclass(frozen=True, slots=True)
class Found:
    """A row of the result, and what it was made from."""

    path: Path
    row: Row
    match: Match


@dataclass(frozen=True)
class Annotated:
    """What `annotate` did. failed: (file, reason) of videos and tracks that cannot be read."""

    tracks: int
    videos: int
    """Videos looked at, those left out and failed included."""
    found: tuple[Found, ...]
    dropped: tuple[Dropped, ...]
    failed: tuple[tuple[Path, str], ...]

    def counts(self) -> dict[str, int]:
        """How many were left out for each reason that occurred, in the order of `REASONS`."""
        return {
            reason: count
            for reason in REASONS
            if (count := sum(one.reason == reason for one in self.dropped))
        }


@dataclass(frozen=True, slots=True)
class _Limits:
    min_video: float
    max_video: float
    min_moment: float
    min_confidence: float

    def __post_init__(self) -> None:
        for name in ("min_video", "max_video", "min_moment"):
            if not getattr(self, name) >= 0:
                flag = f"--{name.replace('_', '-')}"
                raise ConfigError(f"{flag} {getattr(self, name)}: no length", "give seconds")
        if not 0 <= self.min_confidence <= 1:
            raise ConfigError(
                f"--min-confidence {self.min_confidence}: no probability", "give 0 to 1"
            )


def annotate(
    videos: Iterable[PathLike],
    music: Sequence[PathLike],
    output: PathLike,
    *,
    folder: PathLike | None = None,
    min_video: float = 3.0,
    max_video: float = 600.0,
    min_moment: float = 5.0,
    min_confidence: float = 0.95,
    category: str = "",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Annotated:
    """Write what `videos` use of the tracks in `music` to `output`, a CSV of MGSV-EC's columns.

    One row per moment, plus a last column `confidence` (see `Match`). An id is the file's name
    without its ending, with a number after it where that stands twice. videos, music: files, or
    folders that are searched. folder: the library's, where fingerprints are kept. min_video,
    max_video, min_moment: seconds; with min_confidence they filter. category: of all videos.

    Files that cannot be read are in the report. Where no row is left, nothing is written. Raises
    `ConfigError` for limits or an `output` that make no sense, `LibraryError` where there is no
    music, `DataError` where there are no videos, `OutputError` where `output` exists or cannot be
    written.
    """
    limits = _Limits(min_video, max_video, min_moment, min_confidence)
    given = [Path(path) for path in videos]
    target = check_output(output, (".csv",), overwrite=overwrite, inputs=given)
    paths = list(_find(given))
    if not paths:
        raise DataError(", ".join(map(shown, given)), "no videos", "name a video or a folder")
    tell = progress or (lambda *_: None)
    prints, made = open_prints(
        [plain(path) for path in music],
        default_folder() if folder is None else Path(folder),
        progress=lambda done, total, path: tell("music", done, total, path),
    )
    names = _Names()
    music_ids = {track.id: names.take(track.path) for track in prints}
    heard = _listen(paths, LandmarkIndex(prints), limits, tell)
    found: list[Found] = []
    dropped: list[Dropped] = []
    failed: list[tuple[Path, str]] = []
    names, copies = _Names(), Copies()
    for path, result in heard:
        if isinstance(result, str):
            failed.append((path, result))
        elif isinstance(result, Dropped):
            dropped.append(result)
        else:
            for match in result.matches:
                if problem := _problem(path, match, limits, copies):
                    dropped.append(problem)
                else:
                    video_id, music_id = names.take(path), music_ids[match.track.id]
                    row = _row(result.info, match, video_id, music_id, category)
                    found.append(Found(path, row, match))
    if found:
        text = io.StringIO(newline="")
        confidence = [round(one.match.confidence, 6) for one in found]
        write_rows(text, [one.row for one in found], confidence)
        # File names that are not UTF-8 keep their bytes.
        data = text.getvalue().encode("utf-8", "surrogateescape")
        write_file(target, data, overwrite=overwrite)
    return Annotated(len(prints), len(paths), tuple(found), tuple(dropped), (*failed, *made.failed))


@dataclass(frozen=True, slots=True)
class _Heard:
    info: VideoInfo
    matches: tuple[Match, ...]


def _listen(
    paths: Sequence[Path], index: LandmarkIndex, limits: _Limits, tell: Progress
) -> list[tuple[Path, _Heard | Dropped | str]]:
    """(path, what is heard there, or why nothing is looked for, or why it cannot be read)."""
    first: dict[str, Path] = {}
    results: dict[int, _Heard | Dropped | str] = {}
    for place, path in enumerate(paths):
        try:
            content = content_hash(os.fsencode(path))
        except (OSError, ValueError):
            continue  # opening it will say what is wrong
        if content in first:
            results[place] = Dropped(path, "same video", f"as {shown(first[content])}")
        else:
            first[content] = path
    jobs = [place for place in range(len(paths)) if place not in results]

    def work(place: int) -> _Heard | Dropped | str:
        try:
            return _hear(paths[place], index, limits)
        except MgsvError as error:
            return str(error).removeprefix(f"{shown(paths[place])}: ")
        except Exception as error:  # whatever it is, the other videos are worth going on for
            return f"{type(error).__name__}: {error}".replace("\n", " ")

    for done, (place, result) in enumerate(pool.run(jobs, work, os.cpu_count() or 1), 1):
        results[place] = result
        tell("videos", done, len(jobs), paths[place])
    return [(path, results[place]) for place, path in enumerate(paths)]


def _hear(path: Path, index: LandmarkIndex, limits: _Limits) -> _Heard | Dropped:
    info = probe_video(path)
    if not info.has_audio:
        return Dropped(path, "no sound")
    if info.duration > limits.max_video:
        return Dropped(path, "long video", f"{info.duration:.1f} s")
    if 0 < info.duration < limits.min_video:
        return Dropped(path, "short video", f"{info.duration:.1f} s")
    samples = read_audio(path, RATE).samples
    if abs(samples).max() < SILENT:
        return Dropped(path, "silent")
    delay = sound_delay(path)
    matches = [_on_picture(match, delay, info.duration) for match in locate(index, samples)]
    there = tuple(match for match in matches if match is not None)
    return _Heard(info, there) if there else Dropped(path, "no track")


def _on_picture(match: Match, delay: float, duration: float) -> Match | None:
    """`match` in seconds of the picture, the part that lies on it; None where nothing does."""
    start, end = match.video.start + delay, match.video.end + delay
    first, last = max(start, 0.0), min(end, duration) if duration > 0 else end
    if last <= first:
        return None
    cut = match.speed * (first - start)
    music = Moment(match.music.start + cut, match.music.start + match.speed * (last - start))
    also = tuple(place + cut for place in match.also_at)
    return replace(
        match,
        video=Moment(first, last),
        music=music.clamped(match.track.seconds),
        also_at=also,
    )


def _problem(path: Path, match: Match, limits: _Limits, copies: Copies) -> Dropped | None:
    """Why `match` makes no row."""
    if match.confidence < limits.min_confidence:
        detail = f"{shown(match.track.path.name)} at {match.video}, {match.confidence:.2f}"
        return Dropped(path, "low confidence", detail)
    if match.video.duration < limits.min_moment:
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


def _find(given: Iterable[Path]) -> Iterator[Path]:
    """The files named, and those with a video's ending in the folders named."""
    for path in given:
        if path.is_dir():
            for found in find_files([plain(path)], VIDEO_EXTENSIONS):
                yield Path(os.fsdecode(found.path))
        else:
            yield path
