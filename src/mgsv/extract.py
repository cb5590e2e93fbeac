"""Features of one's own videos and tracks, in the published layout (see mgsv.data.features).

A file's name without its ending becomes its id. What is there already is left alone, so that an
interrupted run resumes where it stopped.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

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
from mgsv.errors import ConfigError, DataError, EncoderMismatch, MediaError, reason_of, shown
from mgsv.files import write_file
from mgsv.jobs import Listener, Progress
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


def extract(
    paths: Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    encoders: str = "paper",
    encoders_dir: str | os.PathLike[str] | None = None,
    kind: Literal["auto", "video", "music"] = "auto",
    stride: float = 2.5,
    overwrite: bool = False,
    progress: Listener | None = None,
) -> ExtractReport:
    """Write the features of videos and tracks below `output`/features/Kuai_feature.

    paths: files, or folders that are searched for files with a video's or music's ending. encoders:
    "paper", the pair the layout is made for. encoders_dir: where their weights lie (None = the
    hub's cache). kind: what the files are; "auto" takes what has a moving picture for a video.
    stride: seconds between music segments: 2.5, 5, 7.5 or 10. overwrite: make features anew that
    are there. progress: called before each file.

    A file that cannot be used is in the report and the others are gone on with. Raises
    `ConfigError` for options or weights, `EncoderMismatch` where `output` holds features of other
    weights, `OutputError` where it cannot be written, `DataError` where `paths` hold nothing.
    """
    sources = [Path(path) for path in paths]
    others: set[bytes] = set()
    files = list(_find(sources, others))
    if not files:
        only = f", only {listed(by_ending(others))}" if others else ""
        names = ", ".join(map(str, sources))
        raise DataError(names, f"no videos and no music{only}", "check the path")
    writer = _Writer(Path(output) / FEATURE_FOLDER, encoders, encoders_dir, stride, overwrite)
    written, failed = 0, []
    for done, path in enumerate(files):
        if progress is not None:
            progress(Progress("files", done, len(files), path))
        try:
            written += writer.add(path, _kind(path) if kind == "auto" else _KINDS[kind])
        except MediaError as error:
            failed.append((path, reason_of(error, path)))
    present = len(files) - written - len(failed)
    return ExtractReport(written, present, tuple(failed), by_ending(others))


_KINDS: dict[str, Kind] = {"video": "frames", "music": "segments"}


class _Writer:
    """Encodes files and writes their features; encoders are made when first needed."""

    def __init__(
        self,
        root: Path,
        encoders: str,
        weights: str | os.PathLike[str] | None,
        stride: float,
        overwrite: bool,
    ) -> None:
        self._root, self._overwrite = root, overwrite
        self._stride = stride
        self._folders = {
            "frames": FeatureFolder.frames(root),
            "segments": FeatureFolder.segments(root, stride),
        }
        video, music = (make(encoders, folder=weights) for make in (video_encoder, music_encoder))
        if not isinstance(video, ClipEncoder) or not isinstance(music, AstEncoder):
            raise ConfigError(
                f"`encoders` {encoders}: its features do not fit the published layout",
                "use `encoders` paper",
            )
        self._video, self._music = video, music
        self._claimed: dict[tuple[Kind, str], Path] = {}
        self._checked: set[Kind] = set()

    def add(self, path: Path, kind: Kind) -> bool:
        """Whether features were written (not: there already); MediaError if they cannot be made."""
        name, folder = path.stem, self._folders[kind]
        if not usable_as_file_name(name):
            raise MediaError(path, "its name cannot name a feature file", "rename it")
        first = self._claimed.setdefault((kind, name), path)
        if first != path:
            raise MediaError(path, f"has the same id as {shown(first)}", "rename one of them")
        if kind not in self._checked:
            self._check_encoder(kind)
            self._checked.add(kind)
        if not self._overwrite and _complete(folder, name):
            return False
        features = self._frames(path) if kind == "frames" else self._segments(path)
        folder.write(name, features, np.ones(len(features), bool))
        return True

    def _frames(self, path: Path) -> Features:
        """One row per whole second of the video, as many as the layout has places for."""
        scan = VideoScan(path, self._video.image_size)
        frames = itertools.islice(scan, self._folders["frames"].slots)
        return self._video.encode(frames, lambda: scan.curves)

    def _segments(self, path: Path) -> Features:
        """One row per window whose centre is not beyond the track's end or the canvas."""
        audio = read_audio(path, self._music.rate, channel=self._music.channel)
        centres = self._stride * np.arange(self._folders["segments"].slots)
        heard = Audio(audio.samples[: round(CANVAS_SECONDS * audio.rate)], audio.rate)
        return self._music.encode_windows(heard, centres[centres <= audio.duration].tolist())

    def _check_encoder(self, kind: Kind) -> None:
        """Refuse to mix features of different weights in one folder."""
        encoder = self._video if kind == "frames" else self._music
        key, file = packed_name(kind, self._stride), self._root / ENCODERS_FILE
        made_by = encoder_fingerprints(self._root)
        if made_by.setdefault(key, encoder.fingerprint) != encoder.fingerprint:
            raise EncoderMismatch(
                f"{shown(self._root)} holds {key} made by {shown(made_by[key])}, "
                f"and these weights are {encoder.fingerprint}",
                "use the same weights, or another `output`",
            )
        write_file(file, json.dumps(made_by, indent=2) + "\n", overwrite=True, parents=True)


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
