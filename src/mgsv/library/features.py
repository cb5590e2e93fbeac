"""One track's features as one safetensors file, which also says whose features they are.

The header repeats what the catalogue knows of the track, so a lost catalogue can be made again
from the feature files without decoding any music.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from mgsv.errors import LibraryError, shown
from mgsv.library.credits import Credits
from mgsv.portable import open_to_read

Arrays = Mapping[str, npt.NDArray[Any]]

TENSORS: Mapping[str, tuple[type[np.generic], int]] = {
    "segments": (np.float16, 2),  # [S, D], one row per 2.5 s
    "segment_mask": (np.bool_, 1),  # [S], true = valid
    "onset": (np.float16, 1),  # [T] onset strength at 62.5 Hz
    "energy": (np.float16, 1),  # [T] loudness at 62.5 Hz
    "beats": (np.float32, 1),  # [K] seconds
    "downbeats": (np.float32, 1),  # [B] seconds, first beats of bars
}
"""What a feature file holds: name → (type, number of axes)."""

ANALYSIS = 2
"""Version of how beats and bars are found, which no encoder's fingerprint tells. 1 had the beats
that encoders use, and no bars.
"""

LATER = frozenset({"downbeats"})
"""What files of analysis 1 lack."""

ENCODED = ("segments", "segment_mask")
"""What an encoder makes; the rest is the same with each."""

CURVES = ("onset", "energy", "beats", "downbeats")
WRITABLE = "free some space or make it writable, or name another folder with `folder`"
REPAIR = "run `mgsv library check --repair`, then add the folder again"
_FORMAT = "mgsv-track-1"


@dataclass(frozen=True, slots=True)
class TrackRecord:
    """What is known of one piece of music, whatever files hold it."""

    id: str
    """Hash of the music file's bytes, 32 hexadecimal digits."""
    duration: float
    """Seconds."""
    tempo: float
    """Beats per minute, 0 where no beat was found."""
    tags: Mapping[str, float] = field(default_factory=dict)
    """Readable tag → mean probability over the track, the most probable first."""
    analysis: int = ANALYSIS
    """The version of `ANALYSIS` that found its beats and bars."""
    credits: Credits | None = None
    """What the file's own tags say; None where nobody has looked."""
    brightness: float | None = None
    """Mean spectral centroid in Hz; None for a track that an earlier version decoded."""

    @classmethod
    def of_row(cls, row: tuple[Any, ...]) -> TrackRecord:
        """From the fields in their order as a store keeps them, tags and credits as JSON."""
        id, duration, tempo, tags, analysis, credits, brightness = row
        known = Credits.of_json(credits)
        return cls(id, duration, tempo, json.loads(tags), analysis, known, brightness)


def content_hash(path: bytes) -> str:
    """The identity of a music file's content: 128 bits of BLAKE2b over its bytes.

    Opened without blocking, since the file the walk saw may be a FIFO by now.
    """
    with open(open_to_read(path), "rb", buffering=0) as file:  # noqa: PTH123 (a descriptor)
        return hashlib.file_digest(file, _hasher).hexdigest()


def pack_features(record: TrackRecord, encoder: str, arrays: Arrays) -> bytes:
    """The bytes of the feature file. Raises `ValueError` where `arrays` is not what `TENSORS`
    says.
    """
    stored = {}
    for name, (kind, axes) in TENSORS.items():
        if name in LATER and name not in arrays:
            continue
        array = np.asarray(arrays[name])
        if array.ndim != axes:
            raise ValueError(f"{name} has the shape {array.shape}")
        with np.errstate(over="ignore"):  # an overflow is caught below, as not finite
            stored[name] = np.ascontiguousarray(array.astype(kind))
    _require_consistent(stored)
    header = {
        "format": _FORMAT,
        "id": record.id,
        "encoder": encoder,
        "analysis": str(record.analysis),
        "duration": repr(record.duration),
        "tempo": repr(record.tempo),
        "tags": json.dumps(dict(record.tags), allow_nan=False),
    }
    if record.credits is not None:
        header["credits"] = record.credits.as_json()
    if record.brightness is not None:
        header["brightness"] = repr(record.brightness)
    return bytes(save(stored, metadata=header))


def read_arrays(path: Path, track: str, names: tuple[str, ...] = tuple(TENSORS)) -> Arrays:
    """The tensors `names` of `track`'s feature file, read through a memory map, so the rest stays
    on disk. Without those of `LATER` that the file lacks.

    Raises `LibraryError` naming the file if it is missing, damaged or another track's.
    """
    with _opened(path) as file:
        if file.metadata().get("id") != track:
            raise ValueError("it belongs to another track")
        arrays = _tensors(file, names)
        _require_types(arrays)
    return arrays


def read_whole(path: Path) -> tuple[bytes, TrackRecord, str, npt.NDArray[np.float32]]:
    """(the bytes, the track, the encoder's fingerprint, the mean segment [D]) of a feature file,
    checked.

    Raises `LibraryError` naming the file if it is missing or damaged.
    """
    with _opened(path) as file:
        header = file.metadata()
        arrays = _tensors(file, tuple(TENSORS))
        _require_types(arrays)
        _require_consistent(arrays)
        record = _record(header)
        encoder = str(header["encoder"])
        data = path.read_bytes()
    return data, record, encoder, mean_segment(arrays)


def unpack_features(data: bytes, name: str) -> tuple[TrackRecord, str, Arrays]:
    """(the track, the encoder's fingerprint, all tensors) of a feature file's bytes, checked.

    name: what to call it. Raises `LibraryError` if it is damaged.
    """
    try:
        arrays = load(data)
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size]).get("__metadata__", {})
        if header.get("format") != _FORMAT:
            raise ValueError("it is not a feature file of this version")
        if arrays.keys() | LATER != TENSORS.keys():
            raise ValueError("it holds other tensors")
        _require_types(arrays)
        _require_consistent(arrays)
        return _record(header), str(header["encoder"]), arrays
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(name, error) from error


def damaged(name: str, problem: object) -> LibraryError:
    """The error about the feature file that is called `name`."""
    return LibraryError(f"{name}: the feature file is damaged ({problem})", REPAIR)


def mean_segment(arrays: Arrays) -> npt.NDArray[np.float32]:
    """Mean over the valid segments, [D]: what the exact search compares. 0 where none is valid.

    From the values as stored (fp16), so that it is the same when made again from the file.
    """
    segments = arrays["segments"].astype(np.float16).astype(np.float32)
    valid = segments[arrays["segment_mask"].astype(bool)]
    mean = valid.mean(axis=0) if len(valid) else np.zeros(segments.shape[1])
    return np.asarray(mean, dtype=np.float32)


def digest(data: bytes) -> str:
    """Check sum of a feature file, by which `check` finds a flipped bit."""
    return _hasher(data).hexdigest()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="numpy") as file:
            if (file.metadata() or {}).get("format") != _FORMAT:
                raise ValueError("it is not a feature file of this version")
            yield file
    except FileNotFoundError as error:
        raise LibraryError(f"{shown(path)}: the feature file is missing", REPAIR) from error
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(shown(path), error) from error


def _record(header: Mapping[str, str]) -> TrackRecord:
    record = TrackRecord(
        header["id"],
        float(header["duration"]),
        float(header["tempo"]),
        {str(tag): float(p) for tag, p in json.loads(header["tags"]).items()},
        int(header.get("analysis", 1)),
        Credits.of_json(header.get("credits")),
        float(header["brightness"]) if "brightness" in header else None,
    )
    if not (math.isfinite(record.duration) and math.isfinite(record.tempo)):
        raise ValueError("its duration or tempo is not a number")
    return record


def _tensors(file: Any, names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    held = set(file.keys())
    return {name: file.get_tensor(name) for name in names if name in held or name not in LATER}


def _require_types(arrays: Arrays) -> None:
    for name, array in arrays.items():
        kind, axes = TENSORS[name]
        if array.dtype != kind or array.ndim != axes:
            raise ValueError(f"{name} is {array.dtype} {list(array.shape)}")


def _require_consistent(arrays: Arrays) -> None:
    if len(arrays["segments"]) != len(arrays["segment_mask"]):
        raise ValueError("segments and segment_mask differ in length")
    if len(arrays["onset"]) != len(arrays["energy"]):
        raise ValueError("onset and energy differ in length")
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds values that are not finite or beyond half precision")


def _hasher(data: bytes = b"") -> hashlib.blake2b:
    return hashlib.blake2b(data, digest_size=16)
