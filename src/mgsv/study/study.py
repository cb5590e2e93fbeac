"""A study on the disk: what is shown to listeners, and the key to it, apart from each other.

    study.json          what is shown: clips with their pictures and sounds, under drawn names
    media/              those pictures and sounds
    key.json            which clip, system, track and moment each of them is
    answers/            a file for each listener, see `answers`

A server shows the first two. The key is for `create` and `report` alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mgsv.errors import ConfigError, DataError
from mgsv.files import StrPath

SCHEMA, KEY_SCHEMA = "mgsv.study/1", "mgsv.study-key/1"
STUDY, KEY, MEDIA, ANSWERS = "study.json", "key.json", "media", "answers"
LARGEST = 64 << 20
"""Bytes of a document that is read."""


@dataclass(frozen=True)
class Variant:
    """One sound for a clip, under a name that says nothing; sound: its file in `media`."""

    id: str
    sound: str


@dataclass(frozen=True)
class StudyClip:
    """A clip and its variants, at least two; picture: its file in `media`, without sound."""

    id: str
    picture: str
    seconds: float
    variants: tuple[Variant, ...]


@dataclass(frozen=True)
class Study:
    """What listeners are shown; open one with `open_study`.

    trials, checks, seed: see `StudyOptions`.
    """

    folder: Path
    id: str
    seed: int
    trials: int
    checks: int
    clips: tuple[StudyClip, ...]

    def clip(self, id: str) -> StudyClip:
        return next(clip for clip in self.clips if clip.id == id)

    def media(self, name: str) -> Path:
        return self.folder / MEDIA / name

    def document(self) -> dict[str, Any]:
        """What `study.json` holds."""
        fields = {name: value for name, value in asdict(self).items() if name != "folder"}
        return {"schema": SCHEMA, **fields}


@dataclass(frozen=True)
class VariantKey:
    """What a variant is: whose answer, and where it is from.

    systems: those that gave this answer, one or several. track, start, end: the file and the
    moment of it in seconds; of a clip's own sound as it is, the clip. own: whether it is that.
    loudness, true_peak: of the variant as a player decodes it, LUFS and dBTP. notes: what is to be
    known about it.
    """

    systems: tuple[str, ...]
    track: str
    start: float
    end: float
    own: bool
    loudness: float
    true_peak: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClipKey:
    """Which file a clip is, and what its variants are, by their ids."""

    path: str
    content: str
    picture: str
    seconds: float
    variants: Mapping[str, VariantKey]
    sounds: Mapping[str, str]


@dataclass(frozen=True)
class StudyKey:
    """Which is which. options: those that the study was made with, as plain values.

    clips: by their ids. left_out: (file, reason) of clips that are in the study's folder of clips,
    but not in the study.
    """

    id: str
    systems: tuple[str, ...]
    options: Mapping[str, Any]
    clips: Mapping[str, ClipKey]

    def document(self) -> dict[str, Any]:
        return {"schema": KEY_SCHEMA, **asdict(self)}


def open_study(folder: StrPath) -> Study:
    """The study in `folder`.

    Raises `ConfigError` where there is none, or it is not finished, and `DataError` for a damaged
    one.
    """
    folder = Path(folder)
    path = folder / STUDY
    if not path.is_file():
        if (folder / KEY).is_file():
            raise ConfigError(
                f"{folder}: the study is not finished", "run `mgsv study create` again to go on"
            )
        raise ConfigError(f"{folder}: no study", "make one with `mgsv study create`")
    found = _document(path, SCHEMA)
    try:
        clips = tuple(_clip(one) for one in found["clips"])
        for name in ("seed", "trials", "checks"):
            if type(found[name]) is not int:
                raise TypeError(name)
        study = Study(
            folder, str(found["id"]), found["seed"], found["trials"], found["checks"], clips
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, error) from error
    for clip in clips:
        for name in (clip.picture, *(variant.sound for variant in clip.variants)):
            if Path(name).name != name or not study.media(name).is_file():
                raise DataError(study.media(name), "is missing", "make the study again")
    return study


def read_key(folder: StrPath) -> StudyKey:
    """The key to the study in `folder`. Raises `DataError` for one that is missing or damaged."""
    path = Path(folder) / KEY
    if not path.is_file():
        raise DataError(path, "is missing", "put the key back that `mgsv study create` wrote")
    found = _document(path, KEY_SCHEMA)
    try:
        clips = {id: _clip_key(one) for id, one in found["clips"].items()}
        return StudyKey(found["id"], tuple(found["systems"]), dict(found["options"]), clips)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, error) from error


def _document(path: Path, schema: str) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(LARGEST))
        if not isinstance(found, dict) or found.get("schema") != schema:
            raise ValueError(f"no {schema}")
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    return found


def _clip(found: Mapping[str, Any]) -> StudyClip:
    variants = tuple(Variant(str(one["id"]), str(one["sound"])) for one in found["variants"])
    if len(variants) < 2:
        raise ValueError("a clip has fewer than two variants")
    return StudyClip(str(found["id"]), str(found["picture"]), float(found["seconds"]), variants)


def _clip_key(found: Mapping[str, Any]) -> ClipKey:
    variants = {
        id: VariantKey(
            systems=tuple(one["systems"]),
            track=one["track"],
            start=float(one["start"]),
            end=float(one["end"]),
            own=bool(one["own"]),
            loudness=float(one["loudness"]),
            true_peak=float(one["true_peak"]),
            notes=tuple(one["notes"]),
        )
        for id, one in found["variants"].items()
    }
    return ClipKey(
        found["path"],
        found["content"],
        found["picture"],
        float(found["seconds"]),
        variants,
        dict(found["sounds"]),
    )


def _damaged(path: Path, error: Exception) -> DataError:
    what = f"{type(error).__name__}: {error}".replace("\n", " ")
    return DataError(path, f"the document is damaged ({what})", "make the study again")
