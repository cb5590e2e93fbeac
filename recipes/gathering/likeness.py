"""Which tracks are nearly the same music, and which pictures nearly the same picture."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import av
import numpy as np
import numpy.typing as npt

from mgsv.annotate.index import QUERY_SECONDS, LandmarkIndex
from mgsv.errors import MediaError
from mgsv.library.fingerprints import TrackFingerprint
from mgsv.media.landmarks import FRAME_RATE, Peaks

WINDOW_STEP = 30.0
"""Seconds from one looked-up window of a track to the next."""
AGREEING = 0.05
"""Share of a window's own landmarks that another track must bear, all at one offset. The same sound
bears 12 to 30 % after coding and a shift by half a landmark's frame, another one 0.3 %."""
WINDOWS_SHARED = 0.25
"""Share of a track's windows that another one must bear to be nearly the same."""
PICTURES_ALIKE = 0.95
_SIDE = 16
_STILLS = {".jpg": "jpeg_pipe", ".jpeg": "jpeg_pipe", ".png": "png_pipe", ".webp": "webp_pipe"}
# What composers append to the name of the same piece played again in another way.
_VARIANT = re.compile(
    r"[-_ .]*(fast|slow|short|long|loop|final|remix|reprise|remake|alt|alternate|intro|outro|"
    r"edit|mix|f|v\d|ver|version)$"
)


class Groups:
    """Things that belong together, directly or through others."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def find(self, name: str) -> str:
        """The first, in order of name, of the group `name` is in."""
        root = name
        while self._parent.get(root, root) != root:
            root = self._parent[root]
        return root

    def join(self, one: str, other: str) -> None:
        first, second = sorted((self.find(one), self.find(other)))
        self._parent[second] = first

    def join_equal(self, values: Mapping[str, Hashable]) -> None:
        """Join the names whose values are equal."""
        first: dict[Hashable, str] = {}
        for name, value in values.items():
            self.join(first.setdefault(value, name), name)


def piece_name(path: str) -> str:
    """A track's path without what tells versions of a piece apart: "a/cave_fast.ogg" → "a/cave".

    With the folder, as there are packages with a folder per song and a `song.ogg` in each.
    """
    name = PurePosixPath(path).stem.lower()
    while (shorter := _VARIANT.sub("", name)) and shorter != name:
        name = shorter
    return str(PurePosixPath(path).with_name(name))


def same_music(prints: Sequence[TrackFingerprint]) -> Iterable[tuple[int, int]]:
    """Pairs of places in `prints` whose tracks share much of their sound, at the same speed.

    Windows of each track are looked up among all landmarks. A window counts for another track if
    enough landmarks agree on one offset there.
    """
    index = LandmarkIndex(prints)
    for place, track in enumerate(prints):
        shared: Counter[int] = Counter()
        windows = 0
        for start in np.arange(0, max(1.0, track.seconds - QUERY_SECONDS), WINDOW_STEP):
            peaks = _window(track.peaks, float(start))
            found = index.candidates(peaks, limit=16)
            own = max((c.votes for c in found if c.track == place), default=0)
            if not own:
                continue  # silent there
            windows += 1
            shared.update({c.track for c in found if c.votes >= AGREEING * own} - {place})
        for other, count in shared.items():
            if count >= WINDOWS_SHARED * windows:
                yield place, other


def _window(peaks: Peaks, start: float) -> Peaks:
    first, last = round(start * FRAME_RATE), round((start + QUERY_SECONDS) * FRAME_RATE)
    low, high = np.searchsorted(peaks.frames, [first, last])
    return Peaks(peaks.frames[low:high] - np.int32(first), peaks.bins[low:high])


def silent_share(track: TrackFingerprint) -> float:
    """Share of a track's whole seconds in which nothing sounds."""
    sounding = np.unique((track.peaks.frames / FRAME_RATE).astype(np.int64))
    return 1 - len(sounding) / max(1, int(track.seconds) + 1)


class Look:
    """What a picture looks like from afar.

    width, height: pixels. transparent: share of it that is see-through. grey: float32
    [16, 16], 0..255. contrast: standard deviation of `grey`.
    """

    def __init__(self, path: Path) -> None:
        """Raises `MediaError` if it cannot be decoded. (`mgsv.media` opens moving pictures only.)

        The name says what it is, as FFmpeg's guessing would open anything.
        """
        try:
            with av.open(str(path), format=_STILLS[path.suffix.lower()]) as container:
                frame = next(container.decode(video=0))
                small = frame.reformat(width=64, height=64, format="rgba", interpolation="AREA")
        except (av.FFmpegError, OSError, IndexError, KeyError, StopIteration) as error:
            raise MediaError(path, "it holds no picture that can be decoded") from error
        self.width, self.height = frame.width, frame.height
        pixels = small.to_ndarray().astype(np.float32)
        self.transparent = float((pixels[..., 3] < 250).mean())
        grey = pixels[..., :3].mean(axis=2)
        step = 64 // _SIDE
        self.grey: npt.NDArray[np.float32] = grey.reshape(_SIDE, step, _SIDE, step).mean(
            axis=(1, 3)
        )
        self.contrast = float(self.grey.std())


def same_pictures(looks: Sequence[Look]) -> Iterable[tuple[int, int]]:
    """Pairs of places in `looks` whose grey pictures correlate at `PICTURES_ALIKE` or more."""
    if not looks:
        return
    flat = np.stack([look.grey.ravel() for look in looks])
    flat = flat - flat.mean(axis=1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True) + 1e-6
    alike = np.triu(flat @ flat.T >= PICTURES_ALIKE, k=1)
    for one, other in zip(*np.nonzero(alike), strict=True):
        yield int(one), int(other)
