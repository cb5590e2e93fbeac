"""A listening test from clips and music: each system's answer, rendered so that only it differs."""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mgsv.errors import DataError, MediaError, OutputError, reason_of, shown
from mgsv.files import StrPath, remove_leftovers, unwritable, write_file
from mgsv.grounding import GroundOptions, Session
from mgsv.jobs import Listener, Progress
from mgsv.library.features import content_hash
from mgsv.library.walk import by_ending, find_files, listed, plain
from mgsv.media.extensions import VIDEO_EXTENSIONS
from mgsv.media.isolated import VideoScan, isolate, probe_video
from mgsv.media.pictures import write_film
from mgsv.media.soundfile import SoundReport, write_music_sound, write_own_sound
from mgsv.media.soundtrack import SoundOptions
from mgsv.methods.base import Method
from mgsv.methods.registry import open_method
from mgsv.models.system import System
from mgsv.moment import Moment
from mgsv.portable import hold
from mgsv.study.options import LOUDNESS, ORIGINAL, StudyOptions
from mgsv.study.original import find_originals
from mgsv.study.study import (
    ANSWERS,
    KEY,
    MEDIA,
    STUDY,
    ClipKey,
    Study,
    StudyClip,
    StudyKey,
    Variant,
    VariantKey,
    read_key,
)

MATCHED = 0.3
"""LU by which variants of one clip may differ; nobody hears less."""
SAME_MOMENT = 0.05
"""Seconds. Two systems that start on the same track within it have given the same answer."""
QUALITY = 21
"""H.264's CRF."""
FASTEST, SLOWEST = 30, 10
"""Pictures per second: twice as many are halved, and fewer shown again."""

LOCK = "lock"

_music_sound = isolate(write_music_sound, ("video", "track"), "output")
_own_sound = isolate(write_own_sound, ("video",), "output")


@dataclass(frozen=True)
class Created:
    """What `create_study` did: the study's clips, of which so many were there from an earlier run.

    failed: (file, reason) of clips that are not in it. notes: what else is to be known.
    """

    folder: Path
    key: StudyKey
    earlier: int
    failed: tuple[tuple[Path, str], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Answer:
    """The moment of a track; track None: the clip's own sound as it is."""

    track: Path | None
    moment: Moment
    systems: tuple[str, ...]


def create_study(
    clips: Sequence[StrPath],
    music: Sequence[StrPath],
    output: StrPath,
    options: StudyOptions | None = None,
    *,
    library: StrPath | None = None,
    progress: Listener | None = None,
) -> Created:
    """Make a study in the folder `output` of what each system answers to each clip.

    clips: files, or folders that are searched. music: what the systems choose from. library: where
    its features are kept. A run that was ended is gone on with by the same call; `study.json`,
    without which there is no study, is written last.

    Clips that cannot be used are in the report. Raises `OutputError` where `output` holds something
    else or a finished study, `ConfigError` for options that make no sense or are not those of the
    earlier run, `DataError` where no clip is left, and what `Session.open` raises.
    """
    options = options or StudyOptions()
    methods = {
        name: open_method(options.files.get(name, System(name)))
        for name in options.systems
        if name != ORIGINAL
    }
    folder = Path(output)
    _earlier_key(folder, options)  # before the folder is made
    paths = _clips(clips, options.most_clips)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    with _alone(folder):
        return _create(folder, paths, music, options, methods, library, progress)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from making the same study: each would clean up the other's files."""
    try:
        file = (folder / LOCK).open("ab")
    except OSError as error:
        raise unwritable(folder, error) from error
    with file:
        if not hold(file.fileno()):
            raise OutputError(
                folder, "another process is making this study", "wait until it has finished"
            )
        yield


def _create(
    folder: Path,
    paths: Sequence[Path],
    music: Sequence[StrPath],
    options: StudyOptions,
    methods: Mapping[str, Method],
    library: StrPath | None,
    progress: Listener | None,
) -> Created:
    key = _earlier_key(folder, options)
    earlier = len(key.clips)
    maker = _Maker(folder, key, options)
    todo = list(maker.new(paths))
    answers: dict[Path, list[_Answer]] = {path: [] for path in todo}
    if ORIGINAL in options.systems and todo:
        found, notes = find_originals(
            todo, music, folder=library, longest=options.longest, progress=progress
        )
        maker.notes += notes
        for path in todo:
            original = found.get(path)
            own = _Answer(None, Moment(0, maker.seconds[path]), (ORIGINAL,))
            answers[path].append(
                own if original is None else _Answer(original.track, original.moment, (ORIGINAL,))
            )
    for name, method in methods.items():
        if not todo:
            break
        with Session.open(
            list(music),
            folder=library,
            method=method,
            encoders=options.encoders,
            progress=progress,
        ) as session:
            for done, path in enumerate(todo):
                if progress is not None:
                    progress(Progress(name, done, len(todo), path))
                try:
                    best = session.ground(path, GroundOptions(top=1, memory="off"))[0]
                except MediaError as error:
                    maker.leave_out(path, reason_of(error, path))
                    continue
                answers[path].append(_Answer(best.track.path, best.moment, (name,)))
    for done, path in enumerate(todo):
        if progress is not None:
            progress(Progress("rendering", done, len(todo), path))
        if path not in maker.failed:
            maker.make(path, answers[path])
    return maker.finish(earlier)


class _Maker:
    """Writes clip after clip, and after each the key."""

    def __init__(self, folder: Path, key: StudyKey, options: StudyOptions) -> None:
        self._folder, self._key, self._options = folder, key, options
        self.failed: dict[Path, str] = {}
        self.notes: tuple[str, ...] = ()
        self.seconds: dict[Path, float] = {}
        self._contents: dict[Path, str] = {}
        try:
            for inner in (MEDIA, ANSWERS):
                (folder / inner).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error) from error
        self._write_key()
        self._clean()

    def leave_out(self, path: Path, reason: str) -> None:
        self.failed[path] = reason

    def new(self, paths: Sequence[Path]) -> Iterator[Path]:
        """Those of `paths` that can be used and are not in the study yet."""
        known = {clip.content: Path(clip.path) for clip in self._key.clips.values()}
        for path in paths:
            try:
                content, info = content_hash(os.fsencode(path)), probe_video(path)
            except (MediaError, OSError, ValueError) as error:
                self.leave_out(path, reason_of(error, path))
                continue
            if content in known:
                if known[content] != path:
                    self.leave_out(path, f"the same file as {shown(known[content])}")
            elif info.duration > self._options.longest:
                long = f"{info.duration:.1f} s are more than {self._options.longest:g} s"
                self.leave_out(path, f"{long}: cut it, or allow `longest`")
            elif ORIGINAL in self._options.systems and not info.has_audio:
                self.leave_out(path, "it has no sound of its own, so there is no original")
            else:
                known[content], self._contents[path] = path, content
                self.seconds[path] = info.duration
                yield path

    def make(self, path: Path, answers: Sequence[_Answer]) -> None:
        """Write the picture and the sounds of a clip, and the key with them."""
        different = _merged(answers)
        if len(different) < 2:
            self.leave_out(path, "all systems choose the same moment of the same track")
            return
        picture = f"{secrets.token_hex(8)}.mp4"
        sounds: list[SoundReport] = []
        try:
            _write_picture(path, self._folder / MEDIA / picture, self._options.height)
            for level in (LOUDNESS, None):
                if level is None:
                    level = min(made.loudness for made in sounds)
                    if level > LOUDNESS - MATCHED:
                        break
                sounds = [self._sound(path, answer, level) for answer in different]
                if silent := [made for made in sounds if math.isinf(made.loudness)]:
                    at = sounds.index(silent[0])
                    raise DataError(path, f"what {different[at].systems[0]} plays is silent")
        except (MediaError, DataError) as error:
            self.leave_out(path, reason_of(error, path))
            self._clean()
            return
        ids = [secrets.token_hex(8) for _ in different]
        order = sorted(range(len(ids)), key=ids.__getitem__)
        clip = ClipKey(
            os.fspath(path),
            self._contents[path],
            picture,
            self.seconds[path],
            {ids[n]: _variant_key(path, different[n], sounds[n]) for n in order},
            {ids[n]: sounds[n].path.name for n in order},
        )
        clips = {**self._key.clips, secrets.token_hex(8): clip}
        self._key = replace(self._key, clips=clips)
        self._write_key()

    def finish(self, earlier: int) -> Created:
        """Write what is shown. Raises `DataError` where there is no clip."""
        failed = tuple(self.failed.items())
        if not self._key.clips:
            path, reason = failed[0]
            more = f" (and {len(failed) - 1} more clips)" if len(failed) > 1 else ""
            raise DataError(path, reason + more, "no clip is left; give others")
        self._clean()
        study = Study(
            self._folder,
            self._key.id,
            self._options.seed,
            self._options.trials,
            self._options.checks,
            tuple(
                StudyClip(
                    id,
                    clip.picture,
                    clip.seconds,
                    tuple(Variant(one, clip.sounds[one]) for one in sorted(clip.variants)),
                )
                for id, clip in sorted(self._key.clips.items())
            ),
        )
        write_file(self._folder / STUDY, _text(study.document()))
        return Created(self._folder, self._key, earlier, failed, self.notes)

    def _sound(self, path: Path, answer: _Answer, loudness: float) -> SoundReport:
        target = self._folder / MEDIA / f"{secrets.token_hex(8)}.m4a"
        sound = SoundOptions(loudness=loudness)
        if answer.track is None:
            return _own_sound(path, target, sound=sound)
        return _music_sound(path, answer.track, answer.moment, target, sound=sound)

    def _write_key(self) -> None:
        write_file(self._folder / KEY, _text(self._key.document()), overwrite=True)

    def _clean(self) -> None:
        """Remove the pictures and sounds that are in no finished clip."""
        media = self._folder / MEDIA
        remove_leftovers(media)
        clips = self._key.clips.values()
        kept = {name for clip in clips for name in (clip.picture, *clip.sounds.values())}
        for path in media.iterdir():
            if path.name not in kept and path.suffix in (".mp4", ".m4a"):
                path.unlink(missing_ok=True)


def _earlier_key(folder: Path, options: StudyOptions) -> StudyKey:
    """The key of the run that was ended in `folder`, or that of a new study."""
    plain_options = _plain(options)
    if (folder / STUDY).exists():
        raise OutputError(folder, "there is a study already", "choose another output name")
    if not (folder / KEY).exists():
        if folder.is_dir() and any(path.name != LOCK for path in folder.iterdir()):
            raise OutputError(folder, "the folder is not empty", "choose another output name")
        if folder.exists() and not folder.is_dir():
            raise OutputError(folder, "there is a file of this name", "choose another output name")
        if not folder.absolute().parent.is_dir():
            raise OutputError(
                folder, "the folder it should go to does not exist", "create it first"
            )
        return StudyKey(secrets.token_hex(8), options.systems, plain_options, {})
    key = read_key(folder)
    for name, value in plain_options.items():
        if key.options.get(name) != value:
            raise OutputError(
                folder,
                f"a study of {name} {key.options.get(name)} was begun there",
                "give the same options to go on, or choose another output name",
            )
    return key


def _plain(options: StudyOptions) -> dict[str, Any]:
    values = {name: value for name, value in asdict(options).items() if name != "files"}
    values["systems"] = ",".join(options.systems)
    files = {name: system.fingerprint for name, system in sorted(options.files.items())}
    return {**values, **({"files": files} if files else {})}


def _clips(given: Sequence[StrPath], most: int) -> list[Path]:
    """The files named, and the videos in the folders named. Raises `DataError` for none or more
    than `most`.
    """
    others: set[bytes] = set()
    found: dict[Path, None] = {}
    for path in map(Path, given):
        if path.is_dir():
            for one in find_files([plain(path)], VIDEO_EXTENSIONS, others=others):
                found[Path(os.fsdecode(one.path))] = None
        else:
            found[Path(os.fsdecode(plain(path)))] = None
    names = ", ".join(map(shown, given))
    if not found:
        only = f", only {listed(by_ending(others))}" if others else ""
        raise DataError(names, f"no videos{only}", "name a video or a folder")
    if len(found) > most:
        raise DataError(
            names, f"{len(found)} clips are more than {most}", "give fewer, or allow `most_clips`"
        )
    return sorted(found)


def _merged(answers: Sequence[_Answer]) -> list[_Answer]:
    """Each different answer once, with all systems that gave it."""
    kept: list[_Answer] = []
    for answer in answers:
        for n, other in enumerate(kept):
            near = abs(answer.moment.start - other.moment.start) <= SAME_MOMENT
            if answer.track == other.track and near:
                kept[n] = replace(other, systems=other.systems + answer.systems)
                break
        else:
            kept.append(answer)
    return kept


def _variant_key(clip: Path, answer: _Answer, made: SoundReport) -> VariantKey:
    own = answer.track is None
    return VariantKey(
        systems=answer.systems,
        track=os.fspath(answer.track or clip),
        start=round(answer.moment.start, 4),
        end=round(answer.moment.end, 4),
        own=own,
        loudness=round(made.loudness, 2),
        true_peak=round(made.true_peak, 2) if math.isfinite(made.true_peak) else -100.0,
        notes=made.notes,
    )


def _write_picture(clip: Path, target: Path, height: int) -> None:
    """The clip's picture alone as H.264 that every browser plays; what is said of it stays out."""
    info = probe_video(clip)
    rate = max(SLOWEST, round(info.frame_rate))
    while rate > FASTEST:
        rate = -(-rate // 2)
    scan = VideoScan(clip, min(height, info.width, info.height), per_second=rate)
    pictures = (
        frame.image[: frame.image.shape[0] & ~1, : frame.image.shape[1] & ~1] for frame in scan
    )
    write_film(target, pictures, rate, crf=QUALITY)


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, allow_nan=False) + "\n"
