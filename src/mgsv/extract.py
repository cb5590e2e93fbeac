"""Features of one's own videos and tracks, in the published layout (see mgsv.data.features).

A file's name without its ending becomes its id. What is there already is left alone, so that an
interrupted run resumes where it stopped.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from mgsv.cluster import written_by
from mgsv.data.annotations import usable_as_file_name
from mgsv.data.features import FeatureFolder
from mgsv.data.folder import (
    ENCODERS_FILE,
    FEATURE_FOLDER,
    Kind,
    encoder_fingerprints,
    packed_name,
)
from mgsv.encoders.ast import AstEncoder
from mgsv.encoders.clip import ClipEncoder
from mgsv.encoders.registry import Features, music_encoder, video_encoder
from mgsv.errors import (
    ConfigError,
    DataError,
    EncoderMismatch,
    MediaError,
    WorkerLost,
    reason_of,
    shown,
)
from mgsv.files import write_file
from mgsv.jobs import Executor, Listener, Processes, Progress
from mgsv.library.walk import by_ending, find_files, listed, plain
from mgsv.media.audio import Audio
from mgsv.media.extensions import MUSIC_EXTENSIONS, VIDEO_EXTENSIONS
from mgsv.media.isolated import VideoScan, has_moving_picture, read_audio
from mgsv.moment import CANVAS_SECONDS


@dataclass(frozen=True)
class ExtractReport:
    """What became of the files. failed: (file, reason) of those without features. ignored: how many
    files in the folders were neither videos nor music by their names, by ending ("" = none).
    """

    written: int = 0
    present: int = 0
    failed: tuple[tuple[Path, str], ...] = field(default=())
    ignored: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ExtractOptions:
    """What features are made of which files."""

    kind: Literal["auto", "video", "music"] = "auto"
    """What the files are; "auto" takes what has a moving picture for a video."""
    stride: float = 2.5
    """Seconds between music segments: 2.5, 5, 7.5 or 10."""
    overwrite: bool = False
    """Make features anew that are there."""


def extract(
    paths: Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    encoders: str = "paper",
    encoders_dir: str | os.PathLike[str] | None = None,
    options: ExtractOptions | None = None,
    executor: Executor | None = None,
    progress: Listener | None = None,
) -> ExtractReport:
    """Write the features of videos and tracks below `output`/features/Kuai_feature.

    paths: files, or folders that are searched for files with a video's or music's ending. encoders:
    "paper", the pair the layout is made for. encoders_dir: where their weights lie (None = the
    hub's cache). executor: decodes and encodes (None = this thread, whose encoders use all cores).
    progress: called after each file.

    A file that cannot be used is in the report and the others are gone on with. Raises
    `ConfigError` for options or weights, `EncoderMismatch` where `output` or a worker has other
    weights, `OutputError` where it cannot be written, `DataError` where `paths` hold nothing.
    """
    options = options or ExtractOptions()
    sources = [Path(path) for path in paths]
    others: set[bytes] = set()
    files = list(_find(sources, others))
    if not files:
        only = f", only {listed(by_ending(others))}" if others else ""
        names = ", ".join(map(str, sources))
        raise DataError(names, f"no videos and no music{only}", "check the path")
    root = (Path(output) / FEATURE_FOLDER).absolute()
    work = _Encoding.open(root, encoders, encoders_dir, options)
    plan = _Plan(work, options)
    settled, written = 0, 0
    failed: list[tuple[Path, str]] = []
    tasks: list[_Task] = []

    def settle(path: Path) -> None:
        nonlocal settled
        settled += 1
        if progress is not None:
            progress(Progress("files", settled, len(files), path))

    for path in files:
        try:
            task = plan.task(path)
        except MediaError as error:
            failed.append((path, reason_of(error, path)))
        else:
            if task is not None:
                tasks.append(task)
                continue
        settle(path)
    executor = executor or Processes(1)
    with written_by(executor, root), contextlib.closing(executor.map(work, tasks)) as outcomes:
        for outcome in outcomes:
            path = outcome.item.given
            if isinstance(outcome.error, MediaError | WorkerLost):
                failed.append((path, reason_of(outcome.error, outcome.item.path)))
            else:
                outcome.result()
                written += 1
            settle(path)
    failed.sort()
    present = len(files) - written - len(failed)
    return ExtractReport(written, present, tuple(failed), by_ending(others))


_KINDS: dict[str, Kind] = {"video": "frames", "music": "segments"}


@dataclass(frozen=True, slots=True)
class _Task:
    """A file to encode. given: its path as the caller has it, as workers may be in another folder.
    fingerprint: of the encoder that `output` notes.
    """

    given: Path
    path: Path
    kind: Kind
    fingerprint: str


@dataclass(frozen=True)
class _Encoding:
    """The work for one file. In another process, the encoders are those that are there."""

    video: ClipEncoder
    music: AstEncoder
    folders: Mapping[Kind, FeatureFolder]
    root: Path
    stride: float

    @classmethod
    def open(
        cls,
        root: Path,
        encoders: str,
        weights: str | os.PathLike[str] | None,
        options: ExtractOptions,
    ) -> _Encoding:
        folders: dict[Kind, FeatureFolder] = {
            "frames": FeatureFolder.frames(root),
            "segments": FeatureFolder.segments(root, options.stride),
        }
        video, music = (make(encoders, folder=weights) for make in (video_encoder, music_encoder))
        if not isinstance(video, ClipEncoder) or not isinstance(music, AstEncoder):
            raise ConfigError(
                f"`encoders` {encoders}: its features do not fit the published layout",
                "use `encoders` paper",
            )
        return cls(video, music, folders, root, options.stride)

    def encoder(self, kind: Kind) -> ClipEncoder | AstEncoder:
        return self.video if kind == "frames" else self.music

    def __call__(self, task: _Task) -> None:
        """Write the file's features. Raises `MediaError` if they cannot be made."""
        made_by = self.encoder(task.kind).fingerprint
        if made_by != task.fingerprint:
            raise EncoderMismatch(
                f"{shown(self.root)} holds features made by {shown(task.fingerprint)}, and on "
                f"{platform.node()} the same encoder is {shown(made_by)}",
                "give every machine the same weights",
            )
        path = task.path
        features = self._frames(path) if task.kind == "frames" else self._segments(path)
        self.folders[task.kind].write(path.stem, features, np.ones(len(features), bool))

    def _frames(self, path: Path) -> Features:
        """One row per whole second of the video, as many as the layout has places for."""
        scan = VideoScan(path, self.video.image_size)
        frames = itertools.islice(scan, self.folders["frames"].slots)
        return self.video.encode(frames, lambda: scan.curves)

    def _segments(self, path: Path) -> Features:
        """One row per window whose centre is not beyond the track's end or the canvas."""
        audio = read_audio(path, self.music.rate, channel=self.music.channel)
        centres = self.stride * np.arange(self.folders["segments"].slots)
        heard = Audio(audio.samples[: round(CANVAS_SECONDS * audio.rate)], audio.rate)
        return self.music.encode_windows(heard, centres[centres <= audio.duration].tolist())


class _Plan:
    """Which files are encoded as what, each id once."""

    def __init__(self, work: _Encoding, options: ExtractOptions) -> None:
        self._work, self._options = work, options
        self._claimed: dict[tuple[Kind, str], Path] = {}
        self._fingerprints: dict[Kind, str] = {}

    def task(self, path: Path) -> _Task | None:
        """What is to be done; None where it is done already. MediaError if it cannot be."""
        given = self._options.kind
        kind = _kind(path) if given == "auto" else _KINDS[given]
        if not usable_as_file_name(path.stem):
            raise MediaError(path, "its name cannot name a feature file", "rename it")
        first = self._claimed.setdefault((kind, path.stem), path)
        if first != path:
            raise MediaError(path, f"has the same id as {shown(first)}", "rename one of them")
        if kind not in self._fingerprints:
            self._fingerprints[kind] = self._note_encoder(kind)
        if not self._options.overwrite and _complete(self._work.folders[kind], path.stem):
            return None
        return _Task(path, path.absolute(), kind, self._fingerprints[kind])

    def _note_encoder(self, kind: Kind) -> str:
        """Its fingerprint. Raises `EncoderMismatch` where the folder has features of another."""
        encoder, root = self._work.encoder(kind), self._work.root
        key, file = packed_name(kind, self._work.stride), root / ENCODERS_FILE
        made_by = encoder_fingerprints(root)
        if made_by.setdefault(key, encoder.fingerprint) != encoder.fingerprint:
            raise EncoderMismatch(
                f"{shown(root)} holds {key} made by {shown(made_by[key])}, "
                f"and these weights are {encoder.fingerprint}",
                "use the same weights, or another `output`",
            )
        write_file(file, json.dumps(made_by, indent=2) + "\n", overwrite=True, parents=True)
        return encoder.fingerprint


def _find(paths: Iterable[Path], others: set[bytes]) -> Iterator[Path]:
    """The files named, and those with a known ending in the folders named."""
    endings = MUSIC_EXTENSIONS | VIDEO_EXTENSIONS
    for path in paths:
        if path.is_dir():
            for found in find_files([plain(path)], endings, others=others):
                yield Path(os.fsdecode(found.path))
        else:
            yield path


def _kind(path: Path) -> Kind:
    """Whether `path` is a video or a track; cover art is no moving picture."""
    ending = path.suffix.lower().removeprefix(".")
    if ending in MUSIC_EXTENSIONS:
        return "segments"
    try:
        return "frames" if has_moving_picture(path) else "segments"
    except MediaError:
        if ending in VIDEO_EXTENSIONS:
            raise  # a damaged video is no track
        return "segments"


def _complete(folder: FeatureFolder, name: str) -> bool:
    try:
        folder.read(name)
    except DataError:
        return False
    return True
