"""Fingerprints of tracks, by which a track is recognised inside another sound.

A fingerprint holds a track's spectral peaks (to find it) and the signs of its whitened waveform (to
align to it), some 1.2 KB a second. Fingerprints are kept in the library's folder, one file per
content hash, when first needed; they can be deleted at any time and are then made again. Neither
the track nor an encoder need be in the library.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mgsv.cluster import written_by
from mgsv.errors import LibraryError, OutputError, reason_of, shown
from mgsv.files import write_file
from mgsv.jobs import Executor, Listener, Progress, Threads
from mgsv.library.features import WRITABLE, content_hash
from mgsv.library.walk import (
    Found,
    by_ending,
    find_music,
    is_video,
    listed,
    require_unchanged,
)
from mgsv.media.landmarks import RATE, Peaks, find_peaks
from mgsv.media.sign_waveform import pack_signs, whiten

_FORMAT = "mgsv-print-1"
_FOLDER = "prints-1"  # the number is the method's: another one never reads these files


@dataclass(frozen=True)
class TrackFingerprint:
    """What recognises one track. The signs stay on disk until they are used."""

    id: str
    """Hash of the file's bytes."""
    path: Path
    copies: tuple[Path, ...]
    """Other files with the same content."""
    samples: int
    """Length at `media.landmarks.RATE`."""
    peaks: Peaks
    file: Path
    """Where the fingerprint is kept."""

    @property
    def seconds(self) -> float:
        return self.samples / RATE

    @functools.cached_property
    def signs(self) -> npt.NDArray[np.uint8]:
        """Signs of the whitened waveform, packed. Raises `LibraryError` if the file is damaged."""
        with _opened(self.file) as file:
            return np.asarray(file.get_tensor("signs"))


@dataclass(frozen=True)
class FingerprintReport:
    """What `open_fingerprints` did. made: tracks decoded just now. failed: (file, reason). ignored:
    how many files were not taken for music, by ending, as in `IndexReport`.
    """

    made: int
    failed: tuple[tuple[Path, str], ...]
    ignored: Mapping[str, int] = field(default_factory=dict)


def fingerprint_file(folder: Path, id: str) -> Path:
    """Where the library in `folder` keeps the fingerprint of the track `id`."""
    return folder / _FOLDER / id[:2] / f"{id}.safetensors"


def open_fingerprints(
    music: Sequence[bytes],
    folder: Path,
    *,
    executor: Executor | None = None,
    progress: Listener | None = None,
) -> tuple[list[TrackFingerprint], FingerprintReport]:
    """The fingerprints of all tracks at and under the absolute paths `music`, in order of path.

    folder: the library's; fingerprints that are missing there are made and kept, by `executor`
    (None = a thread per core). progress: called after each file.

    A file that is no readable music is in the report. Raises `LibraryError` for paths that do not
    exist or hold no music, and where a fingerprint cannot be written.
    """
    others: set[bytes] = set()
    found = list(find_music(list(music), others))
    holds: dict[str, list[Path]] = {}
    tracks_by_id: dict[str, TrackFingerprint] = {}
    failed: list[tuple[Path, str]] = []
    made = 0
    executor = executor or Threads()
    outcomes = executor.map(functools.partial(_fingerprint, folder), found)
    with written_by(executor, folder), contextlib.closing(outcomes):
        for done, outcome in enumerate(outcomes, 1):
            path = Path(os.fsdecode(outcome.item.path))
            if progress is not None:
                progress(Progress("music", done, len(found), path))
            if isinstance(outcome.error, LibraryError):
                raise outcome.error
            if outcome.item.problem:
                failed.append((path, outcome.item.problem))
            elif outcome.error is not None:
                failed.append((path, reason_of(outcome.error, path)))
            elif outcome.value is None:
                others.add(outcome.item.path)
            else:
                record, new = outcome.value
                made += new and record.id not in tracks_by_id
                tracks_by_id[record.id] = record
                holds.setdefault(record.id, []).append(path)
    if not (holds or failed):
        names = ", ".join(shown(os.fsdecode(path)) for path in music)
        only = f", only {listed(by_ending(others))}" if others else ""
        raise LibraryError(
            f"{names}: no music was found{only}", "name a folder that holds music files"
        )
    tracks = []
    for id, paths in holds.items():
        first, *copies = sorted(paths, key=os.fsencode)
        tracks.append(replace(tracks_by_id[id], path=first, copies=tuple(copies)))
    tracks.sort(key=lambda track: os.fsencode(track.path))
    return tracks, FingerprintReport(made, tuple(sorted(failed)), by_ending(others))


def _fingerprint(folder: Path, item: Found) -> tuple[TrackFingerprint, bool] | None:
    """It and whether it was made just now; None for a video, and where `item` has a problem."""
    if item.problem or is_video(item):
        return None
    path = Path(os.fsdecode(item.path))
    id = content_hash(item.path)
    file = fingerprint_file(folder, id)
    kept = _read(file, id, path)
    if kept is not None:
        return kept, False
    made = _make(file, id, path)
    try:
        require_unchanged(item)
    except OSError:
        file.unlink(missing_ok=True)  # it is under the name of what the file held before
        raise
    return made, True


def _make(file: Path, id: str, path: Path) -> TrackFingerprint:
    from mgsv.media.isolated import read_audio

    samples = read_audio(path, RATE).samples
    peaks = find_peaks(samples)
    whole = Peaks(peaks.frames, np.round(peaks.bins).astype(np.float32))
    data = save(
        {
            "frames": whole.frames,
            "bins": whole.bins.astype(np.uint8),
            "signs": pack_signs(whiten(samples)),
        },
        metadata={"format": _FORMAT, "id": id, "samples": str(len(samples))},
    )
    try:
        write_file(file, data, overwrite=True, parents=True)
    except OutputError as error:
        raise LibraryError(error.problem, WRITABLE) from error
    return TrackFingerprint(id, path, (), len(samples), whole, file)


def _read(file: Path, id: str, path: Path) -> TrackFingerprint | None:
    """The kept fingerprint, or None where there is none or it is not whole."""
    if not file.exists():
        return None
    try:
        with _opened(file) as stream:
            header = stream.metadata() or {}
            if (header.get("format"), header.get("id")) != (_FORMAT, id):
                return None
            frames, bins = stream.get_tensor("frames"), stream.get_tensor("bins")
            samples = int(header["samples"])
            shape = stream.get_slice("signs").get_shape()
    except (LibraryError, KeyError, ValueError, SafetensorError):
        return None
    if frames.ndim != 1 or frames.shape != bins.shape or shape != [-(-samples // 8)]:
        return None
    return TrackFingerprint(
        id, path, (), samples, Peaks(frames.astype(np.int32), bins.astype(np.float32)), file
    )


def _opened(file: Path) -> Any:
    try:
        return safe_open(file, framework="numpy")
    except (OSError, SafetensorError) as error:
        raise LibraryError(
            f"{shown(file)}: the fingerprint is missing or damaged ({error})",
            "run the command again to make it anew",
        ) from error
