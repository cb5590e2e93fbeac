"""What an encoder is, and the encoders there are, by name.

Other distributions bring some by entry points of the group `mgsv.encoders`, whose names start with
`video.` or `music.`: classes that are called with `folder`, see `video_encoder`.

An encoder turns a video's frames or a track's waveform into one row per step. Making one is cheap:
its network is loaded when it first encodes, so that its name, width and fingerprint can
be compared with a library's or a model's in no time.
"""

from __future__ import annotations

import hashlib
import importlib
import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from mgsv.errors import ConfigError
from mgsv.plugins import Plugin, find, names

if TYPE_CHECKING:  # PyAV takes long to import, and only the types' names are wanted here
    from mgsv.media.audio import Audio
    from mgsv.media.rhythm import Rhythm
    from mgsv.media.video import Frame, VideoCurves

Features = npt.NDArray[np.float32]
T = TypeVar("T")

DEFAULT_VIDEO = "efficientnet-lite0+motion"
DEFAULT_MUSIC = "musicnn+rhythm"
FRAME_STEP = 1.0
"""Seconds from one row of video features to the next: row k shows the video at second k."""
SEGMENT_STEP = 2.5
"""Seconds from one row of music features to the next: row k is about [2.5 k, 2.5 (k + 1))."""

_VIDEO = {
    DEFAULT_VIDEO: "mgsv.encoders.motion:EfficientNetMotion",
    "clip-vit-b32": "mgsv.encoders.clip:ClipEncoder",
    "tiny": "mgsv.encoders.tiny:TinyVideo",
}
_MUSIC = {
    DEFAULT_MUSIC: "mgsv.encoders.musicnn_rhythm:MusicnnRhythm",
    "ast-audioset": "mgsv.encoders.ast:AstEncoder",
    "tiny": "mgsv.encoders.tiny:TinyMusic",
}
_Side = Literal["video", "music"]
_OWN: dict[_Side, dict[str, str]] = {"video": _VIDEO, "music": _MUSIC}
_NEEDED: dict[_Side, tuple[str, ...]] = {
    "video": ("name", "dim", "fingerprint", "image_size", "encode"),
    "music": ("name", "dim", "fingerprint", "rate", "channel", "step", "encode"),
}
# The names of pairs that belong together.
_PAIRS = {"default": (DEFAULT_VIDEO, DEFAULT_MUSIC), "paper": ("clip-vit-b32", "ast-audioset")}
_TINY = "tiny"
"""For tests, so that messages do not offer it."""


class Source(Protocol):
    """Where features come from.

    name: as in the registry. dim: columns. fingerprint: changes whenever the same input may give
    other features; features of different fingerprints must not meet.
    """

    @property
    def name(self) -> str: ...
    @property
    def dim(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...


class VideoEncoder(Source, Protocol):
    """Frames → one row of `dim` values per second.

    image_size: pixels of the frames' shorter side that `encode` expects.
    """

    @property
    def image_size(self) -> int: ...

    def encode(self, frames: Iterable[Frame], curves: Callable[[], VideoCurves]) -> Features:
        """float32 [F, dim], row k for the k-th frame.

        frames: a `VideoScan` or any frames at whole seconds, used up batch by batch; curves:
        called once, after the last frame (a scan has its curves only then).
        """
        ...


@dataclass(frozen=True)
class MusicFeatures:
    """A music encoder's features of a track.

    segments: float32 [S, dim], S = `segment_count(duration)`. tags: mean probability of each tag
    over the track, empty for encoders that have none.
    """

    segments: Features
    tags: Mapping[str, float] = field(default_factory=dict)


class MusicEncoder(Source, Protocol):
    """A waveform → one row of `dim` values per `step` seconds.

    rate (Hz) and channel: how the audio that `encode` takes is to be read.
    """

    @property
    def rate(self) -> int: ...
    @property
    def channel(self) -> Literal["mix", "first"]: ...
    @property
    def step(self) -> float: ...

    def encode(self, audio: Audio, rhythm: Rhythm) -> MusicFeatures:
        """Features of a whole track of any length. Raises ValueError for audio of another rate."""
        ...


@dataclass(frozen=True)
class EncoderPair:
    """The two encoders whose features a model sees side by side."""

    video: VideoEncoder
    music: MusicEncoder


def encoder_pair(
    name: str = "default", *, folder: str | os.PathLike[str] | None = None
) -> EncoderPair:
    """The pair "default" or "paper", or a name of a video encoder and a music encoder alike.

    folder: as in `video_encoder`.
    """
    if name not in _PAIRS and not all(name in side for side in encoder_names()):
        both = sorted(set.intersection(*map(set, encoder_names())) - {_TINY})
        raise ConfigError(f"`encoders` {name}: unknown", f"choose {' or '.join([*_PAIRS, *both])}")
    return EncoderPair(video_encoder(name, folder=folder), music_encoder(name, folder=folder))


def video_encoder(
    name: str = "default", *, folder: str | os.PathLike[str] | None = None
) -> VideoEncoder:
    """The video encoder `name`: one of `encoder_names()`, or "default" or "paper".

    folder: where encoders that do not bring their weights along find them; the rest ignore it.
    Raises `ConfigError` for an unknown name, or weights that cannot be had.
    """
    encoder: VideoEncoder = _make("video", name, folder)
    return encoder


def music_encoder(
    name: str = "default", *, folder: str | os.PathLike[str] | None = None
) -> MusicEncoder:
    """The music encoder `name`; see `video_encoder`."""
    encoder: MusicEncoder = _make("music", name, folder)
    return encoder


def encoder_names() -> tuple[list[str], list[str]]:
    """Names of the video encoders and of the music encoders."""
    brought = names("encoder")
    return _names("video", brought), _names("music", brought)


def _names(side: _Side, brought: Iterable[str]) -> list[str]:
    """Of one side's encoders: our own, then those of `brought`."""
    others = (name.partition(".")[2] for name in brought if name.startswith(f"{side}."))
    return list(dict.fromkeys((*_OWN[side], *others)))


def _make(side: _Side, name: str, folder: str | os.PathLike[str] | None) -> Any:
    name = _PAIRS[name][side == "music"] if name in _PAIRS else name
    if target := _OWN[side].get(name):
        module, _, cls = target.partition(":")
        return getattr(importlib.import_module(module), cls)(folder=folder)
    plugin = find("encoder", f"{side}.{name}")
    if plugin is None:
        known = [*_PAIRS, *_names(side, names("encoder"))]
        raise ConfigError(f"there is no {side} encoder {name!r}", f"use one of {', '.join(known)}")
    return _checked(plugin, side, plugin.make(folder=folder))


def _checked(plugin: Plugin, side: _Side, encoder: Any) -> Any:
    """`encoder`, if it has what one of this side has."""
    for needed in _NEEDED[side]:
        if not hasattr(encoder, needed):
            raise plugin.broken(f"has no {needed}")
    return encoder


def segment_count(seconds: float, step: float = SEGMENT_STEP) -> int:
    """Rows for a track of `seconds`: the last one may reach beyond its end. 240 s are 96 rows."""
    return max(1, math.ceil(seconds / step - 1e-9))


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`, the last one shorter."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def centre_crops(pictures: Iterable[npt.NDArray[np.uint8]], size: int) -> npt.NDArray[np.uint8]:
    """The central squares [B, size, size, 3] of RGB pictures [H, W, 3] of at least that size."""
    crops = []
    for picture in pictures:
        top, left = ((side - size) // 2 for side in picture.shape[:2])
        if top < 0 or left < 0:
            raise ValueError(f"a picture of {picture.shape[:2]} is smaller than {size} x {size}")
        crops.append(picture[top : top + size, left : left + size])
    return np.stack(crops)


def fingerprint(name: str, version: int, weights: Path | str = "") -> str:
    """`name` and a short hash of all that shapes its features.

    version: of the preprocessing, raised with every change that alters features. weights: the file
    with the network's weights, hashed whole, or such a hash.
    """
    if isinstance(weights, Path):
        with weights.open("rb") as file:
            weights = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{name}:{hashlib.sha256(f'{name} {version} {weights}'.encode()).hexdigest()[:12]}"
